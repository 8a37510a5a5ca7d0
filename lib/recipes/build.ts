/**
 * Building a datastore from data files. Work is sealed every so many entries; the origin of the last sealed entry says where to go on, so
 * an interrupted build continues when it is started again, and data that a store already has is not added twice.
 */
import { describe, expectWhole, invalid } from "../arguments.js";
import { Datastore } from "../datastore.js";
import { defined } from "../defined.js";
import { RtdError } from "../errors.js";
import type { ModelFingerprint } from "../fingerprint.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import { layerName, type Layer } from "../llama/layer.js";
import type { LoraAdapter } from "../llama/lora.js";
import type { Recorder } from "../llama/record.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import { expectGivenOptions } from "../option-names.js";
import type { FitMethod } from "../transform.js";
import { setTo, spaceOf } from "../tuning/spaces.js";
import type { BackendName, Dtype, Metric } from "../types.js";
import { chatPassages } from "./chat.js";
import { cutRows, expectCut, type Cut } from "./cut.js";
import { readRows, tasks, type ChatRow, type LabelRow, type Row, type Task, type TextRow } from "./data.js";
import { chooseShots, shotsBefore, type ShotOptions } from "./in-context.js";
import { LabelLogits, labelLogitsOf } from "./label-logits.js";
import { labelPassages, labelsOf, newLabelRecipe, type Pooling } from "./label.js";
import { fusionDefaults, labelRecipeOf, leftOutOf, recipeOf, type RecipeMetadata, type Source } from "./metadata.js";
import type { ContextSettings } from "./model.js";
import { longestPassage, type Passage, type Shots } from "./passage.js";
import { expectPruning, selectRows, unprunedRows } from "./pruning.js";
import { recordPassage, withRecorder } from "./recording.js";
import { sourceFor } from "./source.js";
import { expectSpellings, firstTokens, type Spellings } from "./spelling.js";
import { textPassages } from "./text.js";

/** Of the store's index; metric, dtype and heads are fixed when the store is made. */
export interface IndexSettings {
    metric?: Metric | undefined;
    dtype?: Dtype | undefined;
    heads?: number | undefined;
    backend?: BackendName | undefined;
    threads?: number | undefined;
}

export interface BuildOptions extends Cut, IndexSettings, ShotOptions {
    path: string;
    model: LlamaModel;
    task: Task;
    /** Data files. */
    data: readonly string[];
    /** Label stores: the prompt's template; see label.ts for the placeholders. */
    prompt?: string | undefined;
    /** Label stores of questions with options: store each once per rotation of its options. */
    rotate?: boolean | undefined;
    /** Label stores: spellings of labels, by name. A label's probability is the sum of its spellings'; prompts and entries have the first. */
    labels?: Spellings | undefined;
    /** Label stores: an entry for every token of a label, each after those before it, not the first alone; labels may then begin alike. */
    wholeLabels?: boolean | undefined;
    /** Label stores: keys are the mean of the states over the tokens of the text (or question and options), not the state at the prompt's end. */
    pooling?: Pooling | undefined;
    /** Whose states the keys are. Default: those after the last norm. */
    layer?: Layer | undefined;
    /** LoRA adapters that the model runs with; kept in the store's fingerprint of its model. Default: none. */
    lora?: readonly LoraAdapter[] | undefined;
    /** Leaves out entries whose value the model alone says with a probability above this, 0 to 1. Default: none. */
    pruneAbove?: number | undefined;
    /**
     * A transform that keys and queries go through, fitted to all entries in the end; `"none"` takes one away. `"project"` is for label stores. Default: none, or what
     * the store has.
     */
    transform?: FitMethod | "none" | undefined;
    /** How far the transform draws variances towards their mean, 0 and up. Default: 1 to whiten, 0.01 to standardise, 0.3 to project. */
    shrinkage?: number | undefined;
    /** Entries after which the store is sealed. */
    sealEvery?: number;
    /** Stops after the passage at hand, seals and rejects with the signal's reason. */
    signal?: AbortSignal | undefined;
    onProgress?: ((progress: Progress) => void) | undefined;
}

export interface Progress {
    done: number;
    total: number;
    unit: "tokens" | "examples" | "answers" | "spaces" | "stores";
}

