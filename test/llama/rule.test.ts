/** Weighing rows by a rule of the user's own: what it is told, what becomes of what it says, and what may happen meanwhile. */
import { DraftSequenceTokenPredictor, InputLookupTokenPredictor, type LlamaContextSequence, type Token } from "node-llama-cpp";
import { describe, expect, it, vi } from "vitest";

import {
    attach,
    createIndex,
    fitSpace,
    fuse,
    logProbabilities,
    type Attachment,
    type FuseResult,
    type RuleRow,
    type Step,
} from "../../lib/index.js";
import { constantIndex, contextOf, generate, indexOf, noiseModel, storeOf } from "./models.js";

const text = "Peter Piper picked a peck of pickled peppers, a peck of pickled peppers Peter Piper picked.";
const rejection = (code: string, message = /./): unknown =>
    expect.objectContaining({ name: "RtdError", code, message: expect.stringMatching(message) as unknown });

async function recital() {
    const model = await noiseModel();
    const tokens = model.tokenize(text);
    const index = await indexOf(model, tokens);
    const context = await contextOf(model, { sequences: 3 });
    const sequence = context.getSequence();
    const prompt = tokens.slice(0, 30);
    return { model, tokens, index, context, sequence, prompt, rest: tokens.slice(30, 40) };
}

