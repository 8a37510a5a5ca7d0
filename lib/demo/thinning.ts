/**
 * Datastore size against quality, of a text: entries left out that the model alone predicts, near-duplicates merged with their counts as weights (greedy merging:
 * He, Neubig & Berg-Kirkpatrick 2021), and as many entries left out by chance. Weights of entries are in no index: merging would have to be worth it first.
 */
import { Datastore } from "../datastore.js";
import type { Estimate } from "../evaluation/bootstrap.js";
import { mergeReference } from "../evaluation/merge.js";
import { perplexity } from "../evaluation/metrics.js";
import { runModel, type ModelRun } from "../evaluation/model-run.js";
import { RunCache } from "../evaluation/run-cache.js";
import { changeOf } from "../evaluation/text.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import { passagesOf, type Progress } from "../recipes/build.js";
import { shuffle } from "../recipes/cut.js";
import { readRows } from "../recipes/data.js";
import { fusionDefaults, recipeOf } from "../recipes/metadata.js";
import { createIndex, ownTemperatureScale, type ReferenceIndex } from "../reference-index.js";
import { entriesOfRows, ownPassages } from "../tuning/validation.js";
import type { MeasuredTask } from "./tasks.js";

export interface Thinned {
    way: string;
    entries: number;
    perplexity: number;
    /** By which share the perplexity is above the model's (negative: below). */
    change: Estimate;
    /** By which share it is above that of as many entries by chance. */
    againstChance?: Estimate;
}

interface ThinningOptions {
    model: LlamaModel;
    /** Where runs of the model are kept. */
    cacheDirectory: string;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
    onProgress?: ((what: string, progress: Progress) => void) | undefined;
}

/** Entries that stay, and how many each stands for. Without weights: one each. */
interface Kept {
    way: string;
    ids: Uint32Array;
    weights?: Float64Array;
}

const pruneLimits = [0.1, 0.5, 0.9];
const mergedNeighbours = [2, 8, 32];
const rowsAtOnce = 256;

/** The store of a text task that has been built, thinned in several ways, with the recipe's k, temperature scale and weight, on the task's first test. */
export async function measureThinning(task: MeasuredTask, path: string, options: ThinningOptions): Promise<Thinned[]> {
    const { model, cacheDirectory, threads, signal, onProgress } = options;
    const store = await Datastore.open(path, { model: await fingerprintModel(model), threads });
    try {
        const metadata = recipeOf(store, "text");
        const { passages } = await ownPassages(store, model, metadata, Infinity);
        const running = { model, threads, signal, unit: "tokens" } as const;
        const own = await runModel(passages, {
            ...running,
            onProgress: (progress) => onProgress?.(`${task.title}, what the model predicts`, progress),
        });
        const [test] = task.tests;
        const { data, ...cut } = test as MeasuredTask["tests"][0];
        const asked = await passagesOf(model, metadata, await readRows([data], "text"), cut);
        const cache = new RunCache(cacheDirectory, await fingerprintModel(model));
        const run = await runModel(asked, { ...running, cache });
        const all = entriesOfRows(store, passages).sort((a, b) => a.id - b.id);
        const entries = {
            keys: rowsOf(
                own.hidden,
                own.dim,
                Uint32Array.from(all, ({ row }) => row),
            ),
            tokens: Int32Array.from(all, ({ token }) => token),
            predicted: Float64Array.from(all, ({ row }) => Math.exp(own.logProbabilities[row] as number)),
        };
        const scoring = { run, values: asked.flatMap(({ values }) => values), threads, signal };
        const everything = await indexOf(entries, Uint32Array.from(all.keys()), scoring);
        const ways = [
            ...pruneLimits.map((limit) => unpredicted(entries.predicted, limit)),
            ...(await merged(everything, entries, signal)),
        ];
        everything.dispose();
        const score = (kept: Kept) => logsOf(entries, kept, scoring);
        const whole: Kept = { way: "all", ids: Uint32Array.from(all.keys()) };
        const thinned: Thinned[] = [thinnedOf(whole, await score(whole), run)];
        for (const [done, way] of ways.entries()) {
            onProgress?.(`${task.title}, thinned`, { done, total: ways.length, unit: "stores" });
            const some = Uint32Array.from(shuffle([...whole.ids], 1).slice(0, way.ids.length)).sort();
            const chance: Kept = { way: "as many by chance", ids: some };
            const [logs, byChance] = [await score(way), await score(chance)];
            thinned.push(thinnedOf(way, logs, run, byChance), thinnedOf(chance, byChance, run));
        }
        return thinned;
    } finally {
        await store.close();
    }
}

