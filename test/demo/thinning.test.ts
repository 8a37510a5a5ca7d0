/** Smaller stores of a text, against plain loops over the store's own keys. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";

import { thinnedTable } from "../../lib/demo/document.js";
import { measureThinning } from "../../lib/demo/thinning.js";
import { runModel } from "../../lib/evaluation/model-run.js";
import { buildDatastore, createIndex, Datastore, evaluate } from "../../lib/index.js";
import { passagesOf } from "../../lib/recipes/build.js";
import { mulberry32 } from "../../lib/recipes/cut.js";
import { readRows } from "../../lib/recipes/data.js";
import { fusionDefaults, recipeOf } from "../../lib/recipes/metadata.js";
import { ownTemperatureScale } from "../../lib/reference-index.js";
import { noiseModel } from "../llama/models.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-thinning-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const random = mulberry32(3);
const words = ["whale ", "sea ", "the ", "white ", "of "];
const text = join(folder, "text.txt");
writeFileSync(text, Array.from({ length: 500 }, () => words[Math.floor(random() ** 2 * words.length)]).join(""));
const [stored, asked] = [600, 300]; // more than are searched together

it("smaller stores have the entries that they should, and score as plain loops say", async () => {
    const model = await noiseModel();
    const path = join(folder, "store.rtd");
    await buildDatastore({ path, model, task: "text", data: [text], limit: stored, threads: 1 });
    const test = { name: "next", title: "next", data: text, offset: stored, limit: asked };
    const task = { name: "text", title: "Text", task: "text", references: { data: text, limit: stored }, tests: [test] } as const;
    const thinned = await measureThinning({ ...task, tests: [test] }, path, { model, cacheDirectory: folder, threads: 1 });

    expect(thinned.map(({ way }) => way).filter((way) => way !== "as many by chance")).toEqual([
        "all",
        ...[0.1, 0.5, 0.9].map((limit) => `p > ${limit} left out`),
        ...[2, 8, 32].map((count) => `merged with ${count} nearest`),
    ]);
    const sizeOf = (way: string) => thinned.find((one) => one.way === way)!.entries;
    for (const [i, { way, entries }] of thinned.entries())
        if (way === "as many by chance") expect(entries).toBe(thinned[i - 1]!.entries);
    const pruned = join(folder, "pruned.rtd");
    await buildDatastore({ path: pruned, model, task: "text", data: [text], limit: stored, pruneAbove: 0.1, threads: 1 });
    await using left = await Datastore.open(pruned, { threads: 1 });
    expect(sizeOf("p > 0.1 left out")).toBe(left.size);

    await using store = await Datastore.open(path, { threads: 1 });
    const whole = await evaluate({ store, model, data: [text], offset: stored, limit: asked, threads: 1 });
    expect(whole.task === "text" && whole.rtd.perplexity).toBeCloseTo(thinned[0]!.perplexity, 6);

    // Greedy merging, all distances at once.
    const ids = Uint32Array.from({ length: store.size }, (_, id) => id);
    const [keys, { tokens }, dim] = [store.keysOf(ids), store.index.entriesOf(ids), store.dim];
    const rowsOf = (all: Float32Array) =>
        Array.from({ length: all.length / dim }, (_, i) => all.subarray(i * dim, (i + 1) * dim));
    const distance = (a: Float32Array, b: Float32Array) => Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0));
    const distances = rowsOf(keys).map((key) => rowsOf(keys).map((other) => distance(key, other)));
    const standsFor = new Map([...ids].map((id) => [id, 1]));
    for (const id of ids) {
        if (!standsFor.has(id)) continue;
        const near = [...ids].filter((other) => other !== id).sort((a, b) => distances[id]![a]! - distances[id]![b]! || a - b);
        for (const other of near.slice(0, 8))
            if (tokens[other] === tokens[id] && standsFor.get(other) === 1) {
                standsFor.delete(other);
                standsFor.set(id, standsFor.get(id)! + 1);
            }
    }
    const merged = thinned.find(({ way }) => way === "merged with 8 nearest")!;
    expect(merged.entries).toBe(standsFor.size);
    expect(Math.max(...standsFor.values())).toBeGreaterThan(2);

    // Each votes for as many as it stands for.
    const kept = Uint32Array.from(standsFor.keys());
    using index = createIndex({ dim, threads: 1 });
    index.add(
        store.keysOf(kept),
        tokens.filter((_, id) => standsFor.has(id)),
    );
    await index.seal();
    const { k, referenceWeight, temperatureScale } = fusionDefaults.text;
    expect(k).toBeGreaterThan(store.size); // so all of them vote
    const T = (index.temperature! * temperatureScale) / ownTemperatureScale;
    const passages = await passagesOf(model, recipeOf(store), await readRows([text], "text"), { offset: stored, limit: asked });
    const values = passages.flatMap((passage) => passage.values);
    const run = await runModel(passages, { model, unit: "tokens", threads: 1 });
    const logs = rowsOf(run.hidden).map((query, row) => {
        const votes = [...kept].map(
            (id) => standsFor.get(id)! * Math.exp(-distance(query, keys.subarray(id * dim, (id + 1) * dim)) / T),
        );
        const right = votes.filter((_, i) => tokens[kept[i]!] === values[row]);
        const sum = (all: number[]) => all.reduce((a, b) => a + b, 0);
        return Math.log(
            (1 - referenceWeight) * Math.exp(run.logProbabilities[row]!) + (referenceWeight * sum(right)) / sum(votes),
        );
    });
    expect(merged.perplexity).toBeCloseTo(Math.exp(-logs.reduce((a, b) => a + b) / logs.length), 3);
    expect(merged.perplexity).not.toBeCloseTo(thinned[0]!.perplexity, 2);
    expect(thinnedTable(thinned)).toContain("merged with 8 nearest");
});
