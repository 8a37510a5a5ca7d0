/** Labels of several tokens and of several spellings on a model of noise, against their definition in float64. */
import { describe, expect, it } from "vitest";

import type { LabelFigures } from "../../lib/evaluation/label.js";
import { attach, buildDatastore, classify, createRecorder, evaluate, tune, type Evaluation } from "../../lib/index.js";
import type { Token } from "../../lib/node-llama-cpp.js";
import { contextOf, generate, noiseModel } from "../llama/models.js";
import { labelStores } from "./label-stores.js";

const names = ["and", "ant", "bee"]; // a token is a character
const prompt = "{text} is (an)\n";
const { rows, data, pathOf, withStore } = labelStores(names, prompt);
const d = 64;

async function promptOf(text: string): Promise<Token[]> {
    const model = await noiseModel();
    return [model.tokens.bos!, ...model.tokenize(prompt.replace("{text}", text))];
}

const charactersOf = async (word: string): Promise<Token[]> => (await noiseModel()).tokenize(`\n${word}`).slice(-word.length);

/** The state and the model's probabilities after each of some last tokens of a text. */
async function statesOf(tokens: Token[], count: number) {
    const recorder = await createRecorder(await contextOf(await noiseModel()));
    const { hidden, logits } = await recorder.record(tokens, { logits: true });
    await recorder.dispose();
    const { vocabulary } = recorder;
    return Array.from({ length: count }, (_, i) => {
        const row = tokens.length - count + i;
        const own = logits.slice(row * vocabulary, (row + 1) * vocabulary);
        const sum = own.reduce((total, logit) => total + Math.exp(logit), 0);
        return { key: hidden.slice(row * d, (row + 1) * d), p: (token: Token) => Math.exp(own[token]!) / sum };
    });
}

interface Entry {
    key: Float32Array;
    value: Token;
}

const settings = { k: 7, referenceWeight: 0.6, temperature: 3 };

function mixed(
    { key, p }: { key: Float32Array; p: (token: Token) => number },
    token: Token,
    entries: readonly Entry[],
    weight = settings.referenceWeight,
): number {
    const near = entries
        .map(({ key: own, value }) => ({ value, distance: Math.hypot(...own.map((x, i) => x - key[i]!)) }))
        .sort((a, b) => a.distance - b.distance)
        .slice(0, settings.k)
        .map(({ value, distance }) => ({ value, vote: Math.exp(-distance / settings.temperature) }));
    const votes = near.reduce((sum, { vote }) => sum + vote, 0);
    const r = near.filter(({ value }) => value === token).reduce((sum, { vote }) => sum + vote, 0) / votes;
    return (1 - weight) * p(token) + weight * r;
}

async function entriesOf(): Promise<Entry[]> {
    const all: Entry[] = [];
    for (const { text, label } of rows) {
        const values = await charactersOf(label);
        const states = await statesOf([...(await promptOf(text)), ...values.slice(0, -1)], values.length);
        all.push(...states.map(({ key }, i) => ({ key, value: values[i]! })));
    }
    return all;
}

const text = "it has 77 legs";
const whole = { wholeLabels: true } as const;

