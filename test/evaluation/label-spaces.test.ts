/** Label stores of every kind, searched as they are, by heads and through a transform: evaluated, tuned and asked for labels. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import type { LabelFigures } from "../../lib/evaluation/label.js";
import { matchedTokenBiasOf } from "../../lib/evaluation/matched-bias.js";
import {
    buildDatastore,
    classify,
    createRecorder,
    Datastore,
    evaluate,
    fitSpace,
    tune,
    type BuildOptions,
} from "../../lib/index.js";
import type { LlamaModel, Token } from "../../lib/node-llama-cpp.js";
import { contextOf, noiseModel } from "../llama/models.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-spaces-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const names = ["and", "ant", "bee"]; // a token is a character
const rows = Array.from({ length: 18 }, (_, i) => ({ text: `it has ${(i * 7) % 23} legs`, label: names[i % 3]! }));
const apart = { and: ["xor", "yes"], bee: ["fly", "tick"] }; // so that first tokens tell labels apart
const prompt = "{text} is (an)\n";

const file = (name: string, content: readonly object[]): string => {
    const path = join(folder, name);
    writeFileSync(path, content.map((row) => JSON.stringify(row)).join("\n"));
    return path;
};
const data = [file("rows.jsonl", rows)];

let stores = 0;
async function build(options: Partial<BuildOptions>): Promise<Datastore> {
    const path = join(folder, `${++stores}.rtd`);
    await buildDatastore({ path, model: await noiseModel(), task: "label", data, prompt, threads: 1, ...options });
    return Datastore.open(path, { writable: true });
}

const promptOf = (model: LlamaModel, text: string): Token[] => [
    model.tokens.bos!,
    ...model.tokenize(prompt.replace("{text}", text)),
];

const charactersOf = (model: LlamaModel, word: string): Token[] => model.tokenize(`\n${word}`).slice(-word.length);

/** Of any of the tokens in a row of logits. */
function probability(logits: Float32Array, vocabulary: number, row: number, tokens: readonly Token[]): number {
    const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
    const sum = own.reduce((total, logit) => total + Math.exp(logit), 0);
    return tokens.reduce((total, token) => total + Math.exp(own[token]!) / sum, 0);
}

const surely = { k: 1, referenceWeight: 0.999, temperature: 1, threads: 1 };

const kinds: [string, Partial<BuildOptions>][] = [
    ["spellings", { labels: apart }],
    ["the mean of a layer", { labels: apart, pooling: "mean", layer: 0 }],
    ["whole labels", { wholeLabels: true }],
];
const spaces: [string, (store: Datastore) => Promise<unknown>][] = [
    ["4 heads", (store) => store.setSpace({ heads: 4 })],
    ["whitened keys", (store) => fitSpace(store)],
    ["projected keys", (store) => fitSpace(store, { method: "project" })],
];

