/** Builds a task's store and evaluates its tests, one after the other, in each of the ways it is to be searched. */
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { Datastore } from "../datastore.js";
import { evaluate, type Evaluation } from "../evaluation/index.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { buildDatastore, type Progress } from "../recipes/build.js";
import { LabelLogits } from "../recipes/label-logits.js";
import { fusionDefaults, recipeOf, type FusionDefaults, type RecipeMetadata } from "../recipes/metadata.js";
import { setTo } from "../tuning/spaces.js";
import { tune } from "../tuning/tune.js";
import { writeWithContext } from "./retrieved-context.js";
import { plain, type MeasuredTask, type Part, type Variant } from "./tasks.js";

export interface Measurement {
    /** "task/variant/test" */
    name: string;
    title: string;
    /** How the store was searched; of a tuned one what was found. */
    variant: string;
    settings: FusionDefaults & { space: string };
    /** Entries of the store. */
    entries: number;
    /** In-context examples before the prompts of the store's own. */
    shots: number;
    evaluation: Evaluation;
}

export interface MeasureOptions {
    model: LlamaModel;
    /** Where stores and runs of the model are kept. */
    directory: string;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
    onProgress?: ((what: string, progress: Progress) => void) | undefined;
    /** Measurements that an earlier run made, by name. */
    known?: ReadonlyMap<string, Measurement>;
}

export const storePath = (directory: string, task: MeasuredTask): string => join(directory, `${task.name}.rtd`);

/** Yields each measurement when it is there. */
export async function* measure(tasks: readonly MeasuredTask[], options: MeasureOptions): AsyncGenerator<Measurement> {
    for (const task of tasks) {
        const open = variantsOf(task).filter((variant) => knownOf(task, variant, options) === undefined);
        if (open.length > 0) await build(task, options);
        for (const variant of variantsOf(task)) yield* knownOf(task, variant, options) ?? measureVariant(task, variant, options);
    }
}

const variantsOf = ({ variants = [plain] }: MeasuredTask): readonly Variant[] => variants;

const nameOf = (task: MeasuredTask, variant: Variant, test: MeasuredTask["tests"][0]): string =>
    `${task.name}/${variant.name}/${test.name}`;

/** What is known of all tests of a variant, or nothing. */
function knownOf(task: MeasuredTask, variant: Variant, { known }: MeasureOptions): Measurement[] | undefined {
    const measurements = task.tests.flatMap((test) => known?.get(nameOf(task, variant, test)) ?? []);
    return measurements.length === task.tests.length ? measurements : undefined;
}

/** What goes into a store, or is asked of it: a part of a file, or that as it was written after its context. */
async function dataOf(task: MeasuredTask, name: string, part: Part, options: MeasureOptions) {
    const { context, references } = task;
    if (context === undefined) return cutOf(part);
    const store = join(options.directory, `${context.from}.rtd`);
    return { data: [await writeWithContext(`${task.name}-${name}`, context, store, { ...part, references }, options)] };
}

const cutOf = ({ data, seed, offset, limit }: Part) => ({ data: [data], seed, offset, limit });

async function build(task: MeasuredTask, options: MeasureOptions): Promise<void> {
    const { model, directory, threads, signal, onProgress } = options;
    await buildDatastore({
        path: storePath(directory, task),
        model,
        task: task.task,
        threads,
        signal,
        prompt: task.prompt,
        layer: task.layer,
        rotate: task.rotate,
        shots: task.shots?.count,
        shotSeed: task.shots?.seed,
        ...(await dataOf(task, "references", task.references, options)),
        onProgress: (progress) => onProgress?.(`${task.title}, building`, progress),
    });
}

