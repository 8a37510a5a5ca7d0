/** A reference on top of a LoRA adapter, which changes hidden states and, in the LM head, logits after them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LlamaContext, LlamaContextSequence, LlamaModel, Token } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { attach, createRecorder, fuseSync, type ReferenceIndex } from "../../lib/index.js";
import { writeAdapter } from "./gguf.js";
import { contextOf, generate, indexOn, noiseModel } from "./models.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-lora-"));
const lora = join(folder, "adapter.gguf");
beforeAll(() => writeAdapter(lora, {}, 7));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The logits that node-llama-cpp samples from after a prompt. */
async function logitsAfter(sequence: LlamaContextSequence, prompt: readonly Token[]): Promise<Float32Array> {
    await sequence.clearHistory();
    const last = prompt.length - 1;
    const results = await sequence.controlledEvaluate([
        ...prompt.slice(0, last),
        [prompt[last]!, { generateNext: { logits: true } }],
    ]);
    const logits = results[last]!.next.logits!;
    return Float32Array.from({ length: logits.size }, (_, token) => logits.get(token as Token)!);
}

async function hiddenAfter(context: LlamaContext, tokens: readonly Token[]): Promise<Float32Array> {
    const recorder = await createRecorder(context);
    const { hidden } = await recorder.record(tokens, { from: tokens.length - 1 });
    await recorder.dispose();
    return hidden;
}

const text = "the rain in spain stays mainly in the plain";
const textOf = (model: LlamaModel): Token[] => [model.tokens.bos!, ...model.tokenize(text)];
const furthest = (a: Float32Array, b: Float32Array): number => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

describe("a context with an adapter", () => {
    it("is that of the model with the adapter's weights worked in", async () => {
        const model = await noiseModel();
        const tokens = textOf(model);
        const [plain, adapted] = [await contextOf(model, { sequences: 2 }), await contextOf(model, { lora, sequences: 2 })];
        const whole = await contextOf(await noiseModel({ adapted: 7 }), { sequences: 2 });
        const [own, other, merged] = [
            await logitsAfter(adapted.getSequence(), tokens),
            await logitsAfter(plain.getSequence(), tokens),
            await logitsAfter(whole.getSequence(), tokens),
        ];
        expect(furthest(own, merged)).toBeLessThan(0.02);
        expect(furthest(own, other)).toBeGreaterThan(1);
        expect(furthest(await hiddenAfter(adapted, tokens), await hiddenAfter(whole, tokens))).toBeLessThan(0.02);
        expect(furthest(await hiddenAfter(adapted, tokens), await hiddenAfter(plain, tokens))).toBeGreaterThan(0.5);
    });

    it("has the adapter's own logits merged, bit for bit, and they are back when the reference is off", async () => {
        const model = await noiseModel();
        const tokens = textOf(model);
        const [prompt, options] = [tokens.slice(0, 20), { k: 6, referenceWeight: 0.4, temperature: 3 }];
        const context = await contextOf(model, { lora, sequences: 2 });
        const index = await indexOn(await contextOf(model, { lora }), tokens);
        const sequence = context.getSequence();
        const own = await logitsAfter(sequence, prompt);
        const hits = index.searchSync(await hiddenAfter(await contextOf(model, { lora }), prompt), { k: 6 });
        expect(hits.ids[0]).toBe(19); // the adapter's states find themselves
        expect(hits.distances[0]).toBeLessThan(0.01);
        const attachment = await attach(context, index, options);
        const steps: Float32Array[] = [];
        const merged = await logitsAfter(sequence, prompt);
        attachment.detach();
        const listened = await attach(context, index, { ...options, onStep: ({ hidden }) => void steps.push(hidden) });
        expect(await logitsAfter(sequence, prompt)).toEqual(merged);
        await expect.poll(() => steps.length).toBe(1);
        const expected = own.slice();
        fuseSync(index.searchSync(steps[0]!, { k: 6 }), expected, options);
        expect(merged).toEqual(expected);
        expect(furthest(merged, own)).toBeGreaterThan(1);
        listened.off();
        expect(await logitsAfter(sequence, prompt)).toEqual(own);
        listened.detach();
        expect(await logitsAfter(sequence, prompt)).toEqual(own);
    });

    it("and one without go on side by side, each with its own states, reference and bits", async () => {
        const model = await noiseModel();
        const tokens = textOf(model);
        const prompt = tokens.slice(0, 20);
        const options = { k: 6, referenceWeight: 0.4, temperature: 3 };
        const settings = [{}, { lora }];
        /** What each says by itself, no other context being there. */
        const alone: { own: Token[]; merged: Token[] }[] = [];
        for (const setting of settings) {
            const [context, index] = [await contextOf(model, setting), await indexOn(await contextOf(model, setting), tokens)];
            const sequence = context.getSequence();
            const own = await generate(sequence, prompt, 12);
            await attach(context, index, options);
            alone.push({ own, merged: await generate(sequence, prompt, 12) });
            await context.dispose();
        }
        const all = alone.flatMap(({ own, merged }) => [own.join(), merged.join()]);
        expect(new Set(all).size).toBe(4);
        const contexts = await Promise.all(settings.map((setting) => contextOf(model, setting)));
        const sequences = contexts.map((context) => context.getSequence());
        const indexes: ReferenceIndex[] = [];
        for (const setting of settings) indexes.push(await indexOn(await contextOf(model, setting), tokens));
        const together = () => Promise.all(sequences.map((sequence) => generate(sequence, prompt, 12)));
        expect(await together()).toEqual(alone.map(({ own }) => own));
        const attachments = await Promise.all(contexts.map((context, i) => attach(context, indexes[i]!, options)));
        expect(await together()).toEqual(alone.map(({ merged }) => merged));
        attachments[0]!.off();
        expect(await together()).toEqual([alone[0]!.own, alone[1]!.merged]);
        attachments[1]!.detach();
        attachments[0]!.on();
        expect(await together()).toEqual([alone[0]!.merged, alone[1]!.own]);
    });
});
