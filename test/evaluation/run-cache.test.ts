import { mkdtempSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { RunCache } from "../../lib/evaluation/run-cache.js";
import type { ModelFingerprint } from "../../lib/index.js";
import type { Token } from "../../lib/node-llama-cpp.js";
import type { Passage } from "../../lib/recipes/passage.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-runs-"));
afterAll(() => rmSync(folder, { recursive: true }));

const model = (sha256: string) => ({ sha256 }) as ModelFingerprint;
const passages = [{ tokens: [1, 2, 3], from: 1, values: [3, 4], example: 0, position: 0, origin: "a:1" }] as unknown as Passage[];
const run = {
    dim: 2,
    candidates: 1,
    hidden: Float32Array.of(1, 2, 3, 4),
    logProbabilities: Float64Array.of(-1, -2),
    entropy: Float64Array.of(1, 2),
};

describe("a cache of runs", () => {
    it("gives back what it was given, for the same model, passages and labels alone", async () => {
        const cache = new RunCache(folder, model("a"));
        expect(await cache.read(passages, [])).toBeUndefined();
        await cache.write(passages, [], run);
        expect(await cache.read(passages, [])).toEqual(run);
        expect(await cache.read(passages, [[5 as Token]])).toBeUndefined();
        expect(await cache.read([...passages, ...passages], [])).toBeUndefined();
        expect(await new RunCache(folder, model("b")).read(passages, [])).toBeUndefined();
    });

    it("knows nothing of a file that is damaged", async () => {
        const cache = new RunCache(folder, model("a"));
        const [name] = readdirSync(folder);
        truncateSync(join(folder, name!), 40);
        expect(await cache.read(passages, [])).toBeUndefined();
        await cache.write(passages, [], run);
        expect(await cache.read(passages, [])).toEqual(run);
    });
});
