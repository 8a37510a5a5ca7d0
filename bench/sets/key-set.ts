import { freemem } from "node:os";

import type { Dtype } from "../../lib/index.js";

/** Keys to be searched and queries to search them for, float32, row by row; all figures of a run are of some such set. */
export interface KeySet {
    name: string;
    /** Numbers in a key. */
    d: number;
    /** Keys. */
    n: number;
    /** [n, d] at the beginning of a buffer of its own, as usearch's binding needs it. */
    keys: Float32Array;
    /** [m, d]; none of them is among the keys. */
    queries: Float32Array;
    /** What all keys are numbers of: an index that keeps them so rounds nothing. Default f32. */
    dtype?: Dtype;
    /** The true nearest of each query, where the set's file says so: [m, k] ids, nearest first. */
    neighbors?: { ids: Int32Array; k: number };
}

/** Thrown where a set cannot be had; the figures that need it are reported as left out for this reason. */
export class NoSet extends Error {}

/** Queries that are kept out of the keys of a set without queries of its own. */
export const heldOut = 1024;

/** The last rows as queries and the first `n` of the others as keys. */
export function split(name: string, rows: Float32Array, d: number, n = Infinity): KeySet {
    const count = rows.length / d;
    const queries = Math.min(heldOut, Math.floor(count / 8));
    const kept = Math.min(n, count - queries);
    if (queries < 1) throw new NoSet(`${name} has ${count} keys: too few, 8 or more are needed`);
    return { name, d, n: kept, keys: rows.slice(0, kept * d), queries: rows.slice((count - queries) * d) };
}

/** How often the keys of a set lie in memory while it is searched: the set, two indexes and a cascade; and where peers keep keys of their own, those. */
export const copies = { light: 3.5, exact: 7 } as const;

/** Ends in {@link NoSet} before a set is made for which this machine has not the memory. */
export function expectMemory(name: string, n: number, d: number, copies: number, free = freemem()): void {
    const needed = copies * n * d * Float32Array.BYTES_PER_ELEMENT;
    const gigabytes = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
    if (needed > 0.9 * free)
        throw new NoSet(
            `${n} keys of ${name} take ${gigabytes(needed)} GiB with all indexes of them, ${gigabytes(free)} GiB are free`,
        );
}

/** Uniform 32-bit numbers that are the same for the same seed on every machine (xorshift128). */
export function randomBits(seed: number): () => number {
    let [x, y, z, w] = [123456789 ^ seed, 362436069, 521288629, 88675123 + Math.imul(seed, 2654435761)];
    const next = () => {
        const t = x ^ (x << 11);
        [x, y, z] = [y, z, w];
        w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
        return w >>> 0;
    };
    for (let i = 0; i < 32; i++) next(); // similar seeds begin alike
    return next;
}
