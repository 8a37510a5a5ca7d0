/** What the tests of label stores share: small stores on a model of noise, one for each set of options. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

import { buildDatastore, Datastore, type BuildOptions } from "../../lib/index.js";
import { noiseModel } from "../llama/models.js";

/** Stores of 15 texts that have three labels in turn, in a folder that goes with the file's tests. */
export function labelStores(names: readonly string[], prompt: string) {
    const folder = mkdtempSync(join(tmpdir(), "rtd-labels-"));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    const rows = Array.from({ length: 15 }, (_, i) => ({ text: `it has ${(i * 7) % 23} legs`, label: names[i % 3]! }));
    const data = join(folder, "rows.jsonl");
    writeFileSync(data, rows.map((row) => JSON.stringify(row)).join("\n"));
    const pathOf = (options: Partial<BuildOptions>): string =>
        join(folder, `${JSON.stringify(options).replaceAll(/\W/g, "-")}.rtd`);

    /** Builds the store of these options, if it is not there, and opens it for some work. */
    async function withStore<T>(options: Partial<BuildOptions>, work: (store: Datastore) => Promise<T>): Promise<T> {
        const path = pathOf(options);
        const model = await noiseModel();
        await buildDatastore({ path, model, task: "label", data: [data], prompt, threads: 1, ...options });
        await using store = await Datastore.open(path);
        return await work(store);
    }

    return { folder, rows, data, pathOf, withStore };
}