describe("whole labels", () => {
    it("are stored token by token", async () => {
        const expected = await entriesOf();
        await withStore(whole, async (store) => {
            const ids = Uint32Array.from(expected, (_, i) => i);
            expect([...store.index.entriesOf(ids).tokens]).toEqual(expected.map(({ value }) => value));
            const keys = store.index.keysOf(ids);
            expected.forEach(({ key }, id) => key.forEach((x, i) => expect(keys[id * d + i]).toBeCloseTo(x, 2)));
            const { examples, positions } = store.origins(ids);
            expect([...examples]).toEqual(expected.map((_, i) => Math.floor(i / 3)));
            expect([...positions]).toEqual(expected.map((_, i) => i % 3));
            await Promise.resolve();
        });
    });

    it.each<[string, Record<string, string[]> | undefined]>([
        ["one spelling", undefined],
        ["several spellings", { bee: ["bee", "wasp"], ant: ["ant", "emmet"] }],
    ])("have the product of their tokens' probabilities, each with the reference: %s", async (_, labels) => {
        const model = await noiseModel();
        const [found] = await withStore({ ...whole, labels }, (store) =>
            classify({ store, model, texts: [text], threads: 1, ...settings }),
        );
        const entries = await entriesOf();
        const scores: number[] = [];
        for (const name of names) {
            let sum = 0;
            for (const spelling of labels?.[name] ?? [name]) {
                const values = await charactersOf(spelling);
                const states = await statesOf([...(await promptOf(text)), ...values.slice(0, -1)], values.length);
                sum += states.reduce((product, state, i) => product * mixed(state, values[i]!, entries), 1);
            }
            scores.push(sum);
        }
        const total = scores.reduce((a, b) => a + b, 0);
        names.forEach((name, i) => expect(found!.probabilities[name]).toBeCloseTo(scores[i]! / total, 2));
        for (const { label, origin } of found!.references)
            expect(label).toBe(rows[Number(/:(\d+)$/.exec(origin!)![1]) - 1]!.label);
    });

    it("are evaluated so: each example finds itself", async () => {
        const model = await noiseModel();
        const figures = (await withStore(whole, (store) =>
            evaluate({
                store,
                model,
                data: [data],
                k: 1,
                referenceWeight: 0.999,
                temperature: 1,
                threads: 1,
                shots: 1,
                shotSeeds: 1,
            }),
        )) as Evaluation & LabelFigures;
        expect(figures.rtd.accuracy).toBe(1);
        expect(figures.nearest.accuracy).toBe(1);
        expect(figures.model.accuracy).toBeLessThan(1);
        expect(figures.confusion.counts).toEqual([
            [5, 0, 0],
            [0, 5, 0],
            [0, 0, 5],
        ]);
        expect(figures.promptTokens).toBeCloseTo(
            (await Promise.all(rows.map(async (row) => (await promptOf(row.text)).length))).reduce((a, b) => a + b, 0) / 15,
            9,
        );
        expect(figures.shots[0]!.promptTokens).toBeGreaterThan(figures.promptTokens);
    });

    it("are written out by an attached context", async () => {
        const model = await noiseModel();
        const written = await withStore(whole, async (store) => {
            const context = await contextOf(model);
            const attachment = await attach(context, store, { k: 1, referenceWeight: 1 });
            const answer = await generate(context.getSequence(), await promptOf(rows[4]!.text), 3);
            attachment.detach();
            return answer;
        });
        expect(written).toEqual(await charactersOf("ant"));
    });

    it("can be tuned", async () => {
        const model = await noiseModel();
        const report = await withStore(whole, (store) => tune({ store, model, dryRun: true, threads: 1 }));
        expect(report.rows).toBe(45);
        expect(report.best.score).toBeGreaterThan(report.model);
    });
});

describe("spellings", () => {
    const labels = { bee: ["fly", "tick"], and: ["xor", "yes"] }; // of which the model thinks most likely

    it.each([0, 0.6])("have the sum of their first tokens' probabilities: weight %f", async (referenceWeight) => {
        const model = await noiseModel();
        const [found] = await withStore({ labels }, (store) =>
            classify({ store, model, texts: [text], threads: 1, matchedBias: false, ...settings, referenceWeight }),
        );
        const entries: Entry[] = [];
        for (const row of rows) {
            const [state] = await statesOf(await promptOf(row.text), 1);
            const [value] = await charactersOf({ and: "xor", ant: "ant", bee: "fly" }[row.label]!);
            entries.push({ key: state!.key, value: value! });
        }
        const [state] = await statesOf(await promptOf(text), 1);
        const score = async (...spellings: string[]): Promise<number> => {
            const first = await Promise.all(spellings.map(async (spelling) => (await charactersOf(spelling))[0]!));
            return first.reduce((sum, token) => sum + mixed(state!, token, entries, referenceWeight), 0);
        };
        const scores = [await score("xor", "yes"), await score("ant"), await score("fly", "tick")];
        const total = scores.reduce((a, b) => a + b, 0);
        names.forEach((name, i) => expect(found!.probabilities[name]).toBeCloseTo(scores[i]! / total, 3));
    });

    it("stay what they were", async () => {
        await withStore({ labels }, () => Promise.resolve());
        const path = pathOf({ labels });
        const model = await noiseModel();
        const options = { path, model, task: "label", data: [data], threads: 1 } as const;
        expect(await buildDatastore({ ...options, labels })).toMatchObject({ added: 0 });
        expect(await buildDatastore(options)).toMatchObject({ added: 0 });
        await expect(buildDatastore({ ...options, labels: { ...labels, bee: ["fly", "bug"] } })).rejects.toThrow(
            /built with other spellings/,
        );
        await expect(buildDatastore({ ...options, wholeLabels: true })).rejects.toThrow(/wholeLabels false, not true/);
    });
});
