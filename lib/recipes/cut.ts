/**
 * Cutting a data file into parts: rows are shuffled by a seed, then `offset` rows are skipped and `limit` taken. The same file and seed give
 * the same order everywhere, so `limit: n` and `offset: n` never overlap.
 */
import { expectWhole } from "../arguments.js";
import { RtdError } from "../errors.js";

export interface Cut {
    /** Shuffles the rows first; without it they stay in the file's order. A whole number below 2^32. */
    seed?: number | undefined;
    /** Rows to skip (for task text: tokens). */
    offset?: number | undefined;
    /** Rows to take at most (for task text: tokens), 1 and up. */
    limit?: number | undefined;
}

/** @throws RtdError `ERR_RTD_INVALID_ARGUMENT` */
export function expectCut({ seed, offset, limit }: Cut): void {
    expectWhole(seed, "seed", 0, 2 ** 32 - 1);
    expectWhole(offset, "offset", 0);
    expectWhole(limit, "limit", 1);
}

/** Fisher-Yates from the last row to the first; row i changes places with row floor(u * (i + 1)), u from mulberry32(seed). */
export function shuffle<T>(rows: readonly T[], seed: number): T[] {
    const shuffled = [...rows];
    const random = mulberry32(seed);
    for (let i = shuffled.length - 1; i > 0; i--) {
        const j = Math.floor(random() * (i + 1));
        [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
    }
    return shuffled;
}

/** The rows of a cut. */
export function cutRows<T>(rows: readonly T[], { seed, offset = 0, limit = Infinity }: Cut): T[] {
    const ordered = seed === undefined ? rows : shuffle(rows, seed);
    if (offset >= rows.length)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `offset ${offset} leaves nothing of ${rows.length} rows; give a smaller one`,
        );
    return ordered.slice(offset, offset + limit);
}

/** The generator of 32-bit state known by this name; numbers in [0, 1). */
export function mulberry32(seed: number): () => number {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
}
