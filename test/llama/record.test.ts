/** Recording: the states that a decode sees, without its logits; other sequences and attachments are left alone. */
import type { Token } from "node-llama-cpp";
import { describe, expect, it, vi } from "vitest";

import { attach, createRecorder, record, type Step } from "../../lib/index.js";
import { tap } from "../../lib/llama/tap.js";
import type { Architecture } from "./gguf.js";
import { constantIndex, contextOf, generate, noiseModel } from "./models.js";

const tokens = Array.from({ length: 60 }, (_, i) => (40 + ((i * 37) % 300)) as Token);

/** Hidden states and logits of every token, from a decode of the same batches that wants them all. */
async function decoded(model: Awaited<ReturnType<typeof noiseModel>>, batchSize: number) {
    const context = await contextOf(model, { batchSize });
    const steps: Step[] = [];
    const attachment = await attach(context, constantIndex(model, 1), {
        referenceWeight: 0,
        k: 1,
        onStep: (step) => void steps.push(step),
    });
    await context.getSequence().controlledEvaluate(tokens.map((token) => [token, { generateNext: { token: true } }]));
    await vi.waitFor(() => expect(steps).toHaveLength(tokens.length));
    attachment.detach();
    steps.sort((a, b) => a.position - b.position);
    return { hidden: steps.map((step) => step.hidden), logits: steps.map((step) => step.logits) };
}

const joined = (rows: Float32Array[]): Float32Array => Float32Array.from(rows.flatMap((row) => [...row]));

describe.each<[Architecture, number]>([
    ["llama", 64],
    ["llama", 16],
    ["gemma2", 16],
    ["granite", 64],
    ["plamo3", 64],
    ["mamba", 16],
])("%s, batches of %i tokens", (architecture, batchSize) => {
    it("gives the bits that a decode sees, with logits and without", async () => {
        const model = await noiseModel({ architecture });
        const expected = await decoded(model, batchSize);
        const recorder = await createRecorder(await contextOf(model, { batchSize }));
        expect((await recorder.record(tokens)).hidden).toEqual(joined(expected.hidden));
        const both = await recorder.record(tokens, { logits: true });
        expect(both.hidden).toEqual(joined(expected.hidden));
        expect(both.logits).toEqual(joined(expected.logits));
        await recorder.dispose();
    });
});

it("takes only the positions asked for, and records text after text", async () => {
    const model = await noiseModel();
    const recorder = await createRecorder(await contextOf(model));
    const whole = (await recorder.record(tokens)).hidden;
    const d = recorder.embeddingSize;
    // Tokens before the first position are only context: their last layer is left out, so the batch has another shape and other roundings.
    const part = (await recorder.record(tokens, { from: 50 })).hidden;
    expect(part).toHaveLength(10 * d);
    part.forEach((value, i) => expect(value).toBeCloseTo(whole[50 * d + i]!, 4));
    const [a, b] = await Promise.all([recorder.record(tokens.slice(0, 10)), recorder.record(tokens)]);
    expect(a.hidden).toHaveLength(10 * d);
    expect(b.hidden).toEqual(whole);
});

it("gives the logits of the last row alone", async () => {
    const recorder = await createRecorder(await contextOf(await noiseModel(), { batchSize: 16 }));
    const all = await recorder.record(tokens, { from: 10, logits: true });
    const last = await recorder.record(tokens, { from: 10, logits: "last" });
    expect(last.hidden).toEqual(all.hidden);
    expect(last.logits).toEqual(all.logits.subarray(-recorder.vocabulary));
    await recorder.dispose();
});

it("cuts a text for a large vocabulary, since llama.cpp makes room for the logits of every row", async () => {
    const model = await noiseModel({ vocabulary: 150_000, embeddingSize: 16, layers: 1, contextSize: 1024 });
    const text = Array.from({ length: 500 }, (_, i) => (40 + ((i * 37) % 300)) as Token);
    const context = await contextOf(model, { contextSize: 512, batchSize: 512 });
    const counting = await attach(context, constantIndex(model, 1), { enabled: false });
    const recorder = await createRecorder(context);
    const { hidden } = await recorder.record(text);
    expect(counting.stats.decodes).toBe(2); // 256 MiB are room for 447 rows
    expect(hidden).toHaveLength(500 * 16);
    for (let row = 0; row < 500; row++) expect(hidden.subarray(row * 16, row * 16 + 16).some((value) => value !== 0)).toBe(true);
});

it("leaves other sequences of the same batches and an attachment to themselves", async () => {
    const model = await noiseModel();
    const context = await contextOf(model, { sequences: 2 });
    const sequence = context.getSequence();
    const alone = await generate(sequence, tokens.slice(0, 9), 20);
    const recorder = await createRecorder(context);
    const expected = (await recorder.record(tokens)).hidden;
    const both = await Promise.all([generate(sequence, tokens.slice(0, 9), 20), recorder.record(tokens)]);
    expect(both[0]).toEqual(alone);
    both[1].hidden.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4));

    const attachment = await attach(context, constantIndex(model, 99), { referenceWeight: 1 });
    const merged = await Promise.all([generate(sequence, tokens.slice(0, 9), 20), recorder.record(tokens, { logits: true })]);
    expect(merged[0]).toEqual(Array(20).fill(99));
    expect(merged[1].logits).not.toContain(-Infinity);
    expect(attachment.stats).toMatchObject({ merged: 20, rows: 20 });
});

