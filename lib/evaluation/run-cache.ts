/** Runs of models on disk: a second evaluation of the same passages takes seconds. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";

import type { ModelFingerprint } from "../fingerprint.js";
import type { Token } from "../node-llama-cpp.js";
import type { Passage } from "../recipes/passage.js";
import type { ModelRun } from "./model-run.js";

/** Raised when a run comes to mean something else. */
const version = 4;

export class RunCache {
    constructor(
        private readonly directory: string,
        private readonly model: ModelFingerprint,
    ) {}

    /** Undefined where there is none that can be read: it will be made anew. */
    async read(
        passages: readonly Passage[],
        labels: readonly (readonly Token[])[],
        layer?: string,
    ): Promise<ModelRun | undefined> {
        try {
            const run = deserialize(await readFile(this.path(passages, labels, layer))) as ModelRun;
            const rows = passages.reduce((sum, { values }) => sum + values.length, 0);
            const isWhole =
                run.hidden.length === rows * run.dim &&
                run.logProbabilities.length === rows * run.candidates &&
                run.entropy.length === rows &&
                run.dim > 0;
            return isWhole ? run : undefined;
        } catch {
            return undefined;
        }
    }

    /** A crash leaves the file whole or absent. */
    async write(
        passages: readonly Passage[],
        labels: readonly (readonly Token[])[],
        run: ModelRun,
        layer?: string,
    ): Promise<void> {
        await mkdir(this.directory, { recursive: true });
        const scratch = await mkdtemp(join(this.directory, "writing-"));
        try {
            await writeFile(join(scratch, "run"), serialize(run));
            await rename(join(scratch, "run"), this.path(passages, labels, layer));
        } finally {
            await rm(scratch, { recursive: true });
        }
    }

    private path(passages: readonly Passage[], labels: readonly (readonly Token[])[], layer?: string): string {
        const hash = createHash("sha256").update(
            JSON.stringify([version, this.model.sha256, this.model.lora ?? [], layer ?? "", labels]),
        );
        for (const { tokens, from, values, pooled } of passages) hash.update(JSON.stringify([tokens, from, values, pooled]));
        return join(this.directory, `${hash.digest("hex").slice(0, 32)}.run`);
    }
}