describe("a rule", () => {
    it("decides each row before it is sampled, by its hits and figures", async () => {
        const { index, context, sequence, prompt, rest } = await recital();
        const plain = await generate(sequence, prompt, 6);
        const rows: RuleRow[] = [];
        const attachment = await attach(context, index, {
            k: 1,
            referenceWeight: 0,
            rule: (row) => {
                rows.push(row);
                return row.position < 32 ? { referenceWeight: 1 } : undefined;
            },
        });
        const given = await generate(sequence, prompt, 6);
        expect(given.slice(0, 3)).toEqual(rest.slice(0, 3));
        expect(given).not.toEqual(plain);
        expect(rows.map(({ sequence, position }) => [sequence, position])).toEqual([29, 30, 31, 32, 33, 34].map((p) => [0, p]));
        for (const [i, { hits, figures }] of rows.slice(0, 3).entries()) {
            expect([...hits.tokens]).toEqual([rest[i]]);
            expect(figures).toMatchObject({ nearest: hits.distances[0], hitEntropy: 0, largestVote: 1, referenceWeight: 0 });
            expect(figures.temperature).toBe(index.temperature);
            expect(figures.modelEntropy).toBeGreaterThan(0);
        }
        expect(attachment.stats).toMatchObject({ rows: 6, merged: 3, unchanged: 3, failures: 0 });
    });

    it("with nothing to say leaves options and gate as they are, to the bit; and a listener is told what became of it", async () => {
        const { index, context, sequence, prompt } = await recital();
        const gate = { bias: 0, hitEntropy: -1, largestVote: 2, modelEntropy: 0.25, maxWeight: 0.5 };
        const bias = { tokens: [7], values: [2] };
        const run = async (options: object) => {
            const steps: Step[] = [];
            const attachment = await attach(context, index, {
                k: 8,
                gate,
                bias,
                ...options,
                onStep: (step) => void steps.push(step),
            });
            await generate(sequence, prompt, 2);
            await vi.waitFor(() => expect(steps).toHaveLength(2));
            attachment.detach();
            return steps;
        };
        const without = await run({});
        expect(await run({ rule: () => undefined })).toEqual(without);
        expect(without[0]!.figures.referenceWeight).toBeGreaterThan(0);
        expect(without[0]!.figures.referenceWeight).toBeLessThan(0.5);

        const temperature = 4 * index.temperature!;
        const decided = await run({ rule: () => ({ referenceWeight: 0.25, temperature }) });
        expect(decided).toEqual(await run({ gate: undefined, referenceWeight: 0.25, temperature }));
        expect(decided[0]!.figures).toMatchObject({ referenceWeight: 0.25, temperature: Math.fround(temperature) });
    });

    it.each([
        ["standardised", { heads: 4 }, "standardise"],
        ["whitened", { heads: 1 }, "whiten"],
    ] as const)(
        "and a gate weigh rows by %s keys as they are searched and fused by hand, to the bit",
        async (_, space, method) => {
            const { index, context, sequence, prompt } = await recital();
            const store = await storeOf(index);
            await store.setSpace(space);
            const untransformed = store.index;
            await fitSpace(store, { method });
            const temperature = 2 * store.index.temperature!;
            const options = {
                k: 8,
                gate: { bias: 0, hitEntropy: -1, largestVote: 2, modelEntropy: 0.25, maxWeight: 0.5 },
                bias: { tokens: [7], values: [2] },
            };
            // Of four rows the rule decides both, one or nothing, which leaves the row to the gate.
            const decisions = [{ referenceWeight: 0.25, temperature }, { referenceWeight: 0.75 }, { temperature }, {}];
            const asked = prompt.map((token): [Token, object] => [token, { generateNext: { token: true } }]);
            const stepsWith = async (given: object) => {
                const steps: Step[] = [];
                const attachment = await attach(context, store, {
                    ...options,
                    ...given,
                    onStep: (step) => void steps.push(step),
                });
                await sequence.clearHistory();
                await sequence.controlledEvaluate(asked);
                await vi.waitFor(() => expect(steps).toHaveLength(prompt.length));
                attachment.detach();
                return steps;
            };
            const alone = await stepsWith({ gate: undefined, referenceWeight: 0 });
            const told: RuleRow[] = [];
            const steps = await stepsWith({
                rule: (row: RuleRow) => {
                    told.push(row);
                    return decisions[row.position % 4];
                },
            });

            const flat = (arrays: Float32Array[]) => Float32Array.from(arrays.flatMap((array) => [...array]));
            const queries = flat(alone.map(({ hidden }) => hidden));
            const vocabulary = alone[0]!.logits.length;
            const logits = flat(alone.map((step) => step.logits));
            const hits = await store.index.search(queries, { k: options.k });
            const { gate, bias } = options;
            const common = { gate, bias, temperature: store.index.temperature!, figures: true };
            const before = await fuse(hits, logits.slice(), common);
            const { figures } = await fuse(hits, logits, {
                ...common,
                rows: steps.map(({ position }) => decisions[position % 4]!),
            });
            const rowOf = (columns: FuseResult["figures"], i: number) =>
                Object.fromEntries(Object.entries(columns!).map(([name, values]) => [name, values[i]]));
            for (const [i, step] of steps.entries()) {
                const kept = options.k * space.heads;
                expect(step.hits.distances).toEqual(hits.distances.slice(i * kept, (i + 1) * kept));
                expect(step.hits.tokens).toEqual(hits.tokens.slice(i * kept, (i + 1) * kept));
                expect(told[i]!.figures).toEqual(rowOf(before.figures, i));
                expect(step.figures).toEqual(rowOf(figures, i));
                expect(step.logits).toEqual(logits.slice(i * vocabulary, (i + 1) * vocabulary));
                expect(step.logits).not.toEqual(alone[i]!.logits);
            }
            const { tokens } = await untransformed.search(queries, { k: options.k });
            expect(tokens).toHaveLength(hits.tokens.length);
            expect(tokens).not.toEqual(hits.tokens);
        },
    );

    it("is asked about every row of a batch with several sequences and micro-batches, each by its own name", async () => {
        for (const batchSize of [64, 4]) {
            const model = await noiseModel();
            const context = await contextOf(model, { sequences: 3, batchSize });
            const index = createIndex({ dim: 64, threads: 1 });
            index.add(new Float32Array(64 * 3), Int32Array.of(100, 101, 102), { namespaces: Uint32Array.of(0, 1, 2) });
            index.sealSync();
            const asked: number[][] = [];
            const attachment = await attach(context, index, {
                k: 1,
                rule: ({ sequence, position }) => {
                    asked.push([sequence, position]);
                    return { referenceWeight: sequence === 1 ? 0 : 1 };
                },
            });
            const prompts = [8, 5, 3].map((length, i) => Array.from({ length }, (_, j) => (40 + 7 * i + j) as Token));
            const sequences = prompts.map((_, i) => {
                const sequence = context.getSequence();
                attachment.forSequence(sequence, { namespaces: [i] });
                return sequence;
            });
            const firsts = () => Promise.all(sequences.map(async (sequence, i) => (await generate(sequence, prompts[i]!, 1))[0]));
            const given = await firsts();
            expect(asked.toSorted()).toEqual([[0, 7], [1, 4], [2, 2]]); // prettier-ignore
            attachment.detach();
            const plain = await firsts();
            expect(given).toEqual([100, plain[1], 102]);
        }
    });

    it("weighs what a token predictor has evaluated, and the text stays that of one token at a time", async () => {
        const { model, index, context, sequence, prompt } = await recital();
        const rule = ({ position, figures }: RuleRow) => ({
            referenceWeight: position % 3 === 0 ? 0 : figures.largestVote > 0.5 ? 1 : 0.5,
        });
        const attachment = await attach(context, index, { k: 2, rule });
        const wanted = await generate(sequence, prompt, 12);
        const lookup = new InputLookupTokenPredictor();
        lookup.updateInputTokens([...prompt, ...wanted]);
        const draft = new DraftSequenceTokenPredictor((await contextOf(model)).getSequence(), { minTokens: 1, minConfidence: 0 });
        const [found, drafted] = [lookup, draft].map((tokenPredictor) => context.getSequence({ tokenPredictor }));
        const rows = attachment.stats.rows;
        expect(await generate(found!, prompt, 12)).toEqual(wanted);
        expect(found!.tokenPredictions.used).toBeGreaterThan(0);
        expect(await generate(drafted!, prompt, 12)).toEqual(wanted);
        expect(drafted!.tokenPredictions.refuted).toBeGreaterThan(0);
        expect(attachment.stats.rows - rows).toBeGreaterThan(24); // refuted ones are weighed, too
        expect(attachment.stats.failures).toBe(0);
    });

    it("is not asked about rows of a sequence that is off, nor after it was detached", async () => {
        const { index, context, sequence, prompt } = await recital();
        const rule = vi.fn(() => ({ referenceWeight: 1 }));
        const plain = await generate(sequence, prompt, 3);
        const attachment = await attach(context, index, { k: 1, rule });
        attachment.forSequence(sequence, { enabled: false });
        expect(await generate(sequence, prompt, 3)).toEqual(plain);
        attachment.detach();
        expect(await generate(sequence, prompt, 3)).toEqual(plain);
        expect(rule).not.toHaveBeenCalled();
    });

    it("of an empty index is asked, and has nothing to merge", async () => {
        const { model, context, sequence, prompt } = await recital();
        const plain = await generate(sequence, prompt, 1);
        const rows: RuleRow[] = [];
        await attach(context, createIndex({ dim: model.embeddingVectorSize }), {
            rule: (row) => void rows.push(row),
        });
        expect(await generate(sequence, prompt, 1)).toEqual(plain);
        expect(rows[0]!.figures).toMatchObject({ nearest: Infinity, largestVote: 0, referenceWeight: 0 });
        expect(rows[0]!.figures.modelEntropy).toBeGreaterThan(0);
    });
});

