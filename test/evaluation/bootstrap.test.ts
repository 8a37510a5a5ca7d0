import { describe, expect, it } from "vitest";

import { bootstrapInterval, meanOver } from "../../lib/evaluation/bootstrap.js";
import { figures } from "../../lib/evaluation/text.js";
import { mulberry32 } from "../../lib/recipes/cut.js";

describe("a bootstrap interval", () => {
    it("is the normal one for the mean of many examples", () => {
        const random = mulberry32(5);
        const values = Float64Array.from({ length: 2000 }, () => (random() < 0.8 ? 1 : 0));
        const mean = values.reduce((a, b) => a + b, 0) / 2000;
        const half = 1.96 * Math.sqrt((mean * (1 - mean)) / 2000);
        const [low, high] = bootstrapInterval(2000, meanOver(values));
        expect(low).toBeCloseTo(mean - half, 2);
        expect(high).toBeCloseTo(mean + half, 2);
        expect(bootstrapInterval(2000, meanOver(values))).toEqual([low, high]);
    });

    it("of what does not vary has no width", () => {
        expect(bootstrapInterval(10, meanOver(new Float64Array(10).fill(3)))).toEqual([3, 3]);
    });

    it("of one example knows nothing", () => {
        expect(bootstrapInterval(1, meanOver([1]))).toEqual([-Infinity, Infinity]);
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
