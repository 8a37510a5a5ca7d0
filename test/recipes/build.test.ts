/** Building on a model of noise: interrupted anywhere, it goes on to the same store. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";

import type { TextFigures } from "../../lib/evaluation/text.js";
import { attach, createRecorder, Datastore, evaluate, record, type Evaluation } from "../../lib/index.js";
import { buildDatastore, type BuildOptions } from "../../lib/recipes/build.js";
import { LabelLogits } from "../../lib/recipes/label-logits.js";
import { recipeOf } from "../../lib/recipes/metadata.js";
import { References } from "../../lib/recipes/references.js";
import { contextOf, generate, noiseModel } from "../llama/models.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-build-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rows = Array.from({ length: 12 }, (_, i) => ({ prompt: `what follows ${i}? `, completion: `${i + 1}.` }));
const chat = path.join(folder, "chat.jsonl");
writeFileSync(chat, rows.map((row) => JSON.stringify(row)).join("\n"));
const labels = path.join(folder, "label.jsonl");
writeFileSync(labels, rows.map(({ prompt }, i) => JSON.stringify({ text: prompt, label: i % 2 ? "odd" : "even" })).join("\n"));

async function build(name: string, options: Partial<BuildOptions> = {}) {
    const model = await noiseModel();
    return buildDatastore({ path: path.join(folder, name), model, task: "chat", data: [chat], threads: 1, ...options });
}

async function withStore<T>(name: string, work: (store: Datastore) => T | Promise<T>): Promise<T> {
    const store = await Datastore.open(path.join(folder, name));
    try {
        return await work(store);
    } finally {
        await store.close();
    }
}

const contents = (name: string) =>
    withStore(name, ({ index }) => {
        const ids = Uint32Array.from({ length: index.entries }, (_, i) => i);
        return { keys: index.keysOf(ids), entries: index.entriesOf(ids) };
    });

const originsOf = (name: string) =>
    withStore(name, (store) => store.origins(Uint32Array.from({ length: store.index.entries }, (_, i) => i)));

/** Ends a build when it has got that far: by the signal, or by an error as a crash would. */
async function cut(name: string, passages: number, how: "signal" | "crash", options: Partial<BuildOptions> = {}): Promise<void> {
    const controller = new AbortController();
    let seen = 0;
    const onProgress = () => {
        if (seen++ < passages) return;
        if (how === "crash") throw new Error("crash");
        controller.abort(new Error("stop"));
    };
    await expect(build(name, { ...options, signal: controller.signal, onProgress })).rejects.toThrow(
        how === "crash" ? "crash" : "stop",
    );
}

/** Lets so many writes of a build come through and fails the next, as all after it. Whether there was one. */
async function buildUntilCrash(name: string, survived: number, options: Partial<BuildOptions>): Promise<boolean> {
    let writes = 0;
    let crashed = false;
    const spies = (["seal", "setMetadata"] as const).map((call) => {
        const real = Reflect.get(Datastore.prototype, call) as (argument?: never) => Promise<void>;
        return vi.spyOn(Datastore.prototype, call).mockImplementation(async function (this: Datastore, argument?: unknown) {
            crashed ||= writes++ === survived;
            if (crashed) throw new Error("crash");
            await real.call(this, argument as never);
        });
    });
    await build(name, options).catch(() => undefined);
    for (const spy of spies) spy.mockRestore();
    return crashed;
}

describe("a build", () => {
    it.each<[object, string]>([
        [{ task: "labels" }, 'task: expected "label" or "text" or "chat", got "labels"'],
        [{ data: chat }, "data: expected an array of file names, got "],
        [{ offset: -1 }, "offset: expected a whole number not below 0, got -1"],
        [{ limit: NaN }, "limit: expected a whole number not below 1, got NaN"],
        [{ sealEvery: 0 }, "sealEvery: expected a whole number not below 1, got 0"],
        [{ transform: "pca" }, 'transform: expected one of "none", "standardise", "whiten", "project", got "pca"'],
        [{ transform: "whiten", shrinkage: NaN }, "shrinkage: expected a number not below 0, got NaN"],
        [{ transform: "whiten", heads: 4 }, "heads: to whiten takes one head, got 4"],
        [{ model: {} }, "model: expected a LlamaModel of node-llama-cpp"],
    ])("of %j is refused before anything is recorded", async (options, message) => {
        const onProgress = vi.fn();
        await expect(build("never.rtd", { ...options, onProgress })).rejects.toMatchObject({
            code: "ERR_RTD_INVALID_ARGUMENT",
            message: expect.stringContaining(message) as string,
        });
        expect(onProgress).not.toHaveBeenCalled();
        expect(existsSync(path.join(folder, "never.rtd"))).toBe(false);
    });
});

