import { describe, expect, it } from "vitest";

import { differenceEstimate, meanEstimate, unitsOf } from "../../lib/evaluation/bootstrap.js";
import { figures } from "../../lib/evaluation/text.js";
import { mulberry32 } from "../../lib/recipes/cut.js";

describe("a bootstrap interval", () => {
    it("is the normal one for the mean of many examples", () => {
        const random = mulberry32(5);
        const values = Float64Array.from({ length: 2000 }, () => (random() < 0.8 ? 1 : 0));
        const mean = values.reduce((a, b) => a + b, 0) / 2000;
        const each = Uint32Array.from(values.keys());
        const half = 1.96 * Math.sqrt((mean * (1 - mean)) / 2000);
        const [low, high] = meanEstimate(values, each).interval;
        expect(low).toBeCloseTo(mean - half, 2);
        expect(high).toBeCloseTo(mean + half, 2);
        expect(meanEstimate(values, each)).toEqual({ value: mean, interval: [low, high] });
    });

    it("of what does not vary has no width", () => {
        const each = Uint32Array.from({ length: 10 }, (_, i) => i);
        expect(meanEstimate(new Float64Array(10).fill(3), each)).toEqual({ value: 3, interval: [3, 3] });
    });

    it("of one example knows nothing", () => {
        expect(meanEstimate(Float64Array.of(1, 0), Uint32Array.of(0, 0)).interval).toEqual([-Infinity, Infinity]);
    });

    it("takes what belongs together as one: four rotations say no more than one that is like them", () => {
        const random = mulberry32(9);
        const values = Float64Array.from({ length: 300 }, () => (random() < 0.6 ? 1 : 0));
        const fourfold = Float64Array.from({ length: 1200 }, (_, i) => values[Math.floor(i / 4)]!);
        const units = unitsOf(Array.from({ length: 1200 }, (_, i) => `question ${Math.floor(i / 4)}`));
        expect(meanEstimate(fourfold, units)).toEqual(meanEstimate(values, Uint32Array.from(values.keys())));
    });

    it("weighs units by what is in them", () => {
        const { value, interval } = meanEstimate(Float64Array.of(1, 1, 1, 0), Uint32Array.of(0, 0, 0, 1));
        expect([value, interval]).toEqual([0.75, [0, 1]]);
    });

    it("of a difference is that of the pairs", () => {
        const random = mulberry32(10);
        const hard = Float64Array.from({ length: 400 }, () => random());
        const better = hard.map((value) => value + 0.1);
        const { value, interval } = differenceEstimate(better, hard, Uint32Array.from(hard.keys()));
        expect(value).toBeCloseTo(0.1, 12);
        expect(interval[1] - interval[0]).toBeLessThan(1e-12);
    });

    it("of a text takes blocks: tokens that stand together are not as many measurements", () => {
        const random = mulberry32(6);
        // Whole blocks of 50 are easy or hard.
        const logs = Float64Array.from({ length: 5000 }, () => 0);
        for (let block = 0; block < 100; block++) logs.fill(random() < 0.5 ? -1 : -3, block * 50, block * 50 + 50);
        const { perplexity, interval } = figures(logs, 20_000);
        const [low, high] = interval.map((value) => Math.log(value)) as [number, number];
        const sd = Math.sqrt(logs.reduce((sum, log) => sum + (log + Math.log(perplexity)) ** 2, 0) / 5000);
        expect(high - low).toBeGreaterThan((2 * 1.96 * sd) / Math.sqrt(100) / 1.3);
        expect(high - low).toBeLessThan(((2 * 1.96 * sd) / Math.sqrt(100)) * 1.3);
    });

    it("of a change is narrow where both sides move together", () => {
        const random = mulberry32(7);
        const own = Float64Array.from({ length: 1020 }, () => -10 * random());
        const better = own.map((log) => log + 0.1);
        const { change, bitsPerByte } = figures(better, 4000, own);
        expect(change!.value).toBeCloseTo(Math.exp(-0.1) - 1, 12);
        expect(change!.interval[1] - change!.interval[0]).toBeLessThan(1e-9);
        expect(bitsPerByte).toBeCloseTo(-better.reduce((a, b) => a + b, 0) / Math.log(2) / 4000, 12);
    });
});
