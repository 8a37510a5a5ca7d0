/** Every setting of k, temperature and weight on the same neighbours: the model runs once, and so does the search. */
import { setImmediate } from "node:timers/promises";

import type { ModelRun } from "../evaluation/model-run.js";
import { voteFiguresOf } from "../evaluation/votes.js";
import { fuseSync } from "../fusion.js";
import type { FusionDefaults } from "../recipes/metadata.js";
import type { GateRows } from "./gate.js";
import type { Neighbours } from "./validation.js";

export const grid = {
    k: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    temperatureScale: [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6],
    referenceWeight: [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98],
} as const;

/** The log-probability of each row's right answer, for one weight or one of each row. */
export type Score = (referenceWeight: number | Float64Array) => Float64Array;

/**
 * The score of one k and temperature, for any weight. right: the right candidate of each row. Over the whole vocabulary, of labels too: decoding may answer with any
 * token.
 */
export function scoreOf(run: ModelRun, near: Neighbours, right: Int32Array, k: number, temperature: number): Score {
    const { candidates } = run;
    const votes = referenceOf(near, candidates, k, temperature);
    return (given) =>
        Float64Array.from(right, (candidate, row) => {
            const weight = hasNeighbours(near, row) ? (typeof given === "number" ? given : (given[row] as number)) : 0; // as fusion leaves a row without a hit alone
            const own = Math.exp(run.logProbabilities[row * candidates + candidate] as number);
            return Math.log((1 - weight) * own + weight * (votes[row * (candidates + 1) + candidate] as number));
        });
}

export const hasNeighbours = ({ counts, heads }: Neighbours, row: number): boolean =>
    counts.subarray(row * heads, (row + 1) * heads).some((count) => count > 0);

/** What a gate is fitted to: of each row the right answer's probabilities, and what a gate sees. Rows that no entry answers tell nothing. */
export function gateRowsOf(run: ModelRun, near: Neighbours, right: Int32Array, k: number, temperature: number): GateRows {
    const { candidates } = run;
    const few = firstOf(near, k);
    const votes = referenceOf(near, candidates, k, temperature);
    return {
        model: Float64Array.from(right, (candidate, row) =>
            Math.exp(run.logProbabilities[row * candidates + candidate] as number),
        ),
        reference: Float64Array.from(right, (candidate, row) => votes[row * (candidates + 1) + candidate] as number),
        ...voteFiguresOf({ ...few, tokens: few.ownTokens }, temperature),
        modelEntropy: run.entropy,
    };
}

/** The first k hits of each row, as fusion takes them; tokens are candidates. */
function firstOf(near: Neighbours, k: number) {
    const rowsOfHits = near.counts.length;
    const few = <T extends Float32Array | Int32Array>(all: T, to: T): T => {
        for (let row = 0; row < rowsOfHits; row++) to.set(all.subarray(row * near.k, row * near.k + k), row * k);
        return to;
    };
    return {
        k,
        heads: near.heads,
        distances: few(near.distances, new Float32Array(rowsOfHits * k)),
        tokens: few(near.votes, new Int32Array(rowsOfHits * k)),
        ownTokens: few(near.tokens, new Int32Array(rowsOfHits * k)),
        counts: near.counts.map((count) => Math.min(count, k)),
    };
}

/** The reference's own distribution over the candidates and all other tokens, [rows, candidates + 1], by the core's fusion at weight 1. */
function referenceOf(near: Neighbours, candidates: number, k: number, temperature: number): Float64Array {
    const hits = firstOf(near, k);
    const logits = new Float32Array((near.counts.length / near.heads) * (candidates + 1));
    fuseSync(hits, logits, { temperature, referenceWeight: 1 });
    return Float64Array.from(logits, Math.exp);
}

export interface Tried extends FusionDefaults {
    /** The space that was searched. */
    space: string;
    /** The mean log-probability of the right answers. */
    score: number;
}

/** A setting with the log-probability of every row's right answer. */
export interface Scored extends Tried {
    rows: Float64Array;
}

export interface Trial {
    tried: Tried[];
    /** The best of each k, k ascending. */
    bestOfEach: Scored[];
}

export interface TryOptions {
    space: string;
    /** The space's temperature of scale 1. */
    unit: number;
    /** Puts the rows of an answer together. */
    inUnits?: (rows: Float64Array) => Float64Array;
    signal?: AbortSignal | undefined;
}

/** All settings in one space. */
export async function tryAll(
    run: ModelRun,
    near: Neighbours,
    right: Int32Array,
    { space, unit, inUnits = (rows) => rows, signal }: TryOptions,
): Promise<Trial> {
    const tried: Tried[] = [];
    const bestOfEach: Scored[] = [];
    for (const k of grid.k.filter((k) => k <= near.k)) {
        let best: Scored | undefined;
        for (const temperatureScale of grid.temperatureScale) {
            await setImmediate();
            signal?.throwIfAborted();
            const scores = scoreOf(run, near, right, k, temperatureScale * unit);
            for (const referenceWeight of grid.referenceWeight) {
                const rows = inUnits(scores(referenceWeight));
                const one = { space, k, temperatureScale, referenceWeight, score: meanOf(rows) };
                tried.push(one);
                if (best === undefined || one.score > best.score) best = { ...one, rows };
            }
        }
        if (best !== undefined) bestOfEach.push(best);
    }
    return { tried, bestOfEach };
}

/** From one setting on to the next k or temperature, as long as that scores better. */
export async function climb<T extends Tried>(
    ks: readonly number[],
    scales: readonly number[],
    start: Pick<Tried, "k" | "temperatureScale">,
    at: (k: number, temperatureScale: number) => Promise<T>,
): Promise<T> {
    const seen = new Set([`${start.k} ${start.temperatureScale}`]);
    let best = await at(start.k, start.temperatureScale);
    for (let from: T | undefined; from !== best;) {
        from = best;
        const [i, j] = [ks.indexOf(from.k), scales.indexOf(from.temperatureScale)];
        const next = [
            [ks[i - 1], scales[j]],
            [ks[i + 1], scales[j]],
            [ks[i], scales[j - 1]],
            [ks[i], scales[j + 1]],
        ] as const;
        for (const [k, scale] of next) {
            if (k === undefined || scale === undefined || seen.has(`${k} ${scale}`)) continue;
            seen.add(`${k} ${scale}`);
            const one = await at(k, scale);
            if (one.score > best.score) best = one;
        }
    }
    return best;
}

export function meanOf(values: Float64Array): number {
    return values.reduce((sum, value) => sum + value, 0) / values.length;
}