describe("an interrupted build", () => {
    it.each([0, 1, 5, 11])("goes on after %i passages to the same store", async (passages) => {
        await build("whole.rtd");
        const name = `signal-${passages}.rtd`;
        await cut(name, passages, "signal");
        expect((await originsOf(name)).examples.at(-1) ?? -1).toBe(passages - 1);
        await build(name);
        expect(await contents(name)).toEqual(await contents("whole.rtd"));
        expect(await originsOf(name)).toEqual(await originsOf("whole.rtd"));
    });

    it("loses only what was not sealed when it crashes", async () => {
        await build("whole.rtd");
        await cut("crash.rtd", 8, "crash", { sealEvery: 10 });
        const { length } = (await originsOf("crash.rtd")).examples;
        expect(length).toBeGreaterThanOrEqual(10);
        const { added } = await build("crash.rtd");
        expect(added).toBe((await originsOf("whole.rtd")).examples.length - length);
        expect(await contents("crash.rtd")).toEqual(await contents("whole.rtd"));
    });

    it("keeps the labels' logits as far as they go", async () => {
        const options = { task: "label", data: [labels], prompt: "{text}\n" } as const;
        await cut("labels.rtd", 7, "signal", options);
        await build("labels.rtd", options);
        const logits = await withStore("labels.rtd", (store) => new LabelLogits(2, recipeOf(store).labelLogits));
        expect(logits.rows).toBe(12);
        expect(new Set(Array.from({ length: 12 }, (_, i) => logits.row(i)[0])).size).toBeGreaterThan(6);
        const { examples, positions } = await originsOf("labels.rtd");
        expect([...examples]).toEqual(rows.map((_, i) => i));
        expect([...positions]).toEqual(rows.map(() => 0));
    });

    it("ends the same wherever it crashed between what it writes", async () => {
        const options = { task: "label", data: [labels], prompt: "{text}\n", sealEvery: 4 } as const;
        const metadataOf = (name: string) => withStore(name, (store) => store.metadata);
        await build("uncrashed.rtd", options);
        for (let survived = 0, crashed = true; crashed; survived++) {
            const name = `crash-${survived}.rtd`;
            crashed = await buildUntilCrash(name, survived, options);
            await build(name, options);
            expect(await contents(name)).toEqual(await contents("uncrashed.rtd"));
            expect(await metadataOf(name)).toEqual(await metadataOf("uncrashed.rtd"));
        }
    });
});

describe("appended data", () => {
    it("counts its examples on", async () => {
        await build("appended.rtd", { limit: 5 });
        const { added, examples } = await build("appended.rtd", { offset: 5, seed: undefined });
        expect([added > 0, examples]).toEqual([true, 12]);
        expect(await contents("appended.rtd")).toEqual(await contents("whole.rtd"));
        expect(await originsOf("appended.rtd")).toEqual(await originsOf("whole.rtd"));
    });

    it("is recognised wherever its file lies", async () => {
        const copy = path.join(folder, "copy.jsonl");
        writeFileSync(copy, rows.map((row) => JSON.stringify(row)).join("\n"));
        expect(await build("whole.rtd", { data: [copy] })).toMatchObject({ added: 0, examples: 12 });
    });
});

