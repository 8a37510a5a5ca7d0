/** Classification of texts that have no label yet, by the model and a label store. */
import { expectFlag, expectWhole, invalid } from "../arguments.js";
import type { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import { expectLlamaModel, fingerprintModel } from "../llama/fingerprint.js";
import type { LoraAdapter } from "../llama/lora.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { expectGivenOptions } from "../option-names.js";
import type { Progress } from "../recipes/build.js";
import type { LabelQuery, LabelRow } from "../recipes/data.js";
import { queryPassages } from "../recipes/label.js";
import { labelRecipeOf, recipeOf } from "../recipes/metadata.js";
import { References, type ReferenceText } from "../recipes/references.js";
import { valuesOfLabel } from "../recipes/spelling.js";
import { openProbabilities } from "./label-methods.js";
import { labelReading } from "./label-reading.js";
import { matchedBiasOf } from "./matched-bias.js";
import { mergeReference } from "./merge.js";
import { argmax } from "./metrics.js";
import { runModel } from "./model-run.js";
import { fusionOf, type FusionSettings } from "./options.js";
import { RunCache } from "./run-cache.js";
import { votesByEntry } from "./votes.js";

/** A question with options to choose from, for stores of such. */
export interface Question {
    question: string;
    options: readonly string[];
}

export interface ClassifyOptions extends FusionSettings {
    store: Datastore;
    model: LlamaModel;
    /** Texts, or questions where the store was built from those. */
    texts: readonly (string | Question)[];
    /** Whether the model's prior over the labels is taken away by the store's own prompts, if it keeps their logits. Default true. */
    matchedBias?: boolean | undefined;
    /** How many of the references that weigh most are described. Default 3. */
    references?: number | undefined;
    /** LoRA adapters that the model runs with; those that the store was built with. Default: none. */
    lora?: readonly LoraAdapter[] | undefined;
    /** A folder where runs of the model are kept. */
    cacheDirectory?: string | undefined;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
    onProgress?: ((progress: Progress) => void) | undefined;
}

export interface Classification {
    /** The most probable label; for questions the letter of an option. */
    label: string;
    /** Of each label that may be the answer; they sum to 1. */
    probabilities: Record<string, number>;
    /** Those with the largest part in the reference's vote, largest first. */
    references: ClassReference[];
}

export interface ClassReference extends ReferenceText {
    /** Its label's name; undefined if it is none of the store's. */
    label: string | undefined;
    /** With several heads the smallest of theirs. */
    distance: number;
    /** Of the reference's vote, 0 to 1. */
    share: number;
}

/**
 * The labels of texts, of all label stores, pooled or not. One run of the model over each text's prompt.
 * @throws RtdError `ERR_RTD_INVALID_ARGUMENT` (another kind of store, or of texts), `ERR_RTD_NO_TEMPERATURE` (an empty store); the signal's reason when aborted
 */
export async function classify(options: ClassifyOptions): Promise<Classification[]> {
    expectGivenOptions(options, "classify");
    const { store, model, texts, matchedBias = true, references = 3, cacheDirectory, signal } = options;
    expectFlag(matchedBias, "matchedBias");
    expectWhole(references, "references", 0);
    const metadata = recipeOf(store, "label");
    expectLlamaModel(model);
    const recipe = labelRecipeOf(metadata);
    const queries = queriesOf(texts, recipe.prompt.includes("{question}"));
    const passages = queryPassages(model, queries, recipe, metadata.shots?.rows as LabelRow[] | undefined);
    const fusion = fusionOf(store, metadata, options);
    const cache = cacheDirectory === undefined ? undefined : new RunCache(cacheDirectory, await fingerprintModel(model, options));
    if (passages.length === 0) return [];
    const reading = labelReading(recipe);
    const { candidates, tokens } = reading;
    const asking = { ...options, cache, layer: metadata.layer, labels: candidates, unit: "examples" } as const;
    const run = await runModel(reading.passagesOf(passages), asking);
    const bias = matchedBias ? matchedBiasOf(metadata) : undefined;
    const merged = await mergeReference(store.index, run, { fusion, tokens, bias, signal });
    const all = openProbabilities(reading.scoresOf(merged), passages);
    /** From one prompt's end to the next. */
    const stride = run.dim * reading.rowsPerPassage;
    const lookup = new References(store, model);
    const results: Classification[] = [];
    const { length: count } = recipe.labels;
    for (const [row, { openLabels = count }] of passages.entries()) {
        const own = all.subarray(row * count, row * count + openLabels);
        const names = recipe.labels.slice(0, openLabels).map(({ name }) => name);
        results.push({
            label: names[argmax(own)] as string,
            probabilities: Object.fromEntries(names.map((name, i) => [name, own[i] as number])),
            references: await referencesOf(row),
        });
    }
    return results;

    async function referencesOf(row: number): Promise<ClassReference[]> {
        if (references === 0) return [];
        const hits = await store.index.search(run.hidden.subarray(row * stride, row * stride + run.dim), { k: fusion.k, signal });
        const votes = votesByEntry(hits, fusion.temperature).slice(0, references);
        const described = await lookup.describe(votes.map(({ id }) => id));
        return votes.map(({ id, distance, share }, i) => ({
            ...(described[i] as ReferenceText),
            label: recipe.labels.find((label) => holds(store, id, valuesOfLabel(label)))?.name,
            distance,
            share,
        }));
    }
}

/** Whether these are the values of an entry and of those that follow it in its example. */
function holds(store: Datastore, id: number, values: readonly number[]): boolean {
    if (id + values.length > store.index.entries) return false;
    const ids = Uint32Array.from(values, (_, i) => id + i);
    const { examples, positions } = store.origins(ids);
    const { tokens } = store.index.entriesOf(ids);
    return values.every(
        (value, i) => tokens[i] === value && examples[i] === examples[0] && positions[i] === (positions[0] as number) + i,
    );
}

function queriesOf(texts: unknown, areQuestions: boolean): LabelQuery[] {
    if (!Array.isArray(texts)) return invalid("texts: expected an array");
    return texts.map((text: unknown, i): LabelQuery => {
        const { question, options } = (text ?? {}) as Partial<Question>;
        if (typeof text === "string" && text !== "" && !areQuestions) return { kind: "labelled", text };
        const isQuestion = typeof question === "string" && Array.isArray(options) && options.length >= 2 && options.length <= 26;
        if (isQuestion && areQuestions && options.every((option) => typeof option === "string"))
            return { kind: "choice", question, options: [...options] };
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `texts[${i}]: expected ${areQuestions ? '{"question": string, "options": [2 to 26 strings]}, as the store was built from' : "a text that is not empty"}`,
        );
    });
}
