/** Retrieved context against neighbours found by hand in float64, and prompts written out as text. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import type { ChatFigures } from "../../lib/evaluation/chat.js";
import type { LabelFigures } from "../../lib/evaluation/label.js";
import { promptEnds } from "../../lib/evaluation/label-methods.js";
import { runModel } from "../../lib/evaluation/model-run.js";
import { fusionOf } from "../../lib/evaluation/options.js";
import { retrieval } from "../../lib/evaluation/retrieval.js";
import { attach, buildDatastore, createRecorder, Datastore, evaluate, fitSpace, type BuildOptions } from "../../lib/index.js";
import type { LlamaModel, Token } from "../../lib/node-llama-cpp.js";
import { passagesOf } from "../../lib/recipes/build.js";
import { readRows } from "../../lib/recipes/data.js";
import { recipeOf } from "../../lib/recipes/metadata.js";
import type { Passage } from "../../lib/recipes/passage.js";
import { contextOf, generate, noiseModel } from "../llama/models.js";
import { stateAfter, tokensOf } from "../llama/states.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-retrieval-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const file = (rows: readonly object[]): string => {
    const path = join(folder, `${++files}.jsonl`);
    writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
    return path;
};
async function build(task: "label" | "chat", rows: readonly object[], options: Partial<BuildOptions> = {}): Promise<Datastore> {
    const path = join(folder, `${++files}.rtd`);
    await buildDatastore({ path, model: await noiseModel(), task, data: [file(rows)], threads: 1, ...options });
    return Datastore.open(path, { writable: true, threads: 1 });
}

const distance = (a: Float32Array, b: Float32Array): number => Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0));

/** Of prompts with keys of their own, those nearest to a prompt's, which is not one of them; the nearest last. */
async function nearestTo(model: LlamaModel, asked: string, prompts: readonly string[], count: number): Promise<number[]> {
    const { hidden: query } = await stateAfter(model, asked);
    const distances: { i: number; distance: number }[] = [];
    for (const [i, prompt] of prompts.entries())
        if (prompt !== asked) distances.push({ i, distance: distance(query, (await stateAfter(model, prompt)).hidden) });
    distances.sort((a, b) => a.distance - b.distance);
    return distances
        .slice(0, count)
        .map(({ i }) => i)
        .reverse();
}

const names = ["ant", "bee", "fly"];
const animals = Array.from({ length: 14 }, (_, i) => ({
    text: `${"very ".repeat(i % 3)}${String.fromCharCode(97 + i)} ${(i * 37) % 101}`,
    label: names[Math.floor(1.7 * i) % 3]!,
}));
const [stored, others] = [animals.slice(0, 10), animals.slice(10)];
const template = "{text} is (an)\n";
const promptOf = ({ text }: { text: string }) => `${text} is (an)\n`;

/** What is evaluated of rows after retrieved examples, as text. */
async function shownBy(store: Datastore, rows: readonly object[], retrieved: number): Promise<string[]> {
    const model = await noiseModel();
    const metadata = recipeOf(store);
    const data = [file(rows)];
    const read = await readRows(data, metadata.recipe);
    const passagesAfter = (shots?: Parameters<typeof passagesOf>[4]): Promise<Passage[]> =>
        passagesOf(model, metadata, read, {}, shots);
    const options = { store, model, data, retrieved };
    const passages = await passagesAfter();
    const asked = { rows: read, passages, fusion: fusionOf(store, metadata, {}), passagesAfter };
    const run = await runModel(passages, { model, layer: metadata.layer, labels: [[5 as Token]], unit: "examples", threads: 1 });
    const retrieve = await retrieval(options, metadata, asked);
    const { passages: shown } = await retrieve!(promptEnds(run, passages.length));
    return shown.map(({ tokens, from }) => model.detokenize(tokens.slice(1, from + 1)).trimStart());
}

/** The other example that weighs most at the end of an example's prompt, by the keys as they are searched. */
function nearestByKeys(store: Datastore, example: number): number {
    const { heads, entries } = store.index;
    const ids = Uint32Array.from({ length: entries }, (_, id) => id);
    const { examples, positions } = store.origins(ids);
    const keys = store.index.keysOf(ids);
    const [width, slice] = [keys.length / entries, keys.length / entries / heads];
    const { temperature } = fusionOf(store, recipeOf(store), {});
    const own = ids.find((id) => examples[id] === example && positions[id] === 0)!;
    const weights = new Array<number>(entries).fill(0);
    for (let head = 0; head < heads; head++) {
        const part = (id: number) => keys.subarray(id * width + head * slice, id * width + (head + 1) * slice);
        const votes = Array.from(ids, (id) => Math.exp(-distance(part(own), part(id)) / temperature));
        const sum = votes.reduce((a, b) => a + b, 0);
        votes.forEach((vote, id) => (weights[id]! += vote / sum));
    }
    const others = [...ids].filter((id) => examples[id] !== example);
    return examples[others.sort((a, b) => weights[b]! - weights[a]!)[0]!]!;
}

