/** rtd bench on a small datastore: what it measures and advises, how it compares, and what it says of a wrong command line. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Comparison } from "../../bench/compare.js";
import type { Results } from "../../bench/figures.js";
import { synthetic } from "../../bench/sets/synthetic.js";
import { Datastore } from "../../lib/index.js";
import { expectWhole } from "../bench/whole.js";
import { rtd } from "./run.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-bench-cli-"));
const store = path.join(folder, "keys.rtd");
const out = path.join(folder, "out");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(async () => {
    const { keys, d, n } = synthetic("power", 7000, 96);
    const written = await Datastore.create(store, { dim: d });
    written.append(keys, new Int32Array(n));
    await written.seal();
    await written.close();
});

describe("rtd bench", { timeout: 240_000 }, () => {
    let results: Results;

    it("measures a datastore, with all that each figure comes with, and advises k, back end and threads", async () => {
        const { code, stdout, stderr } = await rtd("bench", store, "--quick", "--out", out, "--json");
        expect([code, stderr]).toEqual([0, ""]);
        results = JSON.parse(stdout) as Results;
        expect(JSON.parse(readFileSync(path.join(out, "results.json"), "utf8"))).toEqual(results);
        results.figures.forEach(expectWhole);
        const own = results.figures.filter(({ group, way }) => group === "search" && way === "rtd");
        expect(new Set(own.map(({ k }) => k))).toEqual(new Set([4, 64, 1024]));
        expect(own.every(({ set, n, d }) => set === store && n === 7000 - 875 && d === 96)).toBe(true);
        expect(results.figures.map(({ way }) => way)).toContain("usearch");
        expect(results.figures.map(({ way }) => way)).toEqual(expect.arrayContaining(["empty call", "asynchronous call"]));
        const fastest = own.find(({ k, batch }) => k === 64 && batch === 1)!;
        expect(results.advice.join("\n")).toMatch(
            /^k: (up to \d+ costs hardly more than 4|every step up costs time).* for k = 1024/m,
        );
        expect(results.advice.join("\n")).toMatch(/^Back end: /m);
        expect(results.advice.join("\n")).toContain(`${fastest.median.toPrecision(2)} ms`);
        expect(results.advice.join("\n")).toMatch(/^Cascade: /m);
    });

    it("searches a datastore by its own metric, dtype and heads", async () => {
        const { keys, d } = synthetic("power", 500, 32);
        const halves = path.join(folder, "halves.rtd");
        const written = await Datastore.create(halves, { dim: d, metric: "dot", dtype: "f16", heads: 2 });
        written.append(keys, new Int32Array(500));
        await written.seal();
        await written.close();
        const { stdout } = await rtd("bench", halves, "--quick", "--out", out, "--json", "--filter", "k4/B1");
        const { figures } = JSON.parse(stdout) as Results;
        expect(figures.map(({ way, metric, dtype, heads }) => [way, metric, dtype, heads])).toEqual([
            ["rtd scan", "dot", "f16", 2],
            ["rtd", "dot", "f16", 2],
        ]);
    });

    it("fails where a figure is slower than in an earlier run, and says which", async () => {
        const earlier = path.join(folder, "earlier.json");
        const filter = ["--filter", "k64/B1/auto"];
        const peers = (figure: Results["figures"][0]) => !figure.way.startsWith("rtd");
        const faster = results.figures.map((figure) => (peers(figure) ? figure : { ...figure, median: figure.median / 100 }));
        writeFileSync(earlier, JSON.stringify({ ...results, figures: faster }));
        const slow = await rtd("bench", store, "--quick", "--out", out, "--json", ...filter, "--compare", earlier);
        expect(slow.code).toBe(1);
        const { comparison } = JSON.parse(slow.stdout) as Results & { comparison: Comparison };
        expect(comparison.slower.map(({ name }) => name)).toContain(`search/${store}/l2/f32/k64/B1/auto/t2 of 6125: rtd`.replace(/t2(?= of)/, `t${results.machine.cores}`)); // prettier-ignore

        const slower = results.figures.map((figure) => (peers(figure) ? figure : { ...figure, median: figure.median * 100 }));
        writeFileSync(earlier, JSON.stringify({ ...results, figures: slower }));
        const fast = await rtd("bench", store, "--quick", "--out", out, ...filter, "--compare", earlier);
        expect(fast.code).toBe(0);
        expect(fast.stdout).toMatch(/^0 figures slower beyond the noise, \d+ faster/m);
    });

    it("does not compare with another machine or other options, and measures nothing then", async () => {
        const earlier = path.join(folder, "elsewhere.json");
        writeFileSync(earlier, JSON.stringify({ ...results, machine: { ...results.machine, cores: 999 } }));
        const elsewhere = await rtd("bench", store, "--quick", "--out", out, "--compare", earlier);
        expect([elsewhere.code, elsewhere.stdout]).toEqual([1, ""]);
        expect(elsewhere.stderr).toMatch(
            /^rtd: .*elsewhere\.json cannot be compared with, it is of another machine: its cores is 999, here \d+; make one here/,
        );
        const whole = await rtd("bench", store, "--out", out, "--compare", path.join(out, "results.json"));
        expect(whole.stderr).toMatch(/other options: it was made with --quick/);
    });

    it("lists its cases", async () => {
        const all = (await rtd("bench", "--list")).stdout.trim().split("\n");
        expect(new Set(all).size).toBe(all.length);
        for (const group of ["search", "targets", "fuse", "store", "calls", "decode", "record"])
            expect(all.some((name) => name.startsWith(group)), group).toBe(true); // prettier-ignore
        const some = (await rtd("bench", "--list", "--filter", "^targets/power")).stdout.trim().split("\n");
        expect(some).toEqual(all.filter((name) => name.startsWith("targets/power")));
        expect(some).toHaveLength(6);
    });

    it.each([
        ["a filter that is no pattern", ["--filter", "("], 2, /Expected a regular expression/],
        [
            "a filter that nothing matches",
            ["--filter", "nothing-like-it"],
            1,
            /no case matches \/nothing-like-it\/; rtd bench --list prints/,
        ],
        ["an earlier run that is not there", ["--compare", "none.json"], 1, /none\.json: no such file; give the results\.json/],
        ["an HDF5 file that is not there", ["--hdf5", "none.hdf5"], 1, /none\.hdf5: no such file/],
        ["a datastore that is not there", [path.join(folder, "none.rtd"), "--quick", "--out", out], 1, /none\.rtd/],
        [
            "a file to write into",
            ["--quick", "--filter", "calls", "--out", fileURLToPath(import.meta.url)],
            1,
            /bench\.test\.ts: the results cannot be written \(.*\); name another folder/,
        ],
        ["to list what nothing matches", ["--list", "--filter", "nothing-like-it"], 1, /no case matches/],
        ["an unknown option", ["--fast"], 2, /unknown option/],
    ])("refuses %s", async (_, args, code, message) => {
        const outcome = await rtd("bench", ...args);
        expect([outcome.code, outcome.stdout]).toEqual([code, ""]);
        expect(outcome.stderr).toMatch(message);
    });
});