it("gives the context back: its sequence is free and decodes as before", async () => {
    const model = await noiseModel();
    const context = await contextOf(model);
    const sequence = context.getSequence();
    const before = await generate(sequence, tokens.slice(0, 9), 10);
    await sequence.dispose();
    expect(await record(context, tokens)).toHaveLength(60 * 64);
    expect(context.sequencesLeft).toBe(1);
    expect(tap().llamaUsers()).toBe(0);
    expect(await generate(context.getSequence(), tokens.slice(0, 9), 10)).toEqual(before);
});

it("refuses what it cannot do and goes on afterwards", async () => {
    const model = await noiseModel();
    const context = await contextOf(model);
    const code = (code: string): unknown => expect.objectContaining({ name: "RtdError", code });
    const recorder = await createRecorder(context);
    await expect(createRecorder(context)).rejects.toThrow(code("ERR_RTD_INVALID_ARGUMENT")); // no sequence left
    await expect(createRecorder(await contextOf(model, { sequences: 2 })).then((first) => recorderAgain(first))).rejects.toThrow(
        code("ERR_RTD_EXISTS"),
    );
    await expect(recorder.record([])).rejects.toThrow(code("ERR_RTD_INVALID_ARGUMENT"));
    await expect(recorder.record(Array<Token>(256).fill(50 as Token))).rejects.toThrow(code("ERR_RTD_INVALID_ARGUMENT"));
    await expect(recorder.record(tokens, { from: 60 })).rejects.toThrow(code("ERR_RTD_INVALID_ARGUMENT"));
    await expect(recorder.record(tokens, { signal: AbortSignal.abort("enough") })).rejects.toBe("enough");
    expect((await recorder.record(tokens)).hidden).toHaveLength(60 * 64);
    await recorder.dispose();
    await recorder.dispose();
    await expect(recorder.record(tokens)).rejects.toThrow(code("ERR_RTD_CLOSED"));

    async function recorderAgain(first: Awaited<ReturnType<typeof createRecorder>>): Promise<void> {
        await createRecorder(first.context);
    }
});

it.each<[unknown, unknown, string, RegExp]>([
    [undefined, {}, "ERR_RTD_INVALID_ARGUMENT", /tokens: expected an array of tokens \(model\.tokenize\(text\)\), got undefined/],
    ["text", {}, "ERR_RTD_INVALID_ARGUMENT", /tokens: expected an array of tokens.*, got "text"/],
    [Uint32Array.of(50), {}, "ERR_RTD_INVALID_ARGUMENT", /got a Uint32Array/],
    [["a"], {}, "ERR_RTD_INVALID_ARGUMENT", /tokens\[0\]: expected an integer, got "a"/],
    [[50, {}], {}, "ERR_RTD_INVALID_ARGUMENT", /tokens\[1\]: expected an integer, got an object/],
    [[1.5], {}, "ERR_RTD_INVALID_ARGUMENT", /tokens\[0\]: expected an integer, got 1\.5/],
    [Array(3), {}, "ERR_RTD_INVALID_ARGUMENT", /tokens\[0\]: expected an integer, got undefined/],
    [[50, -1], {}, "ERR_RTD_TOKEN_RANGE", /tokens\[1\] is -1; this model's tokens are 0 to 354/],
    [[355], {}, "ERR_RTD_TOKEN_RANGE", /tokens\[0\] is 355; this model's tokens are 0 to 354/],
    [[50], null, "ERR_RTD_INVALID_ARGUMENT", /options: expected an object, got null/],
    [[50], { from: "0" }, "ERR_RTD_INVALID_ARGUMENT", /from: expected a position from 0 to 0, got "0"/],
    [[50], { logits: 1 }, "ERR_RTD_INVALID_ARGUMENT", /logits: expected true or false, got 1/],
    [[50], { signal: {} }, "ERR_RTD_INVALID_ARGUMENT", /signal: expected an AbortSignal, got an object/],
])("refuses to record %j with %j", async (given, options, code, message) => {
    const recorder = await createRecorder(await contextOf(await noiseModel()));
    const error: unknown = await recorder.record(given as never, options as never).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: "RtdError", code, message: expect.stringMatching(message) as unknown });
    await recorder.dispose();
});

it("records the tokens that were given, whatever becomes of the array meanwhile", async () => {
    const recorder = await createRecorder(await contextOf(await noiseModel()));
    const { hidden } = await recorder.record(tokens);
    const given = [...tokens];
    const recording = recorder.record(given);
    given.fill(50 as Token);
    expect((await recording).hidden).toEqual(hidden);
    await recorder.dispose();
});

it.each<Architecture>(["llama", "gemma2", "mamba"])(
    "%s: evaluates a beginning that two texts share only once if asked to",
    async (architecture) => {
        const model = await noiseModel({ architecture });
        const recorder = await createRecorder(await contextOf(model));
        const other = [...tokens.slice(0, 40), ...tokens.slice(0, 20)];
        const fresh = (await recorder.record(other, { from: 50, logits: true })).logits;
        await recorder.record(tokens, { from: 59 });
        for (const text of [other, other, other.slice(0, 55), other]) {
            const { logits } = await recorder.record(text, { from: 50, logits: true, reuseBeginning: true });
            logits.forEach((value, i) => expect(value).toBeCloseTo(fresh[i]!, 3));
        }
        await recorder.dispose();
    },
);
