import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { compareResults, describeComparison, difference, readResults } from "../../bench/compare.js";
import type { Figure, Results } from "../../bench/figures.js";
import { figure, results } from "./results.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-bench-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const own = (name: string, median: number, width = 0.02): Figure =>
    figure({ name, median, quartiles: [median * (1 - width / 2), median * (1 + width / 2)] });
const peer = (name: string, median: number): Figure => ({
    ...own(name, median),
    way: "usearch",
    version: "usearch 2.0.0",
    backend: null,
});
const names = (changes: { name: string }[]) => changes.map(({ name }) => name);

describe("a comparison", () => {
    it("finds what is slower and faster beyond the noise of both runs", () => {
        const before = [own("a", 10), own("b", 10), own("c", 10), own("noisy", 10, 0.4), own("gone", 1)];
        const now = [own("a", 11), own("b", 10.4), own("c", 8), own("noisy", 13, 0.4), own("new", 1)];
        const comparison = compareResults(results(before), results(now));
        expect(names(comparison.slower)).toEqual(["a"]); // "noisy" has grown by 30%, of which 57% may be noise
        expect(names(comparison.faster)).toEqual(["c"]);
        expect(comparison).toMatchObject({ same: 2, machine: 1, onlyBefore: ["gone"], onlyNow: ["new"] });
        const text = describeComparison(comparison);
        expect(text).toMatch(/^1 figures slower beyond the noise, 1 faster, 2 as before/);
        expect(text).toMatch(/^a +10\.0 ms +11\.0 ms +1\.10 +0\.05$/m);
        expect(text).toContain("Only in the earlier run: gone");
    });

    it("takes out what slows the peers too", () => {
        const peers = (factor: number) => ["p", "q", "r"].map((name) => peer(name, 10 * factor));
        const before = results([...peers(1), own("a", 10), own("b", 10)]);
        const now = results([...peers(1.5), own("a", 15), own("b", 20)]);
        const { slower, same, machine } = compareResults(before, now);
        expect([names(slower), same, machine]).toEqual([["b"], 1, 1.5]);
        const [only] = slower;
        expect(only!.ratio).toBeCloseTo(20 / 15);
    });

    it("takes for noise what the peers have changed by, each for itself", () => {
        const peers = (factors: number[]) => factors.map((factor, i) => peer(`p${i}`, 10 * factor));
        const before = results([...peers([1, 1, 1, 1]), own("a", 10), own("b", 10)]);
        const now = results([...peers([1, 1.4, 0.7, 1]), own("a", 13), own("b", 16)]);
        expect(names(compareResults(before, now).slower)).toEqual(["b"]);
    });

    it("does not compare one back end's time with another's, nor runs without a common figure", () => {
        const avx2 = { ...own("a", 20), backend: "avx2" };
        expect(compareResults(results([own("a", 10), own("b", 10)]), results([avx2, own("b", 10)])).slower).toEqual([]);
        expect(() => compareResults(results([own("a", 10)]), results([own("b", 10)]))).toThrow(/no figure in common/);
    });

    it("says what makes runs incomparable", () => {
        const before = results([]);
        const here = { machine: before.machine, quick: true };
        expect(difference(before, here)).toBeUndefined();
        expect(difference(before, { ...here, quick: false })).toBe("other options: it was made with --quick");
        const elsewhere = { ...here, machine: { ...before.machine, cpu: "another" } };
        expect(difference(before, elsewhere)).toBe("another machine: its cpu is a processor, here another");
    });
});

describe("an earlier run's file", () => {
    const file = (name: string, text: string) => {
        writeFileSync(path.join(folder, name), text);
        return path.join(folder, name);
    };

    it("is read back", async () => {
        const written: Results = results([own("a", 1)]);
        expect(await readResults(file("good.json", JSON.stringify(written)))).toEqual(written);
    });

    it.each([
        ["is not there", () => path.join(folder, "none.json"), /none\.json: no such file; give the results\.json/],
        ["is no JSON", () => file("cut.json", '{"format":'), /cut\.json: cannot be read .*; give a results\.json/],
        ["is of something else", () => file("other.json", '{"figures": []}'), /other\.json: not the results of a run/],
        [
            "is of another version",
            () => file("v2.json", JSON.stringify({ ...results([]), version: 2 })),
            /not the results of a run/,
        ],
    ])("that %s is named", async (_, name, message) => {
        await expect(readResults(name())).rejects.toThrow(message);
    });
});
