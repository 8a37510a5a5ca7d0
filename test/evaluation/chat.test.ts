import { describe, expect, it } from "vitest";

import { scoreOf } from "../../lib/evaluation/chat.js";
import type { Passage } from "../../lib/recipes/passage.js";

const passages = [
    { example: 0, subject: "symbol" },
    { example: 0, subject: "symbol" },
    { example: 1, subject: "year" },
    { example: 2 },
] as Passage[];
const expected = ["H", "He", "1766", "pure gold"];

describe("figures of answers", () => {
    it("are the means over answers, over all and by subject", () => {
        const { exactMatch, f1, count, gain, bySubject } = scoreOf(passages, expected, ["H", "B", "in 1766", "pure Gold."]);
        expect([exactMatch, count, gain]).toEqual([1 / 4, 4, undefined]);
        expect(f1).toBeCloseTo((1 + 0 + 2 / 3 + 1) / 4, 12);
        expect(bySubject).toMatchObject([
            { subject: "symbol", count: 2, exactMatch: 0.5, f1: 0.5 },
            { subject: "year", count: 1, exactMatch: 0, f1: expect.closeTo(2 / 3, 12) as number },
        ]);
        expect(bySubject).toHaveLength(2);
    });

    it("are uncertain by examples: answers of one conversation are one", () => {
        const one = passages.map((passage) => ({ ...passage, example: 5 }));
        expect(scoreOf(one, expected, expected).interval).toEqual([-Infinity, Infinity]);
        expect(scoreOf(passages, expected, expected)).toMatchObject({ interval: [1, 1], f1Interval: [1, 1] });
    });

    it("gain over others' answers, pair by pair", () => {
        const { gain, f1Gain } = scoreOf(passages, expected, expected, ["H", "He", "in 1766", "x"]);
        expect(gain!.value).toBeCloseTo(1 / 2, 12);
        expect(f1Gain!.value).toBeCloseTo((1 / 3 + 1) / 4, 12);
    });
});
