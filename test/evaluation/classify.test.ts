/** Label stores on a model of noise, with keys at the prompt's end and pooled: what is kept, what is asked, and the labels that come of it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { matchedBias } from "../../lib/evaluation/matched-bias.js";
import type { LabelFigures } from "../../lib/evaluation/label.js";
import {
    attach,
    buildDatastore,
    classify,
    createRecorder,
    Datastore,
    evaluate,
    type BuildOptions,
    type Classification,
    type ClassifyOptions,
    type Evaluation,
} from "../../lib/index.js";
import type { Token } from "../../lib/node-llama-cpp.js";
import { contextOf, noiseModel } from "../llama/models.js";
import { labelStores } from "./label-stores.js";

const names = ["ant", "bee", "cow"];
const [before, after] = ["{labels}: ", " is (an)"];
const prompt = `${before}{text}${after}\n`;
const { folder, rows, data, pathOf, withStore } = labelStores(names, prompt);
const d = 64;

const variants: [string, Partial<BuildOptions>][] = [
    ["the prompt's end", {}],
    ["the mean", { pooling: "mean" }],
    ["the mean of a layer", { pooling: "mean", layer: 0 }],
];

/** The key of a text and the logits at its prompt's end, from the recorder alone and in float64. */
async function asked({ pooling, layer }: Partial<BuildOptions>, text: string): Promise<{ key: number[]; logits: Float32Array }> {
    const model = await noiseModel();
    const bos = model.tokens.bos!;
    const tokensOf = (part: string) => [bos, ...model.tokenize(part.replace("{labels}", names.join(", ")))];
    const tokens = tokensOf(prompt.replace("{text}", text));
    const recorder = await createRecorder(await contextOf(model), { layer });
    const { hidden, logits } = await recorder.record(tokens, { logits: true });
    await recorder.dispose();
    const [begin, end] =
        pooling === undefined ? [tokens.length - 1, tokens.length] : [tokensOf(before).length, tokensOf(before + text).length];
    const key = Array.from({ length: d }, (_, i) => {
        let sum = 0;
        for (let row = begin; row < end; row++) sum += hidden[row * d + i]!;
        return Math.fround(sum / (end - begin));
    });
    return { key, logits: logits.subarray((tokens.length - 1) * recorder.vocabulary) };
}

const labelToken = async (name: string): Promise<Token> => (await noiseModel()).tokenize(`\n${name}`).at(-name.length)!;

describe.each(variants)("with keys of %s", (_, options) => {
    it("a store keeps just those", async () => {
        const keys = await withStore(options, (store) =>
            Promise.resolve(store.index.keysOf(Uint32Array.from(rows, (_, id) => id))),
        );
        for (const row of [0, 4, 14]) {
            const { key } = await asked(options, rows[row]!.text);
            key.forEach((x, i) => expect(keys[row * d + i]).toBeCloseTo(x, 3));
        }
    });

    it("an evaluation asks with the same: each example finds itself, from the cache, too", async () => {
        const model = await noiseModel();
        for (let turn = 0; turn < 2; turn++) {
            const figures = (await withStore(options, (store) =>
                evaluate({
                    store,
                    model,
                    data: [data],
                    k: 1,
                    referenceWeight: 0.999,
                    temperature: 1,
                    threads: 1,
                    cacheDirectory: join(folder, "cache"), // which all variants share
                }),
            )) as Evaluation & LabelFigures;
            expect(figures.rtd.accuracy).toBe(1);
            expect(figures.nearest.accuracy).toBe(1);
        }
    });

    it.each([true, false])("texts are labelled by the definition, matched bias %s", async (isMatched) => {
        const settings = { k: 6, referenceWeight: 0.6, temperature: 3, matchedBias: isMatched };
        const text = "it has 77 legs";
        const model = await noiseModel();
        const [given] = await withStore(options, (store) => classify({ store, model, texts: [text], threads: 1, ...settings }));
        const { key, logits } = await asked(options, text);
        const tokens = await Promise.all(names.map(labelToken));
        const near = await Promise.all(rows.map(async (row, id) => ({ id, row, key: (await asked(options, row.text)).key })));
        const nearest = near
            .map(({ id, row, key: own }) => ({ id, row, distance: Math.hypot(...own.map((x, i) => x - key[i]!)) }))
            .sort((a, b) => a.distance - b.distance)
            .slice(0, 6)
            .map((hit) => ({ ...hit, vote: Math.exp(-hit.distance / 3) }));
        const votes = nearest.reduce((sum, { vote }) => sum + vote, 0);
        const own = await Promise.all(rows.map(async (row) => (await asked(options, row.text)).logits));
        const bias = isMatched ? matchedBias(own.map((row) => tokens.map((token) => row[token]!))) : [0, 0, 0];
        const all = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
        const p = tokens.map((token) => Math.exp(logits[token]!) / all);
        const others = 1 - p.reduce((sum, x) => sum + x, 0);
        const biased = p.map((x, i) => x * Math.exp(bias[i]!));
        const total = biased.reduce((sum, x) => sum + x, others);
        const scores = names.map((name, i) => {
            const r = nearest.filter(({ row }) => row.label === name).reduce((sum, { vote }) => sum + vote, 0) / votes;
            return (0.4 * biased[i]!) / total + 0.6 * r;
        });
        const sum = scores.reduce((a, b) => a + b, 0);
        names.forEach((name, i) => expect(given!.probabilities[name]).toBeCloseTo(scores[i]! / sum, 3));
        expect(given!.label).toBe(names[scores.indexOf(Math.max(...scores))]);
        expect(given!.references).toHaveLength(3);
        given!.references.forEach((reference, i) => {
            const { id, row, distance, vote } = nearest[i]!;
            expect(reference).toMatchObject({ id, label: row.label, origin: `${data}:${id + 1}`, before: `${row.text} →` });
            expect(reference.distance).toBeCloseTo(distance, 2);
            expect(reference.share).toBeCloseTo(vote / votes, 3);
        });
    });
});

