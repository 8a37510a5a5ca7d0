/** Cases beside searches, on small keys and a model of noise: they check themselves, and their figures come with all that belongs to one. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { callFigures } from "../../bench/cases/calls.js";
import { fuseFigures } from "../../bench/cases/fuse.js";
import { decodeFigures, recordFigures } from "../../bench/cases/model.js";
import { storeFigures } from "../../bench/cases/store.js";
import { synthetic } from "../../bench/sets/synthetic.js";
import { Workbench } from "../../bench/workbench.js";
import { progressLine } from "../../lib/cli/progress.js";
import { Datastore, ReferenceIndex } from "../../lib/index.js";
import { writeModel } from "../llama/gguf.js";
import { expectWhole } from "./whole.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-cases-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const set = synthetic("power", 4500, 64);
const asked = { metric: "l2", dtype: "f32", heads: 1, k: 16, batch: 3, backend: "auto", threads: 1, peers: "none" } as const;

function workbench(): Workbench {
    const machine = { cpu: "a processor", cores: 1, memory: 2 ** 30, platform: "linux-x64", bandwidth: { 1: 10 } };
    const versions = { "node-rtd": "0.1.0", "node-llama-cpp": "3.0.0" };
    const line = progressLine("test", { silent: true });
    return new Workbench({ least: 2, most: 2, seconds: 1 }, machine, [], versions, new AbortController().signal, line);
}

/** Runs a case; every figure of it has all its members. */
async function figuresOf(run: (bench: Workbench) => Promise<void>) {
    const bench = workbench();
    await run(bench);
    await bench.clear();
    bench.figures.forEach(expectWhole);
    return new Map(bench.figures.map((figure) => [figure.way, figure]));
}

describe("search and fuse", () => {
    it("is compared with the search alone", async () => {
        const figures = await figuresOf((bench) => fuseFigures(bench, set, asked));
        const [alone, both] = [figures.get("rtd search")!, figures.get("rtd search and fuse")!];
        expect(both.ratios["rtd search"]!.median).toBeGreaterThan(0);
        expect(both.bytes! - alone.bytes!).toBe(3 * 49_152 * 4);
    });

    it("ends where a merged logit is not the formula's", async () => {
        const fuse = vi.spyOn(ReferenceIndex.prototype, "searchAndFuseSync").mockImplementation(function (
            this: ReferenceIndex,
            queries,
            logits,
            options,
        ) {
            fuse.mockRestore();
            const result = this.searchAndFuseSync(queries, logits, options);
            (logits as Float32Array)[2 * 49_152 + 7]! += 0.01;
            return result;
        });
        await expect(figuresOf((bench) => fuseFigures(bench, set, asked))).rejects.toThrow(
            /the merged logit of token 7 is .*, by the formula/,
        );
    });
});

it("a store is sealed and opened, and nothing is left of it", async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith("rtd-bench-"));
    const figures = await figuresOf((bench) => storeFigures(bench, set, 1));
    expect([...figures.keys()]).toEqual(["seal in memory", "seal in a store", "open, not verified", "open and verify"]);
    expect(figures.get("open and verify")!.bytes).toBeGreaterThan(4500 * 64 * 4);
    expect(figures.get("seal in a store")!.per).toBe("entry");
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith("rtd-bench-"))).toEqual(before);
});

it("calls into the addon are timed by the call", async () => {
    const figures = await figuresOf((bench) => callFigures(bench, 0.05));
    const [empty, typed, later] = ["empty call", "call with a typed array", "asynchronous call"].map(
        (way) => figures.get(way)!.median,
    );
    expect(empty!).toBeLessThan(0.01); // milliseconds
    expect(typed!).toBeGreaterThan(empty!);
    expect(later!).toBeGreaterThan(empty!);
});

describe("a model", { timeout: 120_000 }, () => {
    const model = { path: path.join(folder, "noise.gguf"), name: "noise", threads: 1 };
    const store = path.join(folder, "states.rtd");
    beforeAll(async () => {
        writeModel(model.path, { vocabulary: 1000 });
        const written = await Datastore.create(store, { dim: 64 });
        written.append(set.keys.slice(0, 300 * 64), new Int32Array(300).fill(5));
        await written.seal();
        await written.close();
    });

    it("decodes attached and not", async () => {
        const figures = await figuresOf((bench) => decodeFigures(bench, model, store, 200));
        expect([...figures.keys()]).toEqual([
            "not attached",
            "attached, weight 0",
            "attached, scan of 200 entries",
            "attached, store of 300 entries",
        ]);
        expect(figures.get("attached, weight 0")).toMatchObject({
            per: "token",
            version: "node-rtd 0.1.0",
            ratios: { "not attached": {} },
        });
        expect(figures.get("not attached")).toMatchObject({ version: "node-llama-cpp 3.0.0", ratios: {} });
    });

    it("records, beside a plain prompt", async () => {
        const figures = await figuresOf((bench) => recordFigures(bench, model));
        expect([...figures.keys()]).toEqual(["plain prompt", "recorded"]);
    });
});