describe.each(kinds)("a store of %s", (_, options) => {
    it.each(spaces)("is evaluated and asked for labels by %s: each example finds itself", async (space, setSpace) => {
        const model = await noiseModel();
        const store = await build(options);
        const figures = async () => (await evaluate({ store, model, data, ...surely })) as LabelFigures;
        const before = await figures();
        await setSpace(store);
        const after = await figures();
        expect([after.rtd.accuracy, after.model]).toEqual([1, before.model]);
        if (space !== "projected keys") expect(after.nearest.accuracy).toBe(1);
        expect(after.linearProbe).toEqual(before.linearProbe); // which sees the keys as they were appended
        expect(before.linearProbe === undefined).toBe(options.wholeLabels === true);

        const texts = rows.slice(0, 4).map(({ text }) => text);
        const found = await classify({ store, model, texts, ...surely, k: 5, temperature: 0.01, references: 20 });
        for (const [i, { label, references }] of found.entries()) {
            expect(label).toBe(rows[i]!.label);
            expect(new Set(references.map(({ id }) => id)).size).toBe(references.length);
            expect(references.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 5);
            expect(references[0]).toMatchObject({ label: rows[i]!.label, origin: `${data[0]}:${i + 1}` });
        }
        await store.close();
    });

    it("is tuned in all spaces, an example at a time", async () => {
        const model = await noiseModel();
        const store = await build(options);
        const report = await tune({ store, model, dryRun: true, threads: 1 });
        expect(report.spaces.map(({ space }) => space)).toEqual(
            expect.arrayContaining(["keys as they are", "4 heads", "whitened", "projected, shrinkage 1"]),
        );
        expect(report.best.score).toBeGreaterThan(report.model);
        expect(report.rows).toBe(options.wholeLabels ? 3 * rows.length : rows.length);
        let sum = 0;
        const recorder = await createRecorder(await contextOf(model));
        for (const { text, label } of rows) {
            const words = options.wholeLabels ? [label] : (apart[label as keyof typeof apart] ?? [label]);
            const asked = promptOf(model, text);
            const answer = options.wholeLabels ? charactersOf(model, label) : [];
            const { logits } = await recorder.record([...asked, ...answer], { from: asked.length - 1, logits: true });
            if (options.wholeLabels) answer.forEach((token, i) => (sum += Math.log(probability(logits, recorder.vocabulary, i, [token]))));
            else sum += Math.log(probability(logits, recorder.vocabulary, 0, words.map((word) => charactersOf(model, word)[0]!))); // prettier-ignore
        }
        await recorder.dispose();
        expect(report.model).toBeCloseTo(sum / rows.length, 4);
        await store.close();
    });
});

describe("whole labels of questions", () => {
    const questions = Array.from({ length: 9 }, (_, i) => ({
        question: `${i * 5}?`,
        options: ["u", "v", "w"].map((option) => option.repeat(1 + (i % 4))),
        answer: (i * 2) % 3,
        subject: i % 2 ? "odd" : "even",
    }));
    const letters = { A: ["one"], B: ["on it"], C: ["two"] };

    it("are asked in every rotation, and by subject", async () => {
        const model = await noiseModel();
        const quiz = [file("quiz.jsonl", questions)];
        const store = await build({
            data: quiz,
            prompt: "{question} {options}\n",
            labels: letters,
            wholeLabels: true,
            rotate: true,
        });
        const { rtd, model: alone } = (await evaluate({ store, model, data: quiz, ...surely })) as LabelFigures;
        expect([rtd.accuracy, rtd.count, rtd.choice!.averaged!.accuracy]).toEqual([1, 9, 1]);
        expect(rtd.choice!.positions).toMatchObject({ spread: 0 });
        expect(alone.choice!.averaged!.accuracy).toBeLessThan(1);
        expect(rtd.bySubject).toMatchObject([{ subject: "even", count: 5, accuracy: 1 }, { subject: "odd", count: 4 }]); // prettier-ignore
        await store.close();
    });
});

it("the matched bias of an attachment makes the labels' mean probability uniform, all spellings counted", async () => {
    const model = await noiseModel();
    const store = await build({ labels: apart });
    const { tokens, values } = matchedTokenBiasOf(store.metadata)!;
    expect(tokens).toEqual(["xor", "yes", "ant", "fly", "tick"].map((word) => charactersOf(model, word)[0]));
    expect([values[0], values[3]]).toEqual([values[1], values[4]]);
    const recorder = await createRecorder(await contextOf(model));
    const mean = [0, 0, 0];
    for (const { text } of rows) {
        const asked = promptOf(model, text);
        const { logits } = await recorder.record(asked, { from: asked.length - 1, logits: true });
        const weights = tokens.map((token, i) => Math.exp(logits[token]! + values[i]!));
        const labels = [weights[0]! + weights[1]!, weights[2]!, weights[3]! + weights[4]!];
        const sum = labels.reduce((a, b) => a + b, 0);
        labels.forEach((weight, i) => (mean[i]! += weight / sum / rows.length));
    }
    await recorder.dispose();
    for (const share of mean) expect(share).toBeCloseTo(1 / 3, 3);
    await store.close();
});