describe("labels after retrieved examples", () => {
    it("are those of the prompts that retrieval by hand writes, own examples left out", async () => {
        const model = await noiseModel();
        const store = await build("label", stored, { prompt: template });
        const rows = [...stored.slice(0, 4), ...others];
        const prompts: string[] = [];
        for (const row of rows) {
            const nearest = await nearestTo(model, promptOf(row), stored.map(promptOf), 2);
            const shots = nearest.map((i) => `${promptOf(stored[i]!)}${stored[i]!.label}\n\n`);
            prompts.push(shots.join("") + promptOf(row));
        }
        expect(await shownBy(store, rows, 2)).toEqual(prompts);

        const figures = (await evaluate({ store, model, data: [file(rows)], retrieved: 2, threads: 1 })) as LabelFigures;
        let right = 0;
        const recorder = await createRecorder(await contextOf(model, { contextSize: 512 }));
        for (const [i, prompt] of prompts.entries()) {
            const tokens = tokensOf(model, prompt);
            const { logits } = await recorder.record(tokens, { from: tokens.length - 1, logits: true });
            const own = names.map((name) => logits[model.tokenize(`\n${name}`).at(-3)!]!);
            if (names[own.indexOf(Math.max(...own))] === rows[i]!.label) right++;
        }
        await recorder.dispose();
        const { model: alone, rtd, count, promptTokens } = figures.retrieved!;
        expect([alone.accuracy, alone.count, count]).toEqual([right / rows.length, rows.length, 2]);
        expect([alone.gain!.interval.length, rtd.gain!.interval.length]).toEqual([2, 2]);
        const tokens = prompts.reduce((sum, prompt) => sum + tokensOf(model, prompt).length, 0);
        expect(promptTokens).toBeCloseTo(tokens / rows.length, 9);
        await store.close();
    });

    it("come from stores of every kind: each by its own keys", async () => {
        const kinds: [Partial<BuildOptions>, ((store: Datastore) => Promise<unknown>)?][] = [
            [{ pooling: "mean" }],
            [{ wholeLabels: true }],
            [{ layer: 0 }],
            [{}, (store) => store.setSpace({ heads: 4 })],
            [{}, (store) => fitSpace(store)],
        ];
        for (const [options, setSpace] of kinds) {
            const store = await build("label", stored, { prompt: template, ...options });
            await setSpace?.(store);
            const prompts: string[] = [];
            for (const [example, row] of stored.entries()) {
                const near = stored[nearestByKeys(store, example)]!;
                prompts.push(`${promptOf(near)}${near.label}\n\n${promptOf(row)}`);
            }
            expect(await shownBy(store, stored, 1), JSON.stringify(options)).toEqual(prompts);
            const figures = (await evaluate({
                store,
                model: await noiseModel(),
                data: [file(stored)],
                retrieved: 1,
                threads: 1,
            })) as LabelFigures;
            const characters = prompts.reduce((sum, prompt) => sum + prompt.length, 0) / prompts.length;
            expect(figures.retrieved!.promptTokens).toBeCloseTo(characters + 2, 9); // a token is one; two more begin the text
            await store.close();
        }
    });

    it("of questions are retrieved for each rotation by itself, from examples that are counted once", async () => {
        const questions = Array.from({ length: 6 }, (_, i) => ({
            question: `${i * 7}?`,
            options: [..."qrstuvwx"].map((option) => option.repeat(1 + (i % 3))),
            answer: i % 8,
        }));
        const store = await build("label", questions, { prompt: "{question} {options}\n", rotate: true });
        const shown = await shownBy(store, questions, 5);
        expect(shown).toHaveLength(48);
        for (const [i, prompt] of shown.entries()) {
            const asked = [...prompt.matchAll(/(\d+)\? A/g)].map(([, number]) => Number(number) / 7);
            expect(asked.at(-1)).toBe(Math.floor(i / 8));
            expect([...asked].sort()).toEqual([0, 1, 2, 3, 4, 5]); // all others once, and the question
        }
        const orders = [...Array(8).keys()].map((rotation) =>
            [...shown[rotation]!.matchAll(/(\d+)\? A/g)].map(([, number]) => number).join(),
        );
        expect(new Set(orders).size).toBeGreaterThan(1);
        await store.close();
    });
});