interface Entries {
    /** [entries, dim] */
    keys: Float32Array;
    tokens: Int32Array;
    /** The model's probability of each entry's token where it stood. */
    predicted: Float64Array;
}

const unpredicted = (predicted: Float64Array, limit: number): Kept => ({
    way: `p > ${limit} left out`,
    ids: Uint32Array.from(predicted.keys()).filter((id) => (predicted[id] as number) <= limit),
});

/** In the entries' order: one that is not merged yet takes those of its nearest that have its token and are whole. */
async function merged(index: ReferenceIndex, { keys, tokens }: Entries, signal: AbortSignal | undefined): Promise<Kept[]> {
    const states = mergedNeighbours.map((count) => ({ count, weights: new Float64Array(tokens.length).fill(1) }));
    const dim = keys.length / tokens.length;
    for (let begin = 0; begin < tokens.length; begin += rowsAtOnce) {
        const hits = await index.search(keys.subarray(begin * dim, (begin + rowsAtOnce) * dim), {
            k: Math.max(...mergedNeighbours) + 1, // itself is one of them
            signal,
        });
        for (const [row, found] of hits.counts.entries()) {
            const id = begin + row;
            const near = hits.ids.subarray(row * hits.k, row * hits.k + found).filter((other) => other !== id);
            for (const { count, weights } of states) {
                if (weights[id] === 0) continue;
                for (const other of near.subarray(0, count)) {
                    if (tokens[other] !== tokens[id] || weights[other] !== 1) continue;
                    weights[other] = 0;
                    weights[id]! += 1;
                }
            }
        }
    }
    return states.map(({ count, weights }) => {
        const ids = Uint32Array.from(weights.keys()).filter((id) => weights[id] !== 0);
        return { way: `merged with ${count} nearest`, ids, weights: Float64Array.from(ids, (id) => weights[id] as number) };
    });
}

interface Scoring {
    run: ModelRun;
    values: readonly Token[];
    threads: number | undefined;
    signal: AbortSignal | undefined;
}

async function indexOf({ keys, tokens }: Entries, ids: Uint32Array, { run, threads, signal }: Scoring): Promise<ReferenceIndex> {
    const index = createIndex({ dim: run.dim, threads });
    index.add(
        rowsOf(keys, run.dim, ids),
        Int32Array.from(ids, (id) => tokens[id] as number),
    );
    await index.seal(signal && { signal });
    return index;
}

/** The log-probability of each value. */
async function logsOf(entries: Entries, { ids, weights }: Kept, scoring: Scoring): Promise<Float64Array> {
    const { run, values, signal } = scoring;
    using index = await indexOf(entries, ids, scoring);
    const { k, temperatureScale, referenceWeight } = fusionDefaults.text;
    const temperature = ((index.temperature as number) * temperatureScale) / ownTemperatureScale;
    const fusion = { k: Math.min(k, ids.length), temperature, referenceWeight };
    if (weights === undefined) return await mergeReference(index, run, { fusion, tokens: values, signal });
    const logs = new Float64Array(values.length);
    for (let begin = 0; begin < values.length; begin += rowsAtOnce) {
        const queries = run.hidden.subarray(begin * run.dim, (begin + rowsAtOnce) * run.dim);
        const hits = await index.search(queries, { k: fusion.k, signal });
        for (const [row, count] of hits.counts.entries()) {
            const [first, value] = [row * hits.k, values[begin + row]];
            let [all, right] = [0, 0];
            for (let i = first; i < first + count; i++) {
                const farther = (hits.distances[i] as number) - (hits.distances[first] as number);
                const vote = (weights[hits.ids[i] as number] as number) * Math.exp(-farther / temperature);
                all += vote;
                if (hits.tokens[i] === value) right += vote;
            }
            const own = Math.exp(run.logProbabilities[begin + row] as number);
            logs[begin + row] = Math.log((1 - referenceWeight) * own + (referenceWeight * right) / all);
        }
    }
    return logs;
}

function thinnedOf({ way, ids }: Kept, logs: Float64Array, run: ModelRun, byChance?: Float64Array): Thinned {
    return {
        way,
        entries: ids.length,
        perplexity: perplexity(logs),
        change: changeOf(logs, run.logProbabilities),
        ...(byChance && { againstChance: changeOf(logs, byChance) }),
    };
}

function rowsOf(matrix: Float32Array, dim: number, rows: Uint32Array): Float32Array {
    const some = new Float32Array(rows.length * dim);
    rows.forEach((row, i) => some.set(matrix.subarray(row * dim, (row + 1) * dim), i * dim));
    return some;
}
