import { describe, expect, it } from "vitest";

import { advice } from "../../bench/advice.js";
import type { Figure } from "../../bench/figures.js";
import { figure } from "./results.js";

const at = (median: number, values: Partial<Figure> = {}): Figure =>
    figure({
        median,
        quartiles: [0.95 * median, 1.05 * median],
        threads: 2,
        ratios: { "rtd scan": { median: 10, quartiles: [9, 11] } },
        ...values,
    });
const scan = figure({ way: "rtd scan", bytes: 2_560_000, ratios: {} });

describe("advice", () => {
    it("is to take as many hits, and as few threads, as cost next to nothing", () => {
        const ks = [at(1, { k: 4 }), at(1.05), at(1.1, { k: 256 }), at(4, { k: 1024 })];
        const threads = [at(1.08, { threads: 1 }), at(1.04, { threads: 4 })];
        const [k, backend, count, cascade] = advice([scan, ...ks, ...threads, at(1.5, { backend: "avx2" })]);
        expect(k).toBe(
            "k: up to 256 costs hardly more than 4, 1024 takes 4.0 times as long as 4 (1.0 ms for k = 4, 1.1 ms for k = 64, 1.1 ms for k = 256, 4.0 ms for k = 1024).",
        );
        expect(backend).toBe("Back end: leave it at avx512, which is taken by itself (1.1 ms, against 1.5 ms on avx2).");
        expect(count).toBe("Threads: 1, by the option threads or RTD_THREADS=1 (1.1 ms on 1, 1.1 ms on 2, 1.0 ms on 4).");
        expect(cascade).toBe(
            "Cascade: keep it, it makes a search 10.0 times as fast as a scan of all keys, of whose bytes it reads 10.0%.",
        );
    });

    it("is to take another back end only where that is clearly faster, and no cascade where it does not help", () => {
        const useless = { "rtd scan": { median: 0.9, quartiles: [0.8, 1] as [number, number] } };
        const all = advice([scan, at(2, { ratios: useless }), at(1, { backend: "avx2" })]).join("\n");
        expect(all).toContain(
            "Back end: take avx2, by the option backend or RTD_BACKEND=avx2 (1.0 ms, against 2.0 ms on avx512).",
        );
        expect(all).toContain("Cascade: of no use on these keys (a scan takes 0.90 of its time)");
        for (const own of [at(1.05), at(2, { quartiles: [0.9, 3] })]) // hardly slower; twice as slow, but of very different rounds
            expect(advice([scan, own, at(1, { backend: "avx2" })]).join("\n")).toContain("Back end: leave it at avx512"); // prettier-ignore
    });
});
