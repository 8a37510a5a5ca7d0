/** How many examples of its own a store is asked. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { Datastore, tune } from "../../lib/index.js";
import { buildDatastore } from "../../lib/recipes/build.js";
import { noiseModel } from "../llama/models.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-sample-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const data = join(folder, "labels.jsonl");
const rows = Array.from({ length: 30 }, (_, i) => ({ text: `${(i * 37) % 101} legs`, label: ["ant", "bee"][i % 2] }));
writeFileSync(data, rows.map((row) => JSON.stringify(row)).join("\n"));

async function withStore<T>(body: (store: Datastore) => Promise<T>): Promise<T> {
    const path = join(folder, "store.rtd");
    await buildDatastore({
        path,
        model: await noiseModel(),
        task: "label",
        data: [data],
        prompt: "{text} is (an)\n",
        threads: 1,
    });
    await using store = await Datastore.open(path, { writable: true, threads: 1 });
    return await body(store);
}

describe("the sample that a store is tuned on", () => {
    it("is as large as it is asked to be, and as the store allows", async () => {
        const model = await noiseModel();
        await withStore(async (store) => {
            const tuned = (sample?: number) => tune({ store, model, sample, keepSpace: true, dryRun: true, threads: 1 });
            expect((await tuned()).rows).toBe(30);
            expect((await tuned(1000)).rows).toBe(30);
            const few = await tuned(12);
            expect(few.rows).toBe(12);
            expect(few.best.score).not.toBe((await tuned()).best.score);
            await expect(tuned(9)).rejects.toThrow("9 of the examples have other entries to learn from, too few to tune on");
        });
    });

    it.each([0, -1, 1.5, NaN, "12" as never])("is refused if it is %s", async (sample) => {
        const model = await noiseModel();
        await withStore(async (store) => {
            await expect(tune({ store, model, sample, dryRun: true })).rejects.toThrow(
                expect.objectContaining({
                    code: "ERR_RTD_INVALID_ARGUMENT",
                    message: expect.stringContaining("sample: expected a whole number") as string,
                }),
            );
        });
    });

    it("is of the store's own examples, and a cut of other data", async () => {
        const model = await noiseModel();
        await withStore(async (store) => {
            await expect(tune({ store, model, sample: 20, data: [data], dryRun: true })).rejects.toThrow("leave it out, or data");
            for (const cut of [{ limit: 20 }, { offset: 0 }, { seed: 3 }])
                await expect(tune({ store, model, ...cut, dryRun: true })).rejects.toThrow(
                    `${Object.keys(cut)[0]} is of other data: give data`,
                );
        });
    });
});
