/** Runs of the suite on small keys, with peers that are made up. */
import { mkdtempSync, readFileSync, rmSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { expectSameHits, recallOfNeighbors } from "../../bench/cases/check.js";
import { searchFigures, type SearchAsked } from "../../bench/cases/search.js";
import type { Results } from "../../bench/figures.js";
import { readBandwidth, threadCounts } from "../../bench/machine.js";
import { optional } from "../../bench/optional.js";
import type { Peer } from "../../bench/peers/peer.js";
import type { Case } from "../../bench/plan.js";
import { synthetic } from "../../bench/sets/synthetic.js";
import { NoSet, type KeySet } from "../../bench/sets/key-set.js";
import { runSuite } from "../../bench/suite.js";
import { describeResults } from "../../bench/tables.js";
import type { Workbench } from "../../bench/workbench.js";
import type { Hits } from "../../lib/index.js";
import { progressLine } from "../../lib/cli/progress.js";
import { expectWhole } from "./whole.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-suite-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const d = 64;
const sets = new Map([600, 4500].map((n) => [n, synthetic("power", n, d)]));
const asked: SearchAsked = { metric: "l2sq", dtype: "f32", heads: 1, k: 8, batch: 2, backend: "auto", threads: 1, peers: "all" };

/** Searches as slowly and simply as can be; `wrong` changes what it finds. */
function simplePeer(name: string, isExact: boolean, wrong: (ids: number[], set: KeySet) => number[] = (ids) => ids): Peer {
    return {
        name,
        version: "1.0",
        isExact,
        keepsKeys: false,
        cancellation: 0,
        open: (set) => ({
            bytes: () => set.keys.byteLength,
            search(first, batch, k) {
                const nearest = (query: Float32Array) => {
                    const distances = Array.from({ length: set.n }, (_, i) =>
                        query.reduce((sum, q, j) => sum + (q - set.keys[i * d + j]!) ** 2, 0),
                    );
                    return wrong(Array.from(distances.keys()).sort((a, b) => distances[a]! - distances[b]!), set).slice(0, k); // prettier-ignore
                };
                const rows = Array.from({ length: batch }, (_, row) =>
                    set.queries.subarray((first + row) * d, (first + row + 1) * d),
                );
                const begin = performance.now();
                return { ids: rows.flatMap(nearest), milliseconds: performance.now() - begin };
            },
            close: () => undefined,
        }),
    };
}

const searchCase = (n: number, more: Partial<SearchAsked> = {}): Case => ({
    name: `search/power-${n}/l2sq/f32/k8/B2/auto/t1`,
    run: async (bench) =>
        searchFigures(bench, "search", await bench.set(`power ${n}`, () => sets.get(n)!), { ...asked, ...more }),
});

function run(name: string, cases: Case[], peers: Peer[]): Promise<Results> {
    const out = path.join(folder, name);
    const common = { quick: true, store: undefined, hdf5: [], model: undefined, threads: undefined, filter: undefined };
    const effort = { least: 3, most: 3, seconds: 1 };
    return runSuite(
        cases,
        { ...common, out, peers, effort, signal: new AbortController().signal },
        progressLine("test", { silent: true }),
    );
}

describe("a run", () => {
    it("leaves figures with all that they come with, as JSON and as plots", async () => {
        const peers = [simplePeer("simple", true), simplePeer("rough", false, (ids) => ids.filter((_, i) => i % 8 !== 0))];
        const results = await run("good", [searchCase(600), searchCase(4500, { metric: "l2" })], peers);
        expect(JSON.parse(readFileSync(path.join(folder, "good", "results.json"), "utf8"))).toEqual(results);
        const ways = ["simple", "rough", "rtd scan", "rtd"];
        expect(results.figures.map(({ way }) => way)).toEqual([...ways, ...ways]);
        results.figures.forEach(expectWhole);
        const of = (way: string, n: number) => results.figures.find((figure) => figure.way === way && figure.n === n)!;
        expect(of("rtd scan", 4500).survivors).toEqual({
            scanned: 2 * 4500,
            level1: 0,
            level2: 0,
            level2b: 0,
            level3: 0,
            exact: 0,
        });
        expect(of("rtd scan", 4500).bytes).toBe(4500 * d * 4);
        expect(of("rtd", 600).survivors!.scanned).toBe(2 * 600); // too few for a cascade
        expect(of("rough", 600).recall).toBeCloseTo(7 / 8); // the first of each eight is what it passes over
        expect(of("rtd", 600).ratios["simple"]!.median).toBeGreaterThan(1);
        expect(Object.keys(of("rtd", 4500).ratios)).toEqual(["simple", "rough", "rtd scan"]);
        expect(new Set(results.figures.map(({ name }) => name)).size).toBe(8);

        for (const name of ["ratio", "time", "bytes", "roofline"]) {
            const svg = readFileSync(path.join(folder, "good", `${name}.svg`), "utf8");
            expect(svg).toMatch(/^<svg [^]*<\/svg>$/);
            expect(svg).not.toMatch(/NaN|undefined|Infinity/);
            for (const way of ["simple", "rtd scan"]) expect(svg).toContain(`>${way}</text>`);
        }
        // Every figure is a point of the plot, at its median.
        const points = readFileSync(path.join(folder, "good", "time.svg"), "utf8").matchAll(
            /aria-label="n: ([\d.]+)(k?); value: ([\d.]+); way: ([^"]+)" role="graphics-symbol" aria-roledescription="point"/g,
        );
        const plotted = Array.from(points, ([, n, thousands, value, way]) => ({
            n: Number(n) * (thousands ? 1000 : 1),
            way,
            value: Number(value),
        }));
        expect(plotted).toHaveLength(8);
        for (const { n, way, value } of plotted) expect(value / of(way!, n).median).toBeCloseTo(1, 3);
        const text = describeResults(results);
        expect(text).toMatch(/^search, power: 4,500 keys of 64 f32, l2, k 8, B 2, 1 thread$/m);
        expect(text).toMatch(/^rough .* recall 0\.\d{3}$/m);
    });

    it.each([
        [
            "another key",
            (ids: number[]) => [ids[1]!, ids[0]!, ...ids.slice(2)],
            /wrong answer, the run ends: hit 0 of simple is \d+ at/,
        ],
        ["a key twice", (ids: number[]) => [ids[0]!, ids[0]!, ...ids.slice(2)], /hit 1 of simple is \d+, once more/],
        ["a key that is not there", () => Array.from({ length: 8 }, () => -1), /hit 0 of simple is -1, which no key has/],
        ["too few", (ids: number[]) => ids.slice(0, 5), /simple found 10 of 16 hits/],
    ])("ends where an exact peer finds %s", async (name, wrong, message) => {
        await expect(run(name, [searchCase(600)], [simplePeer("simple", true, wrong)])).rejects.toThrow(message);
    });

    it.each([
        ["another id", (hits: Hits) => ({ ...hits, ids: hits.ids.with(1, 9) }), /hit 1 of rtd is 9 at 2, the scan's 5 at 2/],
        [
            "another bit of a distance",
            (hits: Hits) => ({ ...hits, distances: hits.distances.with(0, 1.0000001) }),
            /hit 0 of rtd/,
        ],
    ])("ends where a search with a cascade gives %s than the scan", (_, wrong, message) => {
        const hits: Hits = {
            ids: Uint32Array.of(3, 5),
            distances: Float32Array.of(1, 2),
            tokens: Int32Array.of(0, 0),
            counts: Uint32Array.of(2),
            k: 2,
            heads: 1,
        };
        expectSameHits("rtd", { ...hits }, hits);
        expect(() => expectSameHits("rtd", wrong(hits), hits)).toThrow(message);
    });

    it("counts recall of the neighbors that a file names, and all of them for an exact search", async () => {
        const set = sets.get(600)!;
        // Queries that are keys, each its own nearest.
        const own: KeySet = {
            ...set,
            queries: set.keys.slice(0, 8 * d),
            neighbors: { ids: Int32Array.from({ length: 8 }, (_, i) => i), k: 1 },
        };
        expect(recallOfNeighbors(own, [4, 5], 1, 4, 2)).toBe(1);
        expect(recallOfNeighbors(own, [4, 6], 1, 4, 2)).toBe(0.5);
        expect(recallOfNeighbors(own, [-1, 600], 1, 4, 2)).toBe(0);
        const search = (bench: Workbench) => searchFigures(bench, "hdf5", own, { ...asked, k: 1, peers: "none" });
        const { figures } = await run("neighbors", [{ name: "hdf5/own/k1", run: search }], []);
        expect(figures.map(({ recall, check }) => [recall, check])).toEqual([
            [1, "the cascade's bits, recall 1 of the file's neighbors"],
            [1, "the scan's bits, recall 1 of the file's neighbors"],
        ]);
    });

    it("says what is left out and why", async () => {
        const none: Case = {
            name: "search/none",
            run: () => {
                throw new NoSet("there is no model to record with: no network");
            },
        };
        const results = await run("none", [none, searchCase(600)], []);
        expect(results.leftOut).toEqual([{ name: "search/none", reason: "there is no model to record with: no network" }]);
        expect(results.figures).toHaveLength(2);
        expect(describeResults(results)).toContain("Left out:\n  search/none: there is no model to record with: no network");
        expect(existsSync(path.join(folder, "none", "time.svg"))).toBe(false); // of one size nothing can be said against N
    });
});

it("reports a package that is missing with the command that installs it", async () => {
    expect(await optional("usearch-that-is-not-there/part")).toEqual({
        name: "usearch-that-is-not-there",
        reason: "not installed",
        install: "npm install usearch-that-is-not-there@latest",
    });
    const results = await run("missing", [searchCase(600)], []);
    results.missing.push({ name: "hnswlib-node", reason: "not installed", install: "npm install hnswlib-node@3.0.0" });
    expect(describeResults(results)).toContain("Missing:\n  hnswlib-node: not installed; npm install hnswlib-node@3.0.0");
});

it("measures how fast memory is read: more than a disk's, less than a cache's", async () => {
    const speed = await readBandwidth(1, 2);
    expect(speed).toBeGreaterThan(0.5);
    expect(speed).toBeLessThan(500);
    expect([threadCounts(1), threadCounts(2), threadCounts(6), threadCounts(8)]).toEqual([
        [1],
        [1, 2],
        [1, 2, 4, 6],
        [1, 2, 4, 8],
    ]);
});
