import { createHash } from "node:crypto";
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { LlamaModel } from "node-llama-cpp";
import { afterAll, beforeEach, expect, it, vi } from "vitest";

import { fingerprintModel, type LoraAdapter } from "../../lib/index.js";
import { noiseModel } from "./models.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-fingerprint-"));
const cache = process.env["XDG_CACHE_HOME"];
beforeEach(() => void (process.env["XDG_CACHE_HOME"] = path.join(folder, "cache")));
afterAll(() => {
    if (cache === undefined) delete process.env["XDG_CACHE_HOME"];
    else process.env["XDG_CACHE_HOME"] = cache;
    rmSync(folder, { recursive: true, force: true });
});

const sha256 = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");
const pathOf = (model: LlamaModel): string => (model as unknown as { _modelPath: string })._modelPath;

/** The model, as if it had been loaded from another file. */
const movedTo = (model: LlamaModel, file: string): LlamaModel =>
    Object.create(model, { _modelPath: { value: file } }) as LlamaModel;

it("says what a model is", async () => {
    const model = await noiseModel({ architecture: "granite" });
    const file = pathOf(model);
    expect(await fingerprintModel(model)).toMatchObject({
        file: path.basename(file),
        sha256: sha256(file),
        bytes: statSync(file).size,
        architecture: "granite",
        quantization: "all F32",
        embeddingSize: 64,
        vocabulary: 355,
        tokenizer: "llama",
    });
});

it("hashes again only what has another length or time", async () => {
    const model = await noiseModel();
    const file = path.join(folder, "model.gguf");
    copyFileSync(pathOf(model), file);
    const moved = movedTo(model, file);
    const [atime, mtime] = [new Date(), new Date("2026-01-01")];
    utimesSync(file, atime, mtime);
    const first = await fingerprintModel(moved);
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    utimesSync(file, atime, mtime);
    expect((await fingerprintModel(moved)).sha256).toBe(first.sha256); // nothing to see: from the cache
    utimesSync(file, atime, new Date(mtime.getTime() + 1000));
    expect((await fingerprintModel(moved)).sha256).toBe(sha256(file));
    appendFileSync(file, "x");
    utimesSync(file, atime, new Date(mtime.getTime() + 1000));
    expect((await fingerprintModel(moved)).sha256).toBe(sha256(file));
});

it("covers all parts of a split model, and adapters", async () => {
    const model = await noiseModel();
    const parts = [1, 2].map((i) => path.join(folder, `split-0000${i}-of-00002.gguf`));
    parts.forEach((part, i) => writeFileSync(part, `part ${i}`));
    const adapter = path.join(folder, "adapter.gguf");
    writeFileSync(adapter, "adapter");
    const split = movedTo(model, parts[0]!);
    const first = await fingerprintModel(split, { lora: [adapter] });
    expect(first).toMatchObject({
        file: "split-00001-of-00002.gguf",
        bytes: 12,
        lora: [{ file: "adapter.gguf", sha256: sha256(adapter) }],
    });
    writeFileSync(parts[1]!, "part 3");
    utimesSync(parts[1]!, new Date(), new Date(Date.now() + 5000));
    expect((await fingerprintModel(split)).sha256).not.toBe(first.sha256);
});

it("keeps hashes where everything else is kept that can be made again", async () => {
    vi.stubEnv("RTD_CACHE", path.join(folder, "elsewhere"));
    const model = await noiseModel();
    await fingerprintModel(model);
    vi.unstubAllEnvs();
    const kept = JSON.parse(readFileSync(path.join(folder, "elsewhere", "models.json"), "utf8")) as object;
    expect(kept).toMatchObject({ [pathOf(model)]: { sha256: sha256(pathOf(model)) } });
});

it("says an adapter's scale, unless it is 1: stores from before there were scales say none", async () => {
    const model = await noiseModel();
    const file = path.join(folder, "scaled.gguf");
    writeFileSync(file, "scaled");
    const loraOf = async (adapter: LoraAdapter) => JSON.stringify((await fingerprintModel(model, { lora: [adapter] })).lora);
    const plain = JSON.stringify([{ file: "scaled.gguf", sha256: sha256(file) }]); // stores' are compared as JSON
    expect(await loraOf(file)).toBe(plain);
    expect(await loraOf({ file, scale: 1 })).toBe(plain);
    expect(JSON.parse(await loraOf({ file, scale: -0.5 }))).toEqual([{ file: "scaled.gguf", scale: -0.5, sha256: sha256(file) }]);
});

it("does without a cache that cannot be read or written", async () => {
    const blocked = path.join(folder, "blocked");
    writeFileSync(blocked, "a file where a folder should be");
    process.env["XDG_CACHE_HOME"] = blocked;
    const model = await noiseModel();
    expect((await fingerprintModel(model)).sha256).toBe(sha256(pathOf(model)));
});