describe("answers after retrieved examples", () => {
    const facts = Array.from({ length: 7 }, (_, i) => ({ prompt: `code of ${"abcdefg"[i]}${i * i}:`, completion: ` K${i}` }));

    it("are those to the prompts that retrieval by hand writes", async () => {
        const model = await noiseModel();
        const store = await build("chat", facts);
        const asked = [facts[2]!, { prompt: "the code of d9:", completion: " K3" }, { prompt: "d9 is:", completion: " K3" }];
        const figures = (await evaluate({
            store,
            model,
            data: [file(asked)],
            retrieved: 5,
            k: 2,
            referenceWeight: 0.6,
            maxTokens: 6,
            threads: 1,
        })) as ChatFigures;
        const context = await contextOf(model, { contextSize: 512 });
        const attachment = await attach(context, store, { k: 2, referenceWeight: 0.6 });
        const sequence = context.getSequence();
        const answerTo = async (prompt: string) => {
            const tokens = await generate(sequence, tokensOf(model, prompt), 6);
            const end = tokens.findIndex((token) => model.isEogToken(token));
            return model.detokenize(end < 0 ? tokens : tokens.slice(0, end)).trim();
        };
        let length = 0;
        for (const [i, { prompt }] of asked.entries()) {
            // Every token of an answer is a key, so the nearest need not be the end of a question.
            const places = facts.flatMap(({ prompt, completion }, fact) =>
                Array.from({ length: completion.length + 1 }, (_, said) => ({ fact, text: prompt + completion.slice(0, said) })),
            );
            const others = places.filter(({ fact }) => facts[fact]!.prompt !== prompt);
            const order = await nearestTo(model, prompt, others.map(({ text }) => text), others.length); // prettier-ignore
            const nearest = [...new Set(order.reverse().map((at) => others[at]!.fact))].slice(0, 5).reverse();
            const shots = nearest.map((fact) => `${facts[fact]!.prompt}${facts[fact]!.completion}\n\n`).join("");
            length += tokensOf(model, shots + prompt).length;
            attachment.off();
            const alone = await answerTo(shots + prompt);
            attachment.on();
            expect(figures.retrieved!.answers[i]).toEqual({ model: alone, rtd: await answerTo(shots + prompt) });
        }
        expect(figures.retrieved!.promptTokens).toBeCloseTo(length / asked.length, 9);
        expect(figures.retrieved!.rtd).toMatchObject({ count: 3, gain: { interval: [expect.any(Number), expect.any(Number)] } });
        attachment.detach();
        await store.close();
    });

    it("of a conversation are each preceded by what is nearest to them", async () => {
        const model = await noiseModel({ contextSize: 4096 });
        const turn = (question: string, answer: string) => [
            { role: "user", content: question },
            { role: "assistant", content: answer },
        ];
        const rows = ["lion", "oak", "gold", "rain"].map((word, i) => ({ messages: turn(`${word}?`, `${i}`) }));
        const path = join(folder, `${++files}.rtd`);
        await buildDatastore({ path, model, task: "chat", data: [file(rows)], threads: 1 });
        await using store = await Datastore.open(path);
        const talk = { messages: [...turn("the oak?", "1"), ...turn("and rain?", "3")] };
        const figures = (await evaluate({ store, model, data: [file([talk])], retrieved: 1, maxTokens: 1, threads: 1 })) as ChatFigures; // prettier-ignore
        expect([figures.answers.length, figures.retrieved!.answers.length]).toEqual([2, 2]);
        expect(figures.retrieved!.promptTokens).toBeGreaterThan(figures.promptTokens + 10);
    });
});

describe("retrieval", () => {
    const evaluated = async (store: Datastore, rows: readonly object[], retrieved: number) =>
        evaluate({ store, model: await noiseModel(), data: [file(rows)], retrieved, threads: 1 });

    it("of more examples than there are, or than fit, or that are not of the kind, is refused", async () => {
        const store = await build("label", stored, { prompt: template });
        await expect(evaluated(store, others, 11)).rejects.toThrow(/11 examples are to be retrieved, .* are 10 other ones/);
        await expect(evaluated(store, stored, 10)).rejects.toThrow(/:1: 10 examples are to be retrieved, .* are 9 other ones/);
        await expect(evaluated(store, others, -1)).rejects.toThrow("retrieved: expected a whole number not below 0, got -1");
        const long = await build("label", [{ text: "x".repeat(300), label: "ant" }, { text: "y".repeat(300), label: "bee" }], { prompt: template }); // prettier-ignore
        await expect(evaluated(long, stored.slice(0, 1), 2)).rejects.toThrow(/context holds 512: give fewer retrieved ones/);
        await store.close();
        await long.close();
    });

    it("needs the data that the store was built from, and a store of labels or answers", async () => {
        const data = file(stored);
        const store = await build("label", [], { prompt: template, data: [data] });
        writeFileSync(data, "");
        await expect(evaluated(store, others, 1)).rejects.toThrow(/data it was built from have been moved or changed/);
        await store.close();
        const [text, path] = [join(folder, "text.txt"), join(folder, "text.rtd")];
        writeFileSync(text, "to be or not to be");
        await buildDatastore({ path, model: await noiseModel(), task: "text", data: [text], threads: 1 });
        await using novel = await Datastore.open(path);
        await expect(evaluate({ store: novel, model: await noiseModel(), data: [text], retrieved: 1 })).rejects.toThrow(
            /retrieved is an option of label and chat stores/,
        );
    });
});