it("pooled keys cannot be searched for while decoding: the error says what to do", async () => {
    const context = await contextOf(await noiseModel());
    await withStore({ pooling: "mean" }, async (store) => {
        await expect(attach(context, store)).rejects.toMatchObject({
            code: "ERR_RTD_UNSUPPORTED",
            message: expect.stringMatching(/means over the tokens.*classify\(\).*evaluate\(\)/) as unknown,
        });
    });
});

it("pooling stays what it was, and is for labels", async () => {
    await expect(withStore({ pooling: "max" as never }, () => Promise.resolve())).rejects.toThrow(
        /pooling: expected "mean", got "max"/,
    );
    const path = pathOf({});
    const model = await noiseModel();
    const options = { path, model, task: "label", data: [data], prompt, threads: 1 } as const;
    await buildDatastore(options);
    await expect(buildDatastore({ ...options, pooling: "mean" })).rejects.toThrow(/built with pooling left out, not "mean"/);
    const text = join(folder, "text.txt");
    writeFileSync(text, "some text");
    const other = { ...options, path: join(folder, "text.rtd"), task: "text", data: [text], prompt: undefined } as const;
    await expect(buildDatastore({ ...other, pooling: "mean" })).rejects.toThrow(/pooling are for task label/);
});

describe("classify", () => {
    const classifyBy = async (texts: unknown, options: Partial<ClassifyOptions> = {}): Promise<Classification[]> => {
        const model = await noiseModel();
        return withStore({}, (store) => classify({ store, model, texts: texts as string[], threads: 1, ...options }));
    };

    it("answers questions with the letters of their own options", async () => {
        const quiz = join(folder, "quiz.jsonl");
        const questions = Array.from({ length: 8 }, (_, i) => ({
            question: `which is ${i}?`,
            options: i % 2 ? ["x", "y", "z"] : ["u", "v"],
            answer: i % 2,
        }));
        writeFileSync(quiz, questions.map((row) => JSON.stringify(row)).join("\n"));
        const path = join(folder, "quiz.rtd");
        const model = await noiseModel();
        await buildDatastore({
            path,
            model,
            task: "label",
            data: [quiz],
            prompt: "{question}\n{options}\n(",
            rotate: true,
            pooling: "mean",
            threads: 1,
        });
        const store = await Datastore.open(path);
        const found = await classify({ store, model, texts: questions, k: 1, referenceWeight: 1, temperature: 1, threads: 1 });
        expect(found.map(({ label }) => label)).toEqual(questions.map(({ answer }) => "AB"[answer]));
        expect(found.map(({ probabilities }) => Object.keys(probabilities).length)).toEqual([2, 3, 2, 3, 2, 3, 2, 3]);
        await expect(classify({ store, model, texts: ["a text"], threads: 1 })).rejects.toThrow(
            /texts\[0\]: expected \{"question"/,
        );
        await store.close();
    });

    it("takes no texts, and describes as many references as it is told to", async () => {
        expect(await classifyBy([])).toEqual([]);
        const [found] = await classifyBy(["a"], { references: 0 });
        expect(found!.references).toEqual([]);
    });

    it.each<[unknown, object, RegExp]>([
        ["a text", {}, /texts: expected an array/],
        [[""], {}, /texts\[0\]: expected a text that is not empty/],
        [["a", { question: "b", options: ["c", "d"] }], {}, /texts\[1\]: expected a text/],
        [["a"], { references: -1 }, /references: expected a whole number not below 0, got -1/],
        [["a"], { k: 0 }, /k: expected a whole number from 1 to 2048, got 0/],
        [["a"], { model: {} }, /model: expected a LlamaModel of node-llama-cpp/],
        [["a"], { matchedBias: 1 }, /matchedBias: expected true or false/],
        [["a"], { weight: 1 }, /no option "weight"/],
    ])("refuses %j with %j", async (texts, options, message) => {
        await expect(classifyBy(texts, options)).rejects.toThrow(message);
    });
});
