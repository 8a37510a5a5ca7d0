/**
 * Keys made from a seed: normal numbers whose variance falls from direction to direction, turned so that the directions are not the axes.
 *
 * | name | d | variance |
 * |---|---|---|
 * | `gauss` | 576 | the same in every direction: nothing for a cascade to find |
 * | `power` | 4096 | of direction i as i^-1.17, which is what fits the hidden states of SmolLM2 best |
 * | `spectrum896` | 896 | 44, 64, 72, 80, 88% of it in the first 8, 32, 64, 128, 256 directions |
 */
import { copies, expectMemory, heldOut, randomBits, type KeySet } from "./key-set.js";

const shapes = {
    gauss: { d: 576, variance: () => 1 },
    power: { d: 4096, variance: (i: number) => (i + 1) ** -1.17 },
    spectrum896: { d: 896, variance: shares([8, 32, 64, 128, 256, 896], [0.44, 0.64, 0.72, 0.8, 0.88, 1]) },
} satisfies Record<string, { d: number; variance: (direction: number) => number }>;

export type SyntheticName = keyof typeof shapes;
export const syntheticNames = Object.keys(shapes) as SyntheticName[];

/** `d`: other dimensions than the set's own, for figures against d. */
export function synthetic(name: SyntheticName, n: number, d: number = shapes[name].d): KeySet {
    expectMemory(name, n, d, copies.exact);
    const deviations = Float64Array.from({ length: d }, (_, i) => Math.sqrt(shapes[name].variance(i)));
    const normal = normalNumbers(randomBits(7));
    const turn = rotation(d, randomBits(11));
    const rows = (count: number) => {
        const all = new Float32Array(count * d);
        for (let row = 0; row < count; row++) {
            const one = all.subarray(row * d, (row + 1) * d);
            for (let i = 0; i < d; i++) one[i] = normal() * deviations[i]!;
            turn(one);
        }
        return all;
    };
    return { name, d, n, keys: rows(n), queries: rows(heldOut) };
}

/** Variances of directions, equal within each band, such that the first `ends[i]` have `cumulative[i]` of their sum. */
function shares(ends: readonly number[], cumulative: readonly number[]): (direction: number) => number {
    return (direction) => {
        const band = ends.findIndex((end) => direction < end);
        const [before, start] = band > 0 ? [cumulative[band - 1]!, ends[band - 1]!] : [0, 0];
        return (cumulative[band]! - before) / (ends[band]! - start);
    };
}

/** Pairs by the polar form of Box and Muller. */
function normalNumbers(bits: () => number): () => number {
    let spare: number | undefined;
    return () => {
        if (spare !== undefined) {
            const number = spare;
            spare = undefined;
            return number;
        }
        for (;;) {
            const [a, b] = [bits() / 2 ** 31 - 1, bits() / 2 ** 31 - 1];
            const square = a * a + b * b;
            if (square >= 1 || square === 0) continue;
            const scale = Math.sqrt((-2 * Math.log(square)) / square);
            spare = b * scale;
            return a * scale;
        }
    };
}

/**
 * Turns rows in place, in d log d steps where a matrix would take d^2: three times signs, a permutation, and Hadamard transforms of as large parts as the
 * powers of two in d allow.
 */
function rotation(d: number, bits: () => number): (row: Float32Array) => void {
    const passes = Array.from({ length: 3 }, () => ({
        signs: Float32Array.from({ length: d }, () => (bits() & 1024 ? 1 : -1)),
        order: permutation(d, bits),
    }));
    const parts: [begin: number, length: number][] = [];
    for (let begin = 0; begin < d; begin += parts.at(-1)![1]) parts.push([begin, 2 ** Math.floor(Math.log2(d - begin))]);
    const turned = new Float32Array(d);
    return (row) => {
        for (const { signs, order } of passes) {
            for (let i = 0; i < d; i++) turned[i] = row[order[i]!]! * signs[i]!;
            for (const [begin, length] of parts) hadamard(turned, begin, length);
            row.set(turned);
        }
    };
}

function hadamard(row: Float32Array, begin: number, length: number): void {
    for (let half = 1; half < length; half *= 2)
        for (let block = begin; block < begin + length; block += 2 * half)
            for (let i = block; i < block + half; i++) {
                const [a, b] = [row[i]!, row[i + half]!];
                row[i] = (a + b) * Math.SQRT1_2;
                row[i + half] = (a - b) * Math.SQRT1_2;
            }
}

function permutation(length: number, bits: () => number): Uint32Array {
    const order = Uint32Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
        const j = bits() % (i + 1);
        [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
}