export interface BuildReport {
    path: string;
    recipe: Task;
    /** Entries that this run added, and all of the store. */
    added: number;
    entries: number;
    /** Of the whole store: what pruning left out. */
    leftOut: number;
    examples: number;
    temperature: number | undefined;
    seconds: number;
}

const sealAfterSeconds = 60;
const transforms: readonly (FitMethod | "none")[] = ["none", "standardise", "whiten", "project"];

export async function buildDatastore(options: BuildOptions): Promise<BuildReport> {
    const started = performance.now();
    expectGivenOptions(options, "build");
    const { path, model, task } = options;
    if (!tasks.includes(task))
        invalid(`task: expected ${tasks.map((name) => JSON.stringify(name)).join(" or ")}, got ${describe(task)}`);
    expectCut(options);
    expectWhole(options.sealEvery, "sealEvery", 1);
    expectTransform(options);
    expectPruning(options.pruneAbove);
    const rows = await readRows(options.data, task);
    const fingerprint = await fingerprintModel(model, { lora: options.lora });
    let store = await openExisting(options, fingerprint);
    try {
        const metadata = store === undefined ? newMetadata(options, rows) : continued(store, options);
        const passages = await passagesOf(model, metadata, rows, options);
        const source = await sourceFor(metadata, passages, options, store?.index.entries ?? 0);
        longestPassage(model, passages); // fails before anything is written
        if (store === undefined && metadata.layer !== undefined) await expectLayer(model, passages, metadata.layer, options);
        store ??= await Datastore.create(path, {
            dim: model.embeddingVectorSize,
            model: fingerprint,
            metadata: { ...metadata },
            ...defined({
                metric: options.metric,
                dtype: options.dtype,
                heads: options.heads,
                backend: options.backend,
                threads: options.threads,
            }),
        });
        const before = store.index.entries;
        if (source.complete)
            await store.seal(); // makes a cascade that is missing or of another version
        else await new Building(store, metadata, source, options).run(passages);
        if (options.transform !== undefined && store.size > 0) {
            const { transform, shrinkage, signal } = options;
            const space =
                transform === "none"
                    ? spaceOf(store.index.heads)
                    : spaceOf(transform === "standardise" ? store.index.heads : 1, transform, shrinkage);
            await setTo(store, space, { signal });
            await store.setMetadata({ ...recipeOf(store), space });
        }
        const { entries, temperature } = store.index;
        const examples = metadata.sources.reduce((sum, { examples }) => sum + examples, 0);
        const seconds = (performance.now() - started) / 1000;
        return {
            path,
            recipe: task,
            added: entries - before,
            entries,
            leftOut: leftOutOf(metadata.sources),
            examples,
            temperature,
            seconds,
        };
    } finally {
        await store?.close();
    }
}

/** Before anything is recorded: the transform itself is fitted last. */
function expectTransform({ task, transform, shrinkage, heads = 1 }: BuildOptions): void {
    if (transform !== undefined && !transforms.includes(transform))
        invalid(
            `transform: expected one of ${transforms.map((name) => JSON.stringify(name)).join(", ")}, got ${describe(transform)}`,
        );
    if (shrinkage !== undefined && !(Number.isFinite(shrinkage) && shrinkage >= 0))
        invalid(`shrinkage: expected a number not below 0, got ${describe(shrinkage)}`);
    if (heads > 1 && (transform === "whiten" || transform === "project"))
        invalid(`heads: to ${transform} takes one head, got ${describe(heads)}; leave it out, or standardise instead`);
    if (shrinkage !== undefined && (transform === undefined || transform === "none"))
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            "shrinkage is of a transform; give one (standardise, whiten or project) or leave it out",
        );
    if (transform === "project" && task !== "label")
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `a projection tells labels apart, and a store of task ${task} has none; whiten instead`,
        );
}

/** One source on its way into a store. */
class Building {
    private readonly labelTokens: Token[][];
    private readonly labelLogits: LabelLogits | undefined;

    constructor(
        private readonly store: Datastore,
        private readonly metadata: RecipeMetadata,
        private readonly source: Source,
        private readonly options: BuildOptions,
    ) {
        this.labelTokens = firstTokens(metadata.labels ?? []);
        // Whole labels are told apart at more places than the prompt's end.
        if (metadata.recipe !== "label" || metadata.wholeLabels) return;
        this.labelLogits = new LabelLogits(this.labelTokens.length, metadata.labelLogits);
    }

