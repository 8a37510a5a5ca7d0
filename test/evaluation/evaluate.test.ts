/** Evaluation of stores on a model of noise, against the same asked in simpler pieces. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { evaluate, type EvaluateOptions } from "../../lib/evaluation/index.js";
import type { LabelFigures, LabelScore } from "../../lib/evaluation/label.js";
import { Datastore, tune } from "../../lib/index.js";
import { buildDatastore } from "../../lib/recipes/build.js";
import { mulberry32 } from "../../lib/recipes/cut.js";
import { recipeOf } from "../../lib/recipes/metadata.js";
import { ownPassages } from "../../lib/tuning/validation.js";
import { noiseModel } from "../llama/models.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-evaluate-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, rows: readonly object[]): string => {
    const to = path.join(folder, name);
    writeFileSync(to, rows.map((row) => JSON.stringify(row)).join("\n"));
    return to;
};

interface Question {
    question: string;
    options: string[];
    answer: number;
    subject: string;
}
const random = mulberry32(2);
const questions = Array.from({ length: 24 }, (_, i): Question => {
    const options = Array.from({ length: 3 + (i % 2) }, () => String.fromCharCode(97 + 26 * random()).repeat(3));
    return { question: `${i}?`, options, answer: Math.floor(random() * options.length), subject: i % 3 ? "more" : "one" };
});
const [stored, asked] = [questions.slice(0, 12), questions.slice(12)];
/** Every rotation as a row of its own. */
const turned = asked.flatMap(({ options, answer, ...rest }) =>
    options.map((_, by) => ({
        ...rest,
        options: [...options.slice(by), ...options.slice(0, by)],
        answer: (answer - by + options.length) % options.length,
    })),
);

let quiz: Datastore;
beforeAll(async () => {
    const model = await noiseModel();
    const data = [file("stored.jsonl", stored)];
    const target = path.join(folder, "quiz.rtd");
    await buildDatastore({
        path: target,
        model,
        task: "label",
        data,
        rotate: true,
        prompt: "{question} {options}\n",
        threads: 1,
    });
    quiz = await Datastore.open(target, { threads: 1 });
});
afterAll(() => quiz.close());

async function ask(rows: readonly object[], options: Partial<EvaluateOptions> = {}) {
    const model = await noiseModel();
    const data = [file("asked.jsonl", rows)];
    return (await evaluate({ store: quiz, model, data, threads: 1, ...options })) as LabelFigures & { task: "label" };
}

const methods = ["model", "modelBiasMatched", "rtd", "rtdBiasMatched", "nearest", "linearProbe"] as const;

describe("questions with options", () => {
    it("are asked in every rotation, which count as one example", async () => {
        const [rotated, apart] = [await ask(asked, { shots: 2 }), await ask(turned, { rotations: false, shots: 2 })];
        const compare = (got: LabelScore | undefined, row: LabelScore | undefined) => {
            expect(got!.accuracy).toBeCloseTo(row!.accuracy, 12);
            expect(got!.macroF1).toBeCloseTo(row!.macroF1, 12);
            expect(got!.choice!.positions).toEqual(row!.choice!.positions);
            expect([got!.count, row!.count]).toEqual([12, turned.length]);
            expect([got!.choice!.averaged?.interval.length, row!.choice!.averaged]).toEqual([2, undefined]);
        };
        for (const method of methods) compare(rotated[method], apart[method]);
        for (const [i, shots] of rotated.shots.entries()) {
            compare(shots.model, apart.shots[i]!.model);
            compare(shots.rtd, apart.shots[i]!.rtd);
        }
        expect([rotated.shots.length, rotated.confusion]).toEqual([2, apart.confusion]);
        expect(rotated.model.choice!.positions.right[0]).toBeCloseTo(12 / turned.length, 12);
    });

    it("are reported by subject as if the others were not there", async () => {
        const all = await ask(asked);
        for (const subject of ["more", "one"]) {
            const alone = await ask(asked.filter((question) => question.subject === subject));
            for (const method of methods) {
                const { accuracy, interval, count } = alone[method]!;
                expect(all[method]!.bySubject).toContainEqual({ subject, accuracy, interval, count });
            }
        }
        expect((await ask(asked.map(({ subject: _, ...question }) => question))).rtd.bySubject).toEqual([]);
    });

    it("answer for themselves in no order of their options when the store is tuned", async () => {
        const model = await noiseModel();
        const data = [file("orders.jsonl", [...stored, ...stored.map(({ options, answer, ...rest }) => ({ ...rest, options: [...options].reverse(), answer: options.length - 1 - answer }))])]; // prettier-ignore
        const target = path.join(folder, "orders.rtd");
        await buildDatastore({ path: target, model, task: "label", data, prompt: "{question} {options}\n", threads: 1 });
        const store = await Datastore.open(target);
        const { canonical } = await ownPassages(store, model, recipeOf(store));
        expect(Array.from({ length: 24 }, (_, example) => canonical(example))).toEqual(Array.from({ length: 24 }, (_, i) => i % 12)); // prettier-ignore
        await store.close();
    });
});

