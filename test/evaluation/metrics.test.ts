import { describe, expect, it } from "vitest";

import { matchedBias } from "../../lib/evaluation/matched-bias.js";
import {
    argmax,
    argmaxOrNone,
    calibrationBins,
    calibrationError,
    confusionOf,
    exactMatch,
    macroF1,
    perplexity,
    tokenF1,
} from "../../lib/evaluation/metrics.js";
import { votesFor } from "../../lib/evaluation/votes.js";

describe("perplexity", () => {
    it("is the inverse of the geometric mean of the probabilities", () => {
        expect(perplexity([Math.log(0.5), Math.log(0.125)])).toBeCloseTo(4, 12);
        expect(perplexity(Float64Array.of(0))).toBe(1);
    });
});

describe("argmax", () => {
    it("takes the first of equals and never NaN", () => {
        expect(argmax([1, 3, 3])).toBe(1);
        expect(argmax([NaN, 2, 1])).toBe(1);
        expect(argmax([-Infinity, -5])).toBe(1);
        expect(argmax([2])).toBe(0);
    });

    it("knows nothing where all are alike, unless there is but one", () => {
        expect([argmaxOrNone([0, 0]), argmaxOrNone([0, 1, 0]), argmaxOrNone([0])]).toEqual([-1, 1, 0]);
    });
});

describe("exact match", () => {
    it("looks past white space around the answer, and at everything else", () => {
        expect(exactMatch(" IDB", "IDB\n")).toBe(true);
        expect(exactMatch("idb", "IDB")).toBe(false);
        expect(exactMatch("IDB and more", "IDB")).toBe(false);
    });
});

describe("F1 of answers", () => {
    it("is the overlap of their words, as often as both have them", () => {
        expect(tokenF1("the code is PXL", "PXL")).toBeCloseTo((2 * (1 / 3) * 1) / (1 / 3 + 1), 12);
        expect(tokenF1("go go go", "go went go")).toBeCloseTo(2 / 3, 12);
        expect(tokenF1("one two", "three")).toBe(0);
    });

    it("passes over case, punctuation, articles and space", () => {
        expect(tokenF1(" The Great Gatsby!\n", "great  gatsby")).toBe(1);
        expect(tokenF1("“U.S.A.” – $5", "usa 5")).toBe(1);
        expect(tokenF1("theory of an atom", "theory of atom")).toBe(1); // "the" in a word is no article
    });

    it("of answers without words is whether both are", () => {
        expect([tokenF1("", "the"), tokenF1("", "x"), tokenF1("a.", "x")]).toEqual([1, 0, 0]);
    });
});

describe("figures of classes", () => {
    const confusion = confusionOf([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2], 4);

    it("count what was said of what", () => {
        expect(confusion).toEqual([[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]); // prettier-ignore
    });

    it("count an answer that is none as wrong, of no class", () => {
        expect(confusionOf([0, 1], [-1, 1], 2)).toEqual([[0, 0], [0, 1]]); // prettier-ignore
    });

    it("weigh classes alike, and one that never occurs not at all", () => {
        expect(macroF1(confusion)).toBeCloseTo((2 / 3 + 1 / 2 + 1) / 3, 12);
    });

    it("say how far confidence lies from accuracy", () => {
        const error = (...answers: Parameters<typeof calibrationBins>) => calibrationError(calibrationBins(...answers));
        expect(error([0.9, 0.9, 0.9, 0.9], [1, 1, 1, 0])).toBeCloseTo(0.15, 12);
        expect(error([1, 1], [1, 1])).toBe(0);
        expect(error([0.21, 0.99], [0, 1])).toBeCloseTo((0.21 + 0.01) / 2, 12);
    });

    it("count answers that were about as sure as each other", () => {
        const bins = calibrationBins([0.5, 0.52, 0.99, 1, 1], [1, 0, 1, 1, 0]);
        expect(bins.map(({ count }) => count)).toEqual([2, 3]);
        expect(bins[0]).toMatchObject({ confidence: expect.closeTo(0.51, 12) as number, accuracy: 0.5 });
        expect(bins[1]).toMatchObject({
            confidence: expect.closeTo(2.99 / 3, 12) as number,
            accuracy: expect.closeTo(2 / 3, 12) as number,
        });
    });
});

describe("matched bias", () => {
    const softmax = (row: number[]) => {
        const weights = row.map(Math.exp);
        const sum = weights.reduce((a, b) => a + b, 0);
        return weights.map((weight) => weight / sum);
    };
    const meanPrediction = (rows: number[][], bias: number[]) =>
        bias.map(
            (_, i) => rows.reduce((sum, row) => sum + softmax(row.map((logit, j) => logit + bias[j]!))[i]!, 0) / rows.length,
        );

    it("of one row is what makes it uniform", () => {
        const [a, b] = matchedBias([[2, 0]]);
        expect(b! - a!).toBeCloseTo(2, 6);
    });

    it("makes the mean prediction uniform", () => {
        const rows = Array.from({ length: 50 }, (_, i) => [Math.sin(i) + 2, Math.cos(3 * i), Math.sin(7 * i) - 1]);
        for (const mean of meanPrediction(rows, matchedBias(rows))) expect(mean).toBeCloseTo(1 / 3, 8);
    });

    it("changes nothing that is uniform already", () => {
        expect(matchedBias([[1, 0], [0, 1]])).toEqual([0, 0]); // prettier-ignore
    });

    it("expects of each row only the labels open to it", () => {
        const rows = [[1, 0, -Infinity], [0, 2, 1]]; // prettier-ignore
        const mean = meanPrediction(rows, matchedBias(rows));
        expect(mean[0]).toBeCloseTo((1 / 2 + 1 / 3) / 2, 6);
        expect(mean[2]).toBeCloseTo(1 / 3 / 2, 6);
    });

    it("turns a toy model with a wrong prior right", () => {
        // The model sees which of two labels it is, but says the first far too often.
        const rows = Array.from({ length: 100 }, (_, i) => (i % 2 ? [3, 2] : [5, 0]));
        const right = (bias: number[]) =>
            rows.filter((row, i) => argmax(row.map((logit, j) => logit + bias[j]!)) === i % 2).length;
        expect(right([0, 0])).toBe(50);
        expect(right(matchedBias(rows))).toBe(100);
    });
});

describe("votes", () => {
    const hits = (heads: number, tokens: number[], distances: number[], counts: number[]) => ({
        hits: {
            heads,
            k: tokens.length / heads,
            ids: Uint32Array.from(tokens, (_, i) => 100 + i),
            tokens: Int32Array.from(tokens),
            distances: Float32Array.from(distances),
            counts: Uint32Array.from(counts),
        },
    });

    it("are the softmax of the distances, for one token", () => {
        const votes = votesFor(7, hits(1, [7, 8, 7], [1, 1, 1 + Math.log(2)], [3]), 1);
        expect(votes.map(({ id }) => id)).toEqual([100, 102]);
        expect(votes.map(({ share }) => share)).toEqual([expect.closeTo(0.4, 6), expect.closeTo(0.2, 6)]);
    });

    it("are the mean over heads, and padding has none", () => {
        const votes = votesFor(7, hits(2, [7, -1, 7, 8], [1, Infinity, 2, 2], [1, 2]), 1);
        expect(votes.map(({ id, share }) => [id, share])).toEqual([
            [100, 0.5],
            [102, 0.25],
        ]);
        expect(votesFor(7, undefined, 1)).toEqual([]);
    });
});