async function* measureVariant(task: MeasuredTask, variant: Variant, options: MeasureOptions): AsyncGenerator<Measurement> {
    const { model, directory, threads, signal, onProgress } = options;
    const cacheDirectory = join(directory, "runs");
    const whole = await Datastore.open(storePath(directory, task), {
        writable: true,
        model: await fingerprintModel(model),
        threads,
    });
    const cut = variant.examples === undefined ? undefined : join(directory, `${task.name}-part.rtd`);
    const store = cut === undefined ? whole : await someExamples(whole, cut, variant);
    try {
        // Whatever an earlier variant, or an interrupted one, left.
        await setTo(store, variant.space, { signal });
        const metadata = recipeOf(store);
        await store.setMetadata({ ...metadata, space: variant.space, defaults: fusionDefaults[task.task] });
        const title = `${task.title}, ${variant.name}`;
        const told = (what: string) => (progress: Progress) => onProgress?.(`${title}, ${what}`, progress);
        const { isTuned, sample } = variant;
        if (isTuned) await tune({ store, model, sample, cacheDirectory, threads, signal, onProgress: told("tuning") });
        const { defaults, space = variant.space } = recipeOf(store);
        for (const test of task.tests) {
            const { shots, retrieved } = variant;
            const tests = (shots ?? retrieved)?.tests ?? test.limit;
            const evaluation = await evaluate({
                store,
                model,
                task: task.task,
                threads,
                signal,
                cacheDirectory,
                shots: shots?.count,
                retrieved: retrieved?.count,
                ...(await dataOf(task, test.name, { ...test, ...(tests !== undefined && { limit: tests }) }, options)),
                onProgress: told(test.title),
            });
            yield {
                name: nameOf(task, variant, test),
                title: `${task.title}, ${test.title}`,
                variant: variant.name,
                settings: { ...defaults, space: space.name },
                entries: store.size,
                shots: task.shots?.count ?? 0,
                evaluation,
            };
        }
    } finally {
        await store.close();
        await whole.close();
        if (cut !== undefined) await rm(cut, { recursive: true, force: true });
    }
}

/** A store of some of another's examples. */
async function someExamples(whole: Datastore, path: string, variant: Variant): Promise<Datastore> {
    const count = variant.examples as number;
    const metadata = recipeOf(whole);
    const all = Uint32Array.from({ length: whole.index.entries }, (_, id) => id);
    const { examples, positions } = whole.origins(all);
    const isTaken = variant.areHardest
        ? hardestOf(whole, metadata, count)
        : (_: number, id: number) => (examples[id] as number) < count;
    const ids = all.filter((id) => isTaken(examples[id] as number, id));
    await rm(path, { recursive: true, force: true });
    const { metric, dtype } = whole.index;
    const store = await Datastore.create(path, {
        dim: whole.dim,
        metric,
        dtype,
        model: whole.manifest.model as never,
        metadata: {},
    });
    store.append(whole.keysOf(ids), whole.index.entriesOf(ids).tokens, {
        examples: Uint32Array.from(ids, (id) => examples[id] as number),
        positions: Uint32Array.from(ids, (id) => positions[id] as number),
    });
    await store.seal();
    const [source] = metadata.sources;
    const { labels, labelLogits } = metadata;
    const logits = labels && new LabelLogits(labels.length);
    const known = labels && new LabelLogits(labels.length, labelLogits);
    for (const id of ids) if (known !== undefined && id < known.rows) logits?.add(known.row(id));
    await store.setMetadata({
        ...metadata,
        sources: source === undefined ? [] : [{ ...source, limit: count, examples: count }],
        ...(logits && { labelLogits: logits.encode() }),
    });
    return store;
}

/** Those entries of a label store whose labels the model alone finds least probable among the labels: one entry an example. */
function hardestOf(
    store: Datastore,
    { labels = [], labelLogits }: RecipeMetadata,
    count: number,
): (_: number, id: number) => boolean {
    const logits = new LabelLogits(labels.length, labelLogits);
    const tokens = store.index.entriesOf(Uint32Array.from({ length: logits.rows }, (_, id) => id)).tokens;
    const probability = Array.from({ length: logits.rows }, (_, id) => {
        const row = logits.row(id);
        return (
            (row[labels.findIndex(({ token }) => token === tokens[id])] as number) -
            Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0))
        );
    });
    const order = probability.map((_, id) => id).sort((a, b) => (probability[a] as number) - (probability[b] as number));
    const hardest = new Set(order.slice(0, count));
    return (_, id) => hardest.has(id);
}
