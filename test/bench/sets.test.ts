import { describe, expect, it } from "vitest";

import { mixture } from "../../bench/sets/hidden-states.js";
import { expectMemory, NoSet, split, type KeySet } from "../../bench/sets/key-set.js";
import { synthetic } from "../../bench/sets/synthetic.js";

/** What rotations leave alone: the sum of all variances, and the sum of their squares, from the spread of normal rows' squared lengths. */
function spectrumOf({ keys, n, d }: KeySet): { sum: number; squares: number } {
    const lengths = Array.from({ length: n }, (_, row) =>
        keys.subarray(row * d, (row + 1) * d).reduce((sum, x) => sum + x * x, 0),
    );
    const sum = lengths.reduce((sum, length) => sum + length, 0) / n;
    return { sum, squares: lengths.reduce((all, length) => all + (length - sum) ** 2, 0) / n / 2 };
}

/** Variance of each number over the rows. */
function variances({ keys, n, d }: Pick<KeySet, "keys" | "n" | "d">): number[] {
    return Array.from({ length: d }, (_, i) => {
        const column = Array.from({ length: n }, (_, row) => keys[row * d + i]!);
        const mean = column.reduce((sum, x) => sum + x, 0) / n;
        return column.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n;
    });
}

const expectNear = (value: number, wanted: number, share: number) => expect(Math.abs(value / wanted - 1)).toBeLessThan(share);

describe("made keys", () => {
    it.each([
        ["gauss", undefined, Array.from({ length: 576 }, () => 1)],
        ["power", 300, Array.from({ length: 300 }, (_, i) => (i + 1) ** -1.17)],
        [
            "spectrum896",
            undefined,
            [
                ...([[8, 0.44], [24, 0.2], [32, 0.08], [64, 0.08], [128, 0.08], [640, 0.12]] as const), // prettier-ignore
            ].flatMap(([count, share]) => Array.from({ length: count }, () => share / count)),
        ],
    ] as const)("%s has the spectrum it says, along no axis", (name, d, spectrum) => {
        const set = synthetic(name, 4000, d);
        expect(set.d).toBe(spectrum.length);
        const { sum, squares } = spectrumOf(set);
        expectNear(sum, spectrum.reduce((sum, variance) => sum + variance, 0), 0.03); // prettier-ignore
        expectNear(squares, spectrum.reduce((sum, variance) => sum + variance ** 2, 0), 0.12); // prettier-ignore
        const along = variances(set);
        expect(Math.max(...along)).toBeLessThan(0.2 * sum);
        expect(Math.max(...along) / Math.min(...along)).toBeLessThan(12); // of the directions it is thousands
    });

    it("are the same in every run, and other ones than the queries", () => {
        const [a, b] = [synthetic("power", 50, 40), synthetic("power", 50, 40)];
        expect(a).toEqual(b);
        expect(a.queries.length).toBe(1024 * 40);
        expect(a.keys.subarray(0, 40)).not.toEqual(a.queries.subarray(0, 40));
    });
});

describe("a mixture", () => {
    const { keys, d } = synthetic("power", 3000, 24);
    const recorded: KeySet = { name: "x", d, n: 3000, keys: keys.map((x, i) => x + (i % d)), queries: keys.slice(0, d) };

    it("holds what was recorded and more of the same mean and spectrum", () => {
        const mixed = mixture(recorded, 12_000);
        expect([mixed.n, mixed.keys.length]).toEqual([12_000, 12_000 * d]);
        expect(mixed.keys.subarray(0, recorded.keys.length)).toEqual(recorded.keys);
        const fresh = { d, n: 9000, keys: mixed.keys.slice(recorded.keys.length) };
        const wanted = variances(recorded);
        variances(fresh).forEach((variance, i) => expectNear(variance, wanted[i]!, 0.12));
        for (let i = 0; i < d; i++) {
            const mean =
                Array.from({ length: fresh.n }, (_, row) => fresh.keys[row * d + i]!).reduce((sum, x) => sum + x, 0) / fresh.n;
            expect(Math.abs(mean - i)).toBeLessThan(0.1);
        }
    });

    it("has no key twice", () => {
        const { keys, n } = mixture(recorded, 6000);
        const rows = new Set(Array.from({ length: n }, (_, row) => keys.subarray(row * d, row * d + 4).join()));
        expect(rows.size).toBe(n);
    });
});

it("keeps the last rows as queries, which are no keys", () => {
    const rows = Float32Array.from({ length: 100 }, (_, i) => i);
    expect(split("x", rows, 2)).toEqual({ name: "x", d: 2, n: 44, keys: rows.slice(0, 88), queries: rows.slice(88) });
    expect(split("x", rows, 2, 10)).toEqual({ name: "x", d: 2, n: 10, keys: rows.slice(0, 20), queries: rows.slice(88) });
    expect(() => split("x", rows.slice(0, 4), 2)).toThrow(NoSet);
});

it("says why a set is not made that memory does not hold", () => {
    expectMemory("x", 1000, 1000, 5, 2 ** 25);
    expect(() => expectMemory("x", 2 ** 20, 1024, 5, 2 ** 30)).toThrow(
        /1048576 keys of x take 20\.0 GiB with all indexes of them, 1\.0 GiB are free/,
    );
});
