import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { cutRows, expectCut, shuffle, type Cut } from "../../lib/recipes/cut.js";

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

describe("shuffle", () => {
    it("is the same for ever", () => {
        expect(shuffle(numbers(10), 1)).toEqual([7, 8, 3, 2, 1, 5, 9, 4, 0, 6]);
    });

    it("keeps every row and leaves the given array alone", () => {
        fc.assert(
            fc.property(fc.nat(500), fc.nat(2 ** 32 - 1), (count, seed) => {
                const rows = numbers(count);
                expect([...shuffle(rows, seed)].sort((a, b) => a - b)).toEqual(rows);
                expect(rows).toEqual(numbers(count));
            }),
        );
    });

    it("puts each row anywhere about equally often", () => {
        const counts = new Array<number>(5).fill(0);
        for (let seed = 0; seed < 5000; seed++) counts[shuffle(numbers(5), seed).indexOf(0)]!++;
        for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
    });
});

describe("cut", () => {
    it.each([{ seed: NaN }, { seed: -1 }, { seed: 2 ** 32 }, { offset: -1 }, { offset: 0.5 }, { limit: 0 }, { limit: "9" }])(
        "is not %j",
        (cut) => {
            const [[name, value] = []] = Object.entries(cut);
            expect(() => expectCut(cut as Cut)).toThrow(
                new RegExp(`^${name}: expected a whole number .+, got ${JSON.stringify(value).replace("null", "NaN")}$`),
            );
        },
    );

    it("takes the file's order without a seed", () => {
        expect(cutRows(numbers(5), { offset: 1, limit: 2 })).toEqual([1, 2]);
        expect(cutRows(numbers(5), {})).toEqual(numbers(5));
        expect(cutRows(numbers(5), { limit: 9 })).toEqual(numbers(5));
    });

    it("into parts leaves out no row and takes none twice", () => {
        const parts = [cutRows(numbers(100), { seed: 7, limit: 60 }), cutRows(numbers(100), { seed: 7, offset: 60 })];
        expect(parts.flat()).toEqual(shuffle(numbers(100), 7));
    });

    it("of nothing is an error", () => {
        expect(() => cutRows(numbers(5), { offset: 5 })).toThrow(expect.objectContaining({ code: "ERR_RTD_INVALID_ARGUMENT" }));
    });
});