describe("pruning", () => {
    /** Probabilities of the values of a whole store's entries, by the model alone, in float64. */
    async function probabilitiesOf(rowsOf: readonly string[], answers: number): Promise<number[][]> {
        const model = await noiseModel();
        const recorder = await createRecorder(await contextOf(model));
        const all: number[][] = [];
        for (const text of rowsOf) {
            const tokens = [model.tokens.bos!, ...model.tokenize(text), ...(answers > 1 ? [model.tokens.eos!] : [])];
            const { logits } = await recorder.record(tokens, { logits: true });
            const row = (i: number) => [...logits.subarray(i * recorder.vocabulary, (i + 1) * recorder.vocabulary)];
            all.push(
                tokens.slice(1).map((token, i) => {
                    const own = row(i);
                    return Math.exp(own[token]!) / own.reduce((sum, logit) => sum + Math.exp(logit), 0);
                }),
            );
        }
        await recorder.dispose();
        return all;
    }

    it.each(["chat", "text"] as const)("leaves out what the model says by itself: %s", async (task) => {
        const text = path.join(folder, "pruned.txt");
        writeFileSync(text, rows.map(({ prompt, completion }) => prompt + completion).join(" "));
        const options: Partial<BuildOptions> = task === "chat" ? {} : { task, data: [text] };
        await build(`unpruned-${task}.rtd`, options);
        const whole = await contents(`unpruned-${task}.rtd`);
        const { examples } = await originsOf(`unpruned-${task}.rtd`);
        const texts = rows.map(({ prompt, completion }) => prompt + completion);
        const own = (await probabilitiesOf(task === "chat" ? texts : [texts.join(" ")], task === "chat" ? 2 : 1)).flatMap(
            (ps, example) => ps.slice(-examples.filter((e) => e === example).length),
        );
        const limit = [...own].sort((a, b) => a - b)[Math.floor(own.length * 0.6)]! * 1.0001;
        const expected = own.flatMap((p, id) => (p > limit ? [] : [id]));
        const report = await build(`pruned-${task}.rtd`, { ...options, pruneAbove: limit });
        expect(report).toMatchObject({ entries: expected.length, leftOut: own.length - expected.length });
        const pruned = await contents(`pruned-${task}.rtd`);
        expect([...pruned.entries.tokens]).toEqual(expected.map((id) => whole.entries.tokens[id]));
        expect(pruned.keys).toEqual(Float32Array.from(expected.flatMap((id) => [...whole.keys.subarray(id * 64, id * 64 + 64)])));
        const [all, kept] = [await originsOf(`unpruned-${task}.rtd`), await originsOf(`pruned-${task}.rtd`)];
        expect([...kept.positions]).toEqual(expected.map((id) => all.positions[id]));
        expect([...kept.examples]).toEqual(expected.map((id) => all.examples[id]));
    });

    it.each([0, 1])("with a limit of %i leaves out all or nothing", async (pruneAbove) => {
        const { entries, leftOut } = await build(`limit-${pruneAbove}.rtd`, { pruneAbove });
        const { entries: all } = await build("whole.rtd");
        expect([entries, leftOut]).toEqual(pruneAbove === 0 ? [0, all] : [all, 0]);
        expect(await build(`limit-${pruneAbove}.rtd`)).toMatchObject({ added: 0, entries, leftOut });
    });

    it("goes on after a crash to the same store, with the logits of all the labels' prompts", async () => {
        const values = (
            await probabilitiesOf(
                rows.map(({ prompt }, i) => `${prompt}\n${i % 2 ? "o" : "e"}`),
                1,
            )
        ).map((ps) => ps.at(-1)!);
        const pruneAbove = [...values].sort((a, b) => a - b)[5]! * 1.0001;
        const options = { task: "label", data: [labels], prompt: "{text}\n", sealEvery: 2, pruneAbove } as const;
        const { entries, leftOut } = await build("label-pruned.rtd", options);
        expect([entries, leftOut]).toEqual([6, 6]);
        const metadataOf = (name: string) => withStore(name, (store) => store.metadata);
        await build("label-whole.rtd", { ...options, pruneAbove: undefined });
        const logitsOf = async (name: string) => (await metadataOf(name))["labelLogits"];
        expect(await logitsOf("label-pruned.rtd")).toBe(await logitsOf("label-whole.rtd"));
        for (let survived = 1, crashed = true; crashed; survived++) {
            const name = `label-pruned-${survived}.rtd`;
            crashed = await buildUntilCrash(name, survived, options);
            expect(await build(name, options)).toMatchObject({ entries: 6, leftOut: 6 });
            expect(await contents(name)).toEqual(await contents("label-pruned.rtd"));
            expect(await metadataOf(name)).toEqual(await metadataOf("label-pruned.rtd"));
        }
        // A second source counts its own.
        const again = { ...options, seed: 3 };
        expect(await build("label-pruned.rtd", again)).toMatchObject({ added: 6, entries: 12, leftOut: 12 });
        expect(new LabelLogits(2, (await logitsOf("label-pruned.rtd")) as string).rows).toBe(24);
    });

    it("shows where the text around an entry lacks what was left out", async () => {
        const text = rows.map(({ prompt, completion }) => prompt + completion).join(" ");
        const model = await noiseModel();
        const described = await withStore("pruned-text.rtd", (store) =>
            new References(store, model).describe(Array.from({ length: store.index.entries }, (_, i) => i)),
        );
        for (const { before, value, after } of described) {
            const pieces = `${before}${value}${after}`.split("…").map((piece) => piece.trim());
            expect(pieces.length).toBeGreaterThan(1);
            for (const piece of pieces) expect(text).toContain(piece);
        }
    });

    it.each([-0.1, 1.1, NaN, "0.5"])("refuses %j", async (pruneAbove) => {
        await expect(build("refused.rtd", { pruneAbove: pruneAbove as number })).rejects.toThrow(
            /pruneAbove: expected a probability/,
        );
    });
});

