/** Stores of a model with a LoRA adapter, against those of the model with the adapter's weights worked into its own. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { ChatFigures } from "../../lib/evaluation/chat.js";
import { generate } from "../../lib/evaluation/generate.js";
import type { LabelFigures } from "../../lib/evaluation/label.js";
import { fusionOf } from "../../lib/evaluation/options.js";
import { buildDatastore, classify, Datastore, evaluate, fingerprintModel, tune, type BuildOptions } from "../../lib/index.js";
import { recipeOf } from "../../lib/recipes/metadata.js";
import { rtd } from "../cli/run.js";
import { writeAdapter, writeModel } from "../llama/gguf.js";
import { noiseModel } from "../llama/models.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-lora-"));
const adapter = join(folder, "adapter.gguf");
const lora = [adapter];
beforeAll(() => writeAdapter(adapter, {}, 7));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, rows: readonly object[]): string => {
    const path = join(folder, name);
    writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
    return path;
};
const animals = Array.from({ length: 24 }, (_, i) => ({ text: `it has ${(i * 7) % 23} legs`, label: i % 3 ? "ant" : "bee" }));
const data = [file("animals.jsonl", animals.slice(0, 16))];
const asked = [file("asked.jsonl", animals.slice(16))];
const facts = [
    file(
        "facts.jsonl",
        Array.from({ length: 5 }, (_, i) => ({ prompt: `code ${i}:`, completion: ` K${i}` })),
    ),
];

const labels = { task: "label", data, prompt: "{text} (" } as const;
const adapted = () => noiseModel({ adapted: 7 });
async function build(name: string, options: Omit<BuildOptions, "path">): Promise<string> {
    const path = join(folder, name);
    await buildDatastore({ path, threads: 1, ...options });
    return path;
}

describe("a store of a model with an adapter", () => {
    it("is bound to both, and has the keys of the model that they make", async () => {
        const model = await noiseModel();
        const path = await build("labels.rtd", { model, lora, ...labels });
        await using store = await Datastore.open(path, { model: await fingerprintModel(model, { lora }) });
        const sha256 = createHash("sha256").update(readFileSync(adapter)).digest("hex");
        expect(store.manifest.model.lora).toEqual([{ file: "adapter.gguf", sha256 }]);
        await expect(Datastore.open(path, { model: await fingerprintModel(model) })).rejects.toThrow(
            /lora: the store has .*adapter\.gguf.*, the model nothing/,
        );
        await expect(buildDatastore({ path, model, ...labels, threads: 1 })).rejects.toThrow(/not made with/);
        const other = await build("adapted.rtd", { model: await adapted(), ...labels });
        const plain = await build("plain.rtd", { model, ...labels });
        const [own, whole, without] = await Promise.all(
            [path, other, plain].map(async (one) => {
                await using opened = await Datastore.open(one);
                return opened.keysOf(Uint32Array.from({ length: 16 }, (_, id) => id));
            }),
        );
        const furthest = (a: Float32Array, b: Float32Array) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
        expect(furthest(own!, whole!)).toBeLessThan(0.02);
        expect(furthest(own!, without!)).toBeGreaterThan(0.5);
    });

    it("may have a part of it", async () => {
        const model = await noiseModel();
        const half = [{ file: adapter, scale: 0.5 }];
        const keysOf = async (path: string) => {
            await using store = await Datastore.open(path);
            return { keys: store.keysOf(Uint32Array.from({ length: 16 }, (_, id) => id)), lora: store.manifest.model.lora };
        };
        const own = await keysOf(await build("half.rtd", { model, lora: half, ...labels }));
        const { keys } = await keysOf(
            await build("halved.rtd", { model: await noiseModel({ adapted: 7, adaptedBy: 0.5 }), ...labels }),
        );
        const furthest = (other: Float32Array) => Math.max(...own.keys.map((x, i) => Math.abs(x - other[i]!)));
        expect(furthest(keys)).toBeLessThan(0.02);
        expect(furthest((await keysOf(join(folder, "labels.rtd"))).keys)).toBeGreaterThan(0.3);
        expect(own.lora).toMatchObject([{ file: "adapter.gguf", scale: 0.5 }]);
        const path = join(folder, "half.rtd");
        await expect(Datastore.open(path, { model: await fingerprintModel(model, { lora }) })).rejects.toThrow(
            /lora: the store has/,
        );
        await using store = await Datastore.open(path, { model: await fingerprintModel(model, { lora: half }) });
        expect(store.size).toBe(16);
        await expect(buildDatastore({ path, model, ...labels, lora: [{ file: adapter } as never] })).rejects.toThrow(
            "lora: expected files, or files with scales",
        );
    });

    it("is evaluated, tuned and asked for labels as that model is", async () => {
        const [model, whole] = [await noiseModel(), await adapted()];
        await using store = await Datastore.open(join(folder, "labels.rtd"));
        await using other = await Datastore.open(join(folder, "adapted.rtd"));
        const texts = animals.slice(16).map(({ text }) => text);
        const said = async (options: Pick<Parameters<typeof classify>[0], "store" | "model" | "lora">) =>
            (await classify({ ...options, texts, threads: 1 })).map(({ probabilities }) => probabilities["ant"]!);
        const [own, expected, without] = [
            await said({ store, model, lora }),
            await said({ store: other, model: whole }),
            await said({ store, model }),
        ];
        const furthest = (a: number[], b: number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
        expect(furthest(own, expected)).toBeLessThan(0.01);
        expect(furthest(own, without)).toBeGreaterThan(0.05);

        // Runs of the model alone and with the adapter are kept apart.
        const cacheDirectory = join(folder, "runs");
        const figures = async (options: Pick<Parameters<typeof evaluate>[0], "store" | "model" | "lora">) => {
            const options_ = { ...options, data: asked, cacheDirectory, retrieved: 1, threads: 1 };
            const { rtd, model, retrieved } = (await evaluate(options_)) as LabelFigures;
            return [rtd, model, retrieved!.model].map(({ calibrationError }) => calibrationError!);
        };
        const alone = await figures({ store, model });
        const measured = await figures({ store, model, lora });
        expect(furthest(measured, await figures({ store: other, model: whole }))).toBeLessThan(0.01);
        expect(furthest(measured, alone)).toBeGreaterThan(0.02);
        const tuned = await tune({ store, model, lora, dryRun: true, keepSpace: true, threads: 1 });
        const expectedScore = (await tune({ store: other, model: whole, dryRun: true, keepSpace: true, threads: 1 })).model;
        expect(tuned.model).toBeCloseTo(expectedScore, 2);
        expect((await tune({ store, model, dryRun: true, keepSpace: true, threads: 1 })).model).not.toBeCloseTo(expectedScore, 2);
    });

    it("answers and generates as that model does", async () => {
        const [model, whole] = [await noiseModel(), await adapted()];
        const said = async (name: string, options: Pick<BuildOptions, "model" | "lora">) => {
            await using store = await Datastore.open(await build(name, { ...options, task: "chat", data: facts }));
            const evaluation = (await evaluate({ ...options, store, data: facts, threads: 1 })) as ChatFigures;
            const fusion = { ...fusionOf(store, recipeOf(store), {}), referenceWeight: 0 };
            const prompt = options.model.tokenize("code");
            const tokens = await generate({ ...options, store, fusion, prompt, maxTokens: 8, threads: 1 });
            return [evaluation.answers, tokens.map(({ token }) => token)];
        };
        const own = await said("facts.rtd", { model, lora });
        expect(own).toEqual(await said("adapted-facts.rtd", { model: whole }));
        expect(own).not.toEqual(await said("plain-facts.rtd", { model }));
    });

    it("is not built with what is no adapter", async () => {
        const [model, missing] = [await noiseModel(), join(folder, "missing.gguf")];
        const path = join(folder, "none.rtd");
        await expect(buildDatastore({ path, model, lora: [missing], ...labels })).rejects.toThrow(
            /lora: .*missing\.gguf: no such file/,
        );
        await expect(buildDatastore({ path, model, lora: [asked[0]!], ...labels })).rejects.toThrow(
            expect.objectContaining({ code: "ERR_RTD_BAD_FORMAT" }),
        );
    });
});

it("--lora is an option of every command that runs the model", async () => {
    const model = join(folder, "noise.gguf");
    writeModel(model);
    const path = join(folder, "cli.rtd");
    const common = ["--model", model, "--no-gpu", "--threads", "1"];
    const given = ["--lora", adapter];
    const flags = ["--task", "label", "--data", data[0]!, "--prompt", "{text} ("];
    expect(await rtd("build", path, ...common, ...flags, ...given)).toMatchObject({ code: 0 });
    const half = await rtd("eval", path, ...common, "--data", asked[0]!, "--lora", `${adapter}@0.5`);
    expect([half.code, half.stderr]).toEqual([1, expect.stringContaining('the model [{"file":"adapter.gguf","scale":0.5,')]);
    for (const [command, ...rest] of [
        ["eval", "--data", asked[0]!, "--no-cache", "--json"],
        ["tune", "--dry-run", "--keep-space", "--no-cache", "--json"],
        ["classify", "--text", "it has 5 legs", "--json"],
        ["generate", "--prompt", "it", "--max-tokens", "2"],
    ] as const) {
        const refused = await rtd(command, path, ...common, ...rest);
        expect([refused.code, refused.stderr], command).toEqual([1, expect.stringContaining("lora: the store has")]);
        const { code, stdout, stderr } = await rtd(command, path, ...common, ...rest, ...given);
        expect([code, stderr], command).toEqual([0, ""]);
        if (command === "eval") expect(stdout).toContain('"file": "adapter.gguf"');
    }
});