describe("a rule that fails", () => {
    it.each<[string, () => unknown, string, RegExp]>([
        ["throws", () => { throw new Error("no"); }, "ERR_RTD_RULE", /position 29 of sequence 0: it threw Error: no/], // prettier-ignore
        ["returns a number", () => 0.5, "ERR_RTD_INVALID_ARGUMENT", /rule, for position 29.*expected an object, got 0.5/],
        ["returns a promise", () => Promise.resolve({}), "ERR_RTD_INVALID_ARGUMENT", /got a promise.*decide at once/],
        [
            "returns a weight of 2",
            () => ({ referenceWeight: 2 }),
            "ERR_RTD_INVALID_ARGUMENT",
            /referenceWeight: .*from 0 to 1, got 2/,
        ],
        ["returns NaN", () => ({ referenceWeight: NaN }), "ERR_RTD_INVALID_ARGUMENT", /referenceWeight: .*got NaN/],
        [
            "returns temperature 0",
            () => ({ temperature: 0 }),
            "ERR_RTD_INVALID_ARGUMENT",
            /temperature: expected a number above 0/,
        ],
        [
            "returns another name",
            () => ({ weight: 1 }),
            "ERR_RTD_INVALID_ARGUMENT",
            /no option "weight" here; known are referenceWeight/,
        ],
    ])("because it %s rejects the evaluation, and the context keeps none of the batch", async (_, fail, code, message) => {
        const { index, context, sequence, prompt } = await recital();
        const plain = await generate(sequence, prompt, 4);
        let isBad = true;
        const attachment = await attach(context, index, {
            referenceWeight: 0,
            rule: (() => (isBad ? fail() : undefined)) as never,
        });
        await sequence.clearHistory();
        const first = sequence.evaluate(prompt, { temperature: 0 }).next();
        await expect(first).rejects.toThrow(rejection(code, message));
        expect(sequence.contextTokens).toEqual([]);
        expect(attachment.stats).toMatchObject({ failures: 1, merged: 0 });
        isBad = false;
        // The same positions are free again.
        expect(await generate(sequence, prompt, 4)).toEqual(plain);
    });
});

