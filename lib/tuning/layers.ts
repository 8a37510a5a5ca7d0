/**
 * Other layers' states as keys: a sample of the store's own examples is recorded in each and answers for itself, an example never for itself. Keys of another layer are
 * another store, so what is found is only told.
 */
import { describe, invalid } from "../arguments.js";
import type { Datastore } from "../datastore.js";
import type { Interval } from "../evaluation/bootstrap.js";
import { runModel, type RunOptions } from "../evaluation/model-run.js";
import { layerName, type Layer } from "../llama/layer.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import type { Passage } from "../recipes/passage.js";
import { createIndex, ownTemperatureScale } from "../reference-index.js";
import { tryAll, type Scored, type Tried } from "./grid.js";
import { entriesOfRows, findNeighbours, noNeighbours } from "./validation.js";

export interface LayerTrial {
    /** By llama.cpp's name; undefined: the states after the last norm. */
    layer: string | undefined;
    /** Its best setting, with the sample alone as references. */
    best: Tried;
    /** By how much it scores above the store's own layer, of that itself undefined. */
    gain: { value: number; interval: Interval } | undefined;
}

export interface LayerOptions extends Omit<RunOptions, "layer"> {
    store: Datastore;
    model: LlamaModel;
    /** The store's own, first, and those to compare with it. */
    own: string | undefined;
    layers: readonly Layer[];
    passages: readonly Passage[];
    /** Hits of a row at most. */
    k: number;
    canonical: (example: number) => number;
    /** As of `mergeReference`, and the right candidate of each row. */
    tokens: readonly Token[];
    right: Int32Array;
    inUnits: (rows: Float64Array) => Float64Array;
    compare: (a: Scored, b: Scored) => { value: number; interval: Interval };
}

/** Whether they are names; only a graph says which of them it has. */
export function expectLayers(layers: unknown): void {
    if (layers !== undefined && !Array.isArray(layers)) invalid(`layers: expected an array, got ${describe(layers)}`);
    layers?.forEach(layerName);
}

/** @throws RtdError `ERR_RTD_INVALID_ARGUMENT` (the model has no states of such a name) */
export async function tryLayers(options: LayerOptions): Promise<LayerTrial[]> {
    const { store, own, layers, inUnits, right, signal, compare } = options;
    const names = [own, ...layers.map(layerName)].filter((name, i, all) => all.indexOf(name) === i);
    const rows = entriesOfRows(store, options.passages);
    const trials: LayerTrial[] = [];
    let first: Scored | undefined;
    for (const layer of names) {
        const run = await runModel(options.passages, { ...options, layer });
        using index = createIndex({ dim: run.dim, metric: store.index.metric, threads: store.index.threads });
        const keys = new Float32Array(rows.length * run.dim);
        rows.forEach(({ row }, i) => keys.set(run.hidden.subarray(row * run.dim, (row + 1) * run.dim), i * run.dim));
        index.add(
            keys,
            Int32Array.from(rows, ({ token }) => token),
        );
        await index.seal(signal && { signal });
        const near = noNeighbours(right.length, 1, Math.min(options.k, rows.length));
        const searched = { index, ids: Uint32Array.from(rows, ({ id }) => id) };
        await findNeighbours(near, store, { searched, holds: () => true }, run, options.passages, { ...options, k: near.k });
        const unit = (index.temperature as number) / ownTemperatureScale;
        const { bestOfEach } = await tryAll(run, near, right, { space: layer ?? "last norm", unit, inUnits, signal });
        const { rows: scores, ...best } = bestOfEach.reduce((a, b) => (b.score > a.score ? b : a));
        first ??= { ...best, rows: scores };
        trials.push({ layer, best, gain: layer === own ? undefined : compare({ ...best, rows: scores }, first) });
    }
    return trials;
}

/** Says which layer is worth another store, if one is. */
export function layerOutcome(trials: readonly LayerTrial[]): string {
    const better = trials.filter(({ gain }) => gain !== undefined && gain.interval[0] > 0);
    const [best] = better.sort((a, b) => b.best.score - a.best.score);
    if (best === undefined) return "No other layer's states answer better beyond noise than those that the store has.";
    const { value, interval } = best.gain as NonNullable<LayerTrial["gain"]>;
    return (
        `The states of ${best.layer ?? "the last norm"} score ${value.toFixed(4)} (95%: ${interval.map((end) => end.toFixed(4)).join(" to ")}) above those that ` +
        `the store has, with the sample alone as references: ${best.layer === undefined ? "build a store without --layer" : `build a store with --layer ${best.layer}`} and tune that.`
    );
}
