/**
 * What the library must give, written again from the words of the design alone: float32 by Math.fround, wider arithmetic where the design leaves
 * the rounding open. Slow and plain on purpose.
 */
import type { Dtype, Metric, RowOptions } from "../../../lib/index.js";

const word = new DataView(new ArrayBuffer(8));

/** float32 fma: one rounding. The product of two float32 is exact in a double; the sum is rounded to odd there, so that rounding it again is safe. */
export function fma(a: number, b: number, c: number): number {
    const product = a * b;
    const sum = product + c;
    if (!Number.isFinite(sum)) return Math.fround(sum);
    const back = sum - product;
    const error = product - (sum - back) + (c - back);
    if (error === 0) return Math.fround(sum);
    word.setFloat64(0, sum);
    const bits = word.getBigUint64(0);
    if ((bits & 1n) === 1n) return Math.fround(sum);
    word.setBigUint64(0, bits + (error > 0 === sum > 0 ? 1n : -1n));
    return Math.fround(word.getFloat64(0));
}

/** 128 partial sums in order of i, then folded by halves. */
export function canonicalSum(query: Float32Array, key: Float32Array, metric: Metric): number {
    const partial = new Float32Array(128);
    for (const [i, q] of query.entries()) {
        const x = key[i]!;
        const difference = Math.fround(q - x);
        partial[i % 128] = metric === "dot" ? fma(q, x, partial[i % 128]!) : fma(difference, difference, partial[i % 128]!);
    }
    for (let half = 64; half >= 1; half /= 2) {
        for (let j = 0; j < half; ++j) partial[j] = partial[j]! + partial[j + half]!;
    }
    return partial[0]!;
}

/** Bits that sort as the numbers do; -0 counts as 0. */
function orderOf(value: number): number {
    word.setFloat32(0, value === 0 ? 0 : value);
    const bits = word.getUint32(0);
    return bits >= 0x80000000 ? ~bits >>> 0 : (bits | 0x80000000) >>> 0;
}

/** Rounds to nearest even among the numbers with `precision` bits whose least exponent is `least`. */
function roundTo(value: number, precision: number, least: number): number {
    if (value === 0 || !Number.isFinite(value)) return value;
    const exponent = Math.max(Math.floor(Math.log2(Math.abs(value))), least);
    const unit = 2 ** (exponent - precision + 1);
    const scaled = value / unit;
    const floor = Math.floor(scaled);
    const rest = scaled - floor;
    const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
    return (floor + (up ? 1 : 0)) * unit;
}

/** A float32 as an index of that dtype keeps it. */
export function kept(value: number, dtype: Dtype): number {
    if (dtype === "f32") return value;
    return dtype === "f16" ? roundTo(value, 11, -14) : roundTo(value, 8, -126);
}

/** The bits of a number that is exact in f16 or bf16. */
export function bits16(value: number, dtype: "f16" | "bf16"): number {
    word.setFloat32(0, value);
    const bits = word.getUint32(0);
    if (dtype === "bf16") return bits >>> 16;
    const sign = (bits >>> 16) & 0x8000;
    const magnitude = Math.abs(value);
    if (magnitude < 2 ** -14) return sign | (magnitude * 2 ** 24);
    const exponent = Math.floor(Math.log2(magnitude));
    return sign | (((exponent + 15) << 10) + (magnitude / 2 ** exponent - 1) * 1024);
}

export interface Entry {
    key: Float32Array;
    token: number;
    namespace: number;
    live: boolean;
}

export interface Hit {
    id: number;
    distance: number;
    token: number;
}

/** The hits of one head's slice of a query. */
export function nearest(
    entries: readonly Entry[],
    query: Float32Array,
    head: number,
    heads: number,
    metric: Metric,
    row: RowOptions,
): Hit[] {
    const length = query.length / heads;
    const slice = (vector: Float32Array): Float32Array => vector.subarray(head * length, (head + 1) * length);
    const found = entries.flatMap((entry, id) => {
        if (!entry.live || (row.namespaces && ![...row.namespaces].includes(entry.namespace))) return [];
        const sum = canonicalSum(slice(query), slice(entry.key), metric);
        const ordered = metric === "dot" ? -sum : sum;
        const distance = metric === "l2" ? Math.fround(Math.sqrt(sum)) : ordered === 0 ? 0 : ordered;
        return [{ id, token: entry.token, distance, order: orderOf(ordered) }];
    });
    found.sort((a, b) => a.order - b.order || a.id - b.id);
    const limit = row.maxDistance === undefined ? Infinity : Math.fround(row.maxDistance);
    return found.filter(({ distance }) => distance <= limit).slice(0, row.k ?? 16);
}

export function logSumExp(logits: ArrayLike<number>): number {
    let top = -Infinity;
    for (let i = 0; i < logits.length; ++i) top = Math.max(top, logits[i]!);
    let sum = 0;
    for (let i = 0; i < logits.length; ++i) sum += Math.exp(logits[i]! - top);
    return top + Math.log(sum);
}

/** A row of logits merged with one vote for each head, in double precision; undefined where the row stays as it is. Options are float32. */
export function fused(
    logits: Float32Array,
    votes: readonly Hit[][],
    weight: number,
    temperature: number,
    unmask: boolean,
): Float64Array | undefined {
    if (weight === 0) return undefined;
    const [a, t] = [Math.fround(weight), Math.fround(temperature)];
    const values = [...logits];
    if (values.some((l) => Number.isNaN(l) || l === Infinity) || values.every((l) => l === -Infinity)) return undefined;
    const reference = new Map<number, number>();
    for (const hits of votes) {
        const voting = hits.filter(({ distance }) => Number.isFinite(distance));
        const weights = voting.map(({ distance }) => Math.exp((voting[0]!.distance - distance) / t));
        const total = weights.reduce((sum, w) => sum + w, 0);
        for (const [i, { token }] of voting.entries()) {
            reference.set(token, (reference.get(token) ?? 0) + weights[i]! / total / votes.length);
        }
    }
    if (reference.size === 0) return undefined;
    const lse = logSumExp(logits);
    return Float64Array.from(values, (logit, token) => {
        const r = reference.get(token) ?? 0;
        if (a === 1) return r === 0 ? -Infinity : Math.log(r);
        if (r === 0 || (logit === -Infinity && !unmask)) return logit;
        return lse + Math.log(Math.exp(logit - lse) + (a / (1 - a)) * r);
    });
}