describe("answers", () => {
    const facts = Array.from({ length: 6 }, (_, i) => ({
        prompt: `the code of ${i}:`,
        completion: ` K${i}`,
        subject: `${i % 2}`,
    }));
    const build = async (name: string, rows: readonly object[]) => {
        const target = path.join(folder, name);
        await buildDatastore({ path: target, model: await noiseModel(), task: "chat", data: [file(`${name}.jsonl`, rows)], threads: 1 }); // prettier-ignore
        return Datastore.open(target, { threads: 1 });
    };
    const evaluated = async (store: Datastore, data: string, options: Partial<EvaluateOptions> = {}) => {
        const evaluation = await evaluate({ store, model: await noiseModel(), data: [data], k: 1, referenceWeight: 1, threads: 1, ...options }); // prettier-ignore
        if (evaluation.task !== "chat") throw new Error(evaluation.task);
        return evaluation;
    };

    it("are kept, with what was asked and expected", async () => {
        await using store = await build("facts.rtd", facts);
        const asked = file("questions.jsonl", [...facts, { prompt: "the code of 0:", completion: " L0" }]);
        const { answers, model, rtd, promptTokens } = await evaluated(store, asked);
        expect(answers).toHaveLength(7);
        expect(answers[2]).toMatchObject({ question: "the code of 2:", expected: "K2", rtd: "K2" });
        expect(answers[6]).toMatchObject({ expected: "L0", rtd: "K0" });
        expect([rtd.exactMatch, rtd.f1, rtd.count, model.exactMatch]).toEqual([6 / 7, 6 / 7, 7, 0]);
        expect(rtd.gain!.value).toBeCloseTo(6 / 7, 12);
        expect(rtd.bySubject).toMatchObject([{ subject: "0", count: 3, exactMatch: 1 }, { subject: "1", count: 3 }]); // prettier-ignore
        expect(promptTokens).toBe(1 + (await noiseModel()).tokenize("the code of 0:").length); // one begins the sequence
    });

    it("go on no longer than they may", async () => {
        await using store = await build("long.rtd", [{ prompt: "say:", completion: " aaaaaaaaaa" }]);
        const { answers } = await evaluated(store, file("say.jsonl", [{ prompt: "say:", completion: " a" }]), { maxTokens: 4 });
        expect(answers[0]!.rtd).toBe("aaa");
    });

    it("are given after examples of the store's own, too", async () => {
        await using store = await build("shots.rtd", facts);
        const data = file("shot-questions.jsonl", facts.slice(0, 2));
        const { shots, promptTokens } = await evaluated(store, data, { shots: 3, shotSeeds: 2 });
        expect(shots.map(({ count, seed, answers }) => [count, seed, answers.length])).toEqual([[3, 1, 2], [3, 2, 2]]); // prettier-ignore
        expect(shots[0]!.promptTokens).toBeGreaterThan(3.5 * promptTokens);
        expect(shots[0]!.rtd.gain!.interval).toHaveLength(2);
    });

    it("are not had by options that are misspelt, and neither are stores nor settings", async () => {
        const model = await noiseModel();
        await using store = await build("misspelt.rtd", facts);
        const data = [file("misspelt.jsonl", facts)];
        const said = (name: string) => `options: there is no option "${name}" here; known are `;
        await expect(evaluate({ store, model, data, shot: 1 } as never)).rejects.toThrow(said("shot"));
        await expect(tune({ store, model, data, dryrun: true } as never)).rejects.toThrow(said("dryrun"));
        const target = path.join(folder, "never.rtd");
        await expect(buildDatastore({ path: target, model, task: "chat", data, head: 2 } as never)).rejects.toThrow(said("head"));
        expect(existsSync(target)).toBe(false);
    });

    it.each<[Partial<Record<keyof EvaluateOptions, unknown>>, string]>([
        [{ k: 0 }, "k: expected a whole number from 1 to 2048, got 0"],
        [{ k: NaN }, "k: expected a whole number from 1 to 2048, got NaN"],
        [{ referenceWeight: 1.5 }, "referenceWeight: expected a number from 0 to 1, got 1.5"],
        [{ temperature: 0 }, "temperature: expected a number above 0, got 0"],
        [{ temperatureScale: NaN }, "temperatureScale: expected a number above 0, got NaN"],
        [{ limit: 0 }, "limit: expected a whole number not below 1, got 0"],
        [{ model: {} }, "model: expected a LlamaModel of node-llama-cpp"],
        [{ store: {} }, "store: expected a store (Datastore.open), got an object"],
        [{ data: "questions.jsonl" }, "data: expected an array of file names, got "],
    ])("are not asked for with %j", async (options, message) => {
        const onProgress = vi.fn();
        const data = [file("refused.jsonl", asked)];
        const wrong = { store: quiz, model: await noiseModel(), data, onProgress, ...options };
        await expect(evaluate(wrong as EvaluateOptions)).rejects.toMatchObject({
            code: "ERR_RTD_INVALID_ARGUMENT",
            message: expect.stringContaining(message) as string,
        });
        expect(onProgress).not.toHaveBeenCalled();
    });

    it("are not given after examples of another kind, nor after more than there are", async () => {
        await using store = await build("kinds.rtd", facts);
        const talk = file("talk.jsonl", [{ messages: [{ role: "user", content: "hi" }, { role: "assistant", content: "ho" }] }]); // prettier-ignore
        await expect(evaluated(store, talk, { shots: 1 })).rejects.toThrow(
            /data it was built from 0 rows are of the kind that is evaluated \(conversation\)/,
        );
        const mixed = file("mixed.jsonl", [facts[0]!, { messages: [{ role: "assistant", content: "x" }] }]);
        await expect(evaluated(store, mixed, { shots: 1 })).rejects.toThrow(/mixed\.jsonl:2: a row of kind conversation/);
        await expect(evaluated(store, talk, { maxTokens: 0 })).rejects.toThrow(
            "maxTokens: expected a whole number not below 1, got 0",
        );
        await expect(evaluated(store, talk, { shots: 1.5 })).rejects.toThrow(
            "shots: expected a whole number not below 0, got 1.5",
        );
        await expect(evaluated(store, talk, { rotations: true })).rejects.toThrow(/rotations is an option of label stores/);
    });
});