    async run(passages: readonly Passage[]): Promise<void> {
        const { model, sealEvery = 4096, signal, onProgress, threads, lora } = this.options;
        await this.store.setMetadata({ ...this.metadata });
        const passagesDone = this.passagesDone(passages);
        const pending = passages.slice(passagesDone);
        this.labelLogits?.cut(this.allPassagesDone(passagesDone)); // a crash may have come between those of more and the entries themselves
        const total = countTokens(passages);
        let done = total - countTokens(pending);
        await withRecorder(model, passages, { threads, lora, layer: this.metadata.layer }, async (recorder) => {
            let sealedAt = performance.now();
            let unsealed = 0;
            for (const passage of pending) {
                onProgress?.({ done, total, unit: "tokens" });
                if (signal?.aborted) break;
                await this.add(recorder, passage);
                done += passage.tokens.length;
                unsealed += passage.values.length;
                if (unsealed >= sealEvery || performance.now() - sealedAt > sealAfterSeconds * 1000) {
                    await this.seal();
                    unsealed = 0;
                    sealedAt = performance.now();
                }
            }
        });
        await this.seal();
        if (!signal?.aborted) {
            this.source.complete = true;
            const { firstEntry } = this.source;
            if (firstEntry !== undefined)
                this.source.leftOut = passages.reduce(
                    (sum, { values }) => sum + values.length,
                    firstEntry - this.store.index.entries,
                );
            await this.store.setMetadata({ ...this.metadata });
        }
        onProgress?.({ done, total, unit: "tokens" });
        signal?.throwIfAborted();
    }

    private async add(recorder: Recorder, passage: Passage): Promise<void> {
        const { values, example, position } = passage;
        const { pruneAbove } = this.metadata;
        const { hidden, logits } = await recordPassage(recorder, passage, {
            logits: this.labelLogits !== undefined || pruneAbove !== undefined,
            reuseBeginning: true,
        });
        const all = Array.from(values.keys());
        const kept = pruneAbove === undefined || logits === undefined ? all : unprunedRows(logits, values, pruneAbove);
        if (kept.length > 0)
            this.store.append(
                selectRows(hidden, recorder.embeddingSize, kept),
                Int32Array.from(kept, (i) => values[i] as Token),
                {
                    examples: this.source.firstExample + example,
                    positions: Uint32Array.from(kept, (i) => position + i),
                },
            );
        if (logits !== undefined) this.labelLogits?.add(labelLogitsOf(logits, this.labelTokens, passage.openLabels));
    }

    private async seal(): Promise<void> {
        if (this.labelLogits !== undefined) {
            this.metadata.labelLogits = this.labelLogits.encode();
            await this.store.setMetadata({ ...this.metadata }); // first: what is lost with unsealed entries is recorded again with them
        }
        await this.store.seal();
    }

    /** How many passages of a label store are done: one for each entry, and each that was left out. */
    private allPassagesDone(ofSource: number): number {
        const { firstEntry } = this.source;
        return firstEntry === undefined
            ? this.store.index.entries
            : firstEntry + leftOutOf(this.metadata.sources.filter((source) => source !== this.source)) + ofSource;
    }

    /** How many passages the store holds already: those up to the last entry's origin. What was left out after it is done again. */
    private passagesDone(passages: readonly Passage[]): number {
        const { entries } = this.store.index;
        if (entries === 0) return 0;
        const { examples, positions } = this.store.origins([entries - 1]);
        const example = (examples[0] as number) - this.source.firstExample;
        const position = positions[0] as number;
        const pending = passages.findIndex(
            (passage) => passage.example > example || (passage.example === example && passage.position > position),
        );
        return pending < 0 ? passages.length : pending;
    }
}

async function openExisting({ path, backend, threads }: BuildOptions, model: ModelFingerprint): Promise<Datastore | undefined> {
    try {
        return await Datastore.open(path, { writable: true, model, ...defined({ backend, threads }) });
    } catch (error) {
        if (error instanceof RtdError && error.code === "ERR_RTD_NOT_FOUND") return undefined;
        throw error;
    }
}