describe("meanwhile", () => {
    it("a rule may detach: its row and those after it are the model's own", async () => {
        const { index, context, sequence, prompt } = await recital();
        const plain = await generate(sequence, prompt, 3);
        const rule = vi.fn(() => {
            attachment.detach();
            return { referenceWeight: 1 };
        });
        const attachment: Attachment = await attach(context, index, { k: 1, rule });
        expect(await generate(sequence, prompt, 3)).toEqual(plain);
        expect(rule).toHaveBeenCalledTimes(1);
        // And another may be attached in its place at once.
        await attach(context, index, { k: 1, rule: () => ({ referenceWeight: 0 }) });
        expect(await generate(sequence, prompt, 3)).toEqual(plain);
    });

    it("detaching while a decode runs leaves its rows as they are", async () => {
        const { index, context, sequence, prompt } = await recital();
        const plain = await generate(sequence, prompt, 1);
        const rule = vi.fn(() => ({ referenceWeight: 1 }));
        const attachment = await attach(context, index, { k: 1, rule });
        const inner = (context as unknown as { _ctx: { decodeBatch(): Promise<void> } })._ctx;
        const decode = inner.decodeBatch.bind(inner);
        inner.decodeBatch = () => {
            const done = decode();
            attachment.detach();
            return done;
        };
        expect(await generate(sequence, prompt, 1)).toEqual(plain);
        expect(rule).not.toHaveBeenCalled();
    });

    it("disposing the context in a rule ends it all in good order", async () => {
        const { index, context, sequence, prompt } = await recital();
        let disposal: Promise<void> | undefined;
        const attachment = await attach(context, index, {
            rule: () => {
                disposal ??= context.dispose();
                return { referenceWeight: 1 };
            },
        });
        await generate(sequence, prompt, 3).catch(() => undefined);
        await disposal;
        expect(context.disposed).toBe(true);
        expect(attachment.attached).toBe(false);
    });

    it("options may change in a rule, from the next decode on", async () => {
        const { model, context, sequence, prompt } = await recital();
        const attachment: Attachment = await attach(context, constantIndex(model, 99), {
            referenceWeight: 0,
            rule: () => attachment.set({ referenceWeight: 1 }),
        });
        const [first, second] = await generate(sequence, prompt, 2);
        expect(first).not.toBe(99);
        expect(second).toBe(99);
    });
});

it("the probabilities that are sampled from are those of the decided weight", async () => {
    const { model, context, prompt } = await recital();
    const steps: Step[] = [];
    await attach(context, constantIndex(model, 99), {
        rule: () => ({ referenceWeight: 0.75 }),
        onStep: (step) => void steps.push(step),
    });
    const sequence: LlamaContextSequence = context.getSequence();
    const input = prompt.map((token, i) =>
        i === prompt.length - 1 ? ([token, { generateNext: { probabilities: true } }] as [Token, object]) : token,
    );
    const output = (await sequence.controlledEvaluate(input)).at(-1) as { next: { probabilities: Map<Token, number> } };
    await vi.waitFor(() => expect(steps).toHaveLength(1));
    const [merged] = logProbabilities(steps[0]!.logits, steps[0]!.logits.length, Int32Array.of(99));
    expect(Math.exp(merged!)).toBeGreaterThan(0.75);
    expect(Math.exp(merged!)).toBeLessThan(0.8);
    expect([...output.next.probabilities.entries()][0]![0]).toBe(99);
});