describe("a layer", () => {
    const options = { layer: 0 } as const;

    it("is whose states are kept, and whose an attached context and an evaluation ask with", async () => {
        await build("layer.rtd", options);
        await build("whole.rtd");
        const model = await noiseModel();
        const { values, at } = await withStore("layer.rtd", async (store) => {
            expect(recipeOf(store).layer).toBe("l_out-0");
            const context = await contextOf(model);
            const tokens = [...model.tokenize(rows[3]!.prompt + rows[3]!.completion), model.tokens.eos!];
            const bos = model.tokens.shouldPrependBosToken ? [model.tokens.bos!] : [];
            const hidden = await record(context, [...bos, ...tokens], { layer: "l_out-0" });
            const { examples } = store.origins(Uint32Array.from({ length: store.index.entries }, (_, i) => i));
            const ids = Uint32Array.from(examples.keys()).filter((id) => examples[id] === 3);
            const from = bos.length + tokens.length - ids.length - 1;
            store.index.keysOf(ids).forEach((x, i) => expect(x).toBeCloseTo(hidden[from * 64 + i]!, 3));
            const attachment = await attach(context, store, { k: 1, referenceWeight: 1 });
            const prompt = [...bos, ...tokens].slice(0, from + 1);
            const answer = await generate(context.getSequence(), prompt, ids.length);
            attachment.detach();
            await expect(attach(context, store, { layer: 1 })).rejects.toThrow(/states of l_out-0, not of l_out-1/);
            return { values: [...store.index.entriesOf(ids).tokens], at: answer };
        });
        expect(at).toEqual(values);
        const perplexities = { k: 1, referenceWeight: 0.999, temperature: 1, threads: 1 };
        const exact = await withStore("layer.rtd", (store) => evaluate({ store, model, data: [chat], ...perplexities }));
        expect(exact).toMatchObject({ rtd: { exactMatch: 1 } });
    });

    it("is the one of the evaluation's run of the model, too", async () => {
        const text = path.join(folder, "text.txt");
        writeFileSync(text, rows.map(({ prompt, completion }) => prompt + completion).join(" "));
        const model = await noiseModel();
        const settings = { k: 1, referenceWeight: 0.999, temperature: 1, threads: 1, cacheDirectory: path.join(folder, "cache") };
        for (const layer of [undefined, 0]) {
            const name = `text-${layer}.rtd`;
            await build(name, { task: "text", data: [text], layer });
            const { rtd } = (await withStore(name, (store) =>
                evaluate({ store, model, data: [text], ...settings }),
            )) as Evaluation & TextFigures;
            expect(rtd.perplexity).toBeLessThan(1.01); // each token finds itself: only states of the same layer do
        }
    });

    it("that the model does not have leaves no store behind", async () => {
        await expect(build("nowhere.rtd", { layer: 7 })).rejects.toThrow(
            /no states named "l_out-7"; it has .*l_out-0 to l_out-1/,
        );
        await expect(Datastore.open(path.join(folder, "nowhere.rtd"))).rejects.toMatchObject({ code: "ERR_RTD_NOT_FOUND" });
    });

    it("stays what it was", async () => {
        await build("layer.rtd", options);
        await expect(build("layer.rtd", { layer: "l_out-1" })).rejects.toThrow(/was built with layer "l_out-0", not "l_out-1"/);
        await expect(build("whole.rtd", { layer: 1 })).rejects.toThrow(/was built with layer left out, not "l_out-1"/);
        expect(await build("layer.rtd")).toMatchObject({ added: 0 });
    });
});

describe("references", () => {
    it("know the file and line of an entry, and the text around it", async () => {
        await build("shuffled.rtd", { seed: 3, offset: 2 });
        const model = await noiseModel();
        await withStore("shuffled.rtd", async (store) => {
            const [reference] = await new References(store, model).describe([0]);
            const [file, line] = reference!.origin!.split(/:(?=\d+$)/);
            const { prompt, completion } = rows[Number(line) - 1]!;
            expect(file).toBe(chat);
            expect(`${reference!.before}${reference!.value}${reference!.after}`).toBe(prompt + completion);
        });
    });

    it("do without the data when it has gone or changed", async () => {
        const gone = path.join(folder, "gone.jsonl");
        writeFileSync(gone, '{"prompt": "a", "completion": "bc"}');
        await build("gone.rtd", { data: [gone] });
        writeFileSync(gone, '{"prompt": "x", "completion": "yz"}');
        const model = await noiseModel();
        const [reference] = await withStore("gone.rtd", (store) => new References(store, model).describe([1]));
        expect(reference).toMatchObject({ origin: undefined, before: "b", value: "c" });
    });
});