/** Only a graph knows the names of its states: one token is run before a store is made for them. */
async function expectLayer(
    model: LlamaModel,
    passages: readonly Passage[],
    layer: string,
    { threads, lora }: ContextSettings,
): Promise<void> {
    const [first] = passages;
    if (first === undefined) return;
    await withRecorder(model, [first], { layer, threads, lora }, (recorder) => recorder.record(first.tokens.slice(0, 1)));
}

function newMetadata(options: BuildOptions, rows: readonly Row[]): RecipeMetadata {
    const { model, task, prompt, rotate, pooling, labels: spellings, wholeLabels, layer, pruneAbove } = options;
    if (task !== "label" && (prompt ?? pooling ?? spellings ?? (rotate || wholeLabels || undefined)) !== undefined)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `prompt, rotate, labels, wholeLabels and pooling are for task label, not ${task}`,
        );
    const settings = { pooling, spellings, wholeLabels };
    const recipe = task === "label" ? newLabelRecipe(model, rows as LabelRow[], prompt, rotate, settings) : {};
    return {
        recipe: task,
        ...recipe,
        ...defined({ layer: layerName(layer), pruneAbove }),
        ...defined({ shots: chooseShots(rows, task, options, options) }),
        defaults: fusionDefaults[task],
        sources: [],
    };
}

/** The metadata of a store that is there already; what it was built with cannot change. */
function continued(store: Datastore, options: BuildOptions): RecipeMetadata {
    const { task, prompt, rotate, pooling, wholeLabels, layer, pruneAbove, metric, dtype, heads, shots, shotSeed } = options;
    const metadata = recipeOf(store, task);
    const settings: [string, unknown, unknown][] = [
        ["prompt", prompt, metadata.prompt],
        ["rotate", rotate, metadata.rotate ?? false],
        ["pooling", pooling, metadata.pooling],
        ["wholeLabels", wholeLabels, metadata.wholeLabels ?? false],
        ["layer", layerName(layer), metadata.layer],
        ["pruneAbove", pruneAbove, metadata.pruneAbove],
        ["shots", shots, metadata.shots?.rows.length ?? 0],
        ["shotSeed", shotSeed, metadata.shots?.seed],
        ["metric", metric, store.index.metric],
        ["dtype", dtype, store.index.dtype],
        ["heads", heads, store.index.heads],
    ];
    for (const [name, given, kept] of settings)
        if (given !== undefined && given !== kept)
            throw new RtdError(
                "ERR_RTD_INVALID_ARGUMENT",
                `${store.path} was built with ${name} ${JSON.stringify(kept) ?? "left out"}, not ${JSON.stringify(given)}; leave it out or build another store`,
            );
    if (options.labels !== undefined) {
        const { prompt: template = "", labels = [], wholeLabels: whole = false } = metadata;
        const names = labels.map(({ name }) => name);
        expectSpellings(options.labels, names);
        if (JSON.stringify(labelsOf(options.model, template, names, options.labels, whole)) !== JSON.stringify(labels))
            throw new RtdError(
                "ERR_RTD_INVALID_ARGUMENT",
                `${store.path} was built with other spellings of its labels; leave labels out or build another store`,
            );
    }
    return metadata;
}

/**
 * Passages of the cut of the rows that the options name. `given`: rows of the same task (label or chat), answered before the prompts; by default the store's own
 * in-context examples, if it has any.
 */
export async function passagesOf(
    model: LlamaModel,
    metadata: RecipeMetadata,
    rows: readonly Row[],
    cut: Cut,
    given?: Shots<Row>,
): Promise<Passage[]> {
    if (metadata.recipe === "text") return textPassages(model, rows as TextRow[], cut);
    const some = cutRows(rows, cut);
    const shots = given ?? (metadata.shots && shotsBefore(some, metadata.shots));
    return metadata.recipe === "label"
        ? labelPassages(model, some as LabelRow[], labelRecipeOf(metadata), shots as Shots<LabelRow> | undefined)
        : chatPassages(model, some as ChatRow[], shots as Shots<ChatRow> | undefined);
}

const countTokens = (passages: readonly Passage[]): number => passages.reduce((sum, { tokens }) => sum + tokens.length, 0);
