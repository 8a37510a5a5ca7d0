/** The same with a real model, whose file the environment names: RTD_TEST_MODEL, SmolLM2-135M-Instruct or another small one. */
import { LlamaChatSession } from "node-llama-cpp";
import { describe, expect, it, vi } from "vitest";

import { attach, createRecorder } from "../../lib/index.js";
import { contextOf, generate, indexOf, modelFrom } from "./models.js";

vi.setConfig({ testTimeout: 240_000 });
const file = process.env["RTD_TEST_MODEL"];
const text =
    "The lighthouse keeper of Grimsay counted eleven green boats every morning, and every evening he wrote to his sister that the twelfth was late again.";

describe.runIf(file !== undefined)("a real model", () => {
    const model = () => modelFrom(file!);

    it.each([undefined, 12])("recites a text it was given at weight 1, and is itself at weight 0: layer %s", async (layer) => {
        const loaded = await model();
        const tokens = loaded.tokenize(text);
        const index = await indexOf(loaded, tokens, { layer });
        const sequence = (await contextOf(loaded)).getSequence();
        const plain = await generate(sequence, tokens.slice(0, 6), 16);
        const attachment = await attach(sequence.context, index, { k: 1, referenceWeight: 1, layer });
        expect(await generate(sequence, tokens.slice(0, 6), 16)).toEqual(tokens.slice(6, 22));
        attachment.set({ referenceWeight: 0 });
        expect(await generate(sequence, tokens.slice(0, 6), 16)).toEqual(plain);
        expect(plain).not.toEqual(tokens.slice(6, 22));
    });

    it("is recorded as it is decoded", async () => {
        const loaded = await model();
        const tokens = loaded.tokenize(text);
        const context = await contextOf(loaded, { batchSize: 64 });
        const recorder = await createRecorder(context);
        const fast = (await recorder.record(tokens)).hidden;
        const whole = await recorder.record(tokens, { logits: true });
        expect(fast).toEqual(whole.hidden);
        await recorder.dispose();
        const next = (row: number) => {
            const logits = whole.logits.subarray(row * recorder.vocabulary, (row + 1) * recorder.vocabulary);
            return logits.indexOf(Math.max(...logits));
        };
        expect(await generate(context.getSequence(), tokens, 1)).toEqual([next(tokens.length - 1)]);
    });

    it("answers a chat with what was stored for its question", async () => {
        const loaded = await model();
        const question = "Who was late?";
        const first = await contextOf(loaded);
        const probe = first.getSequence();
        await new LlamaChatSession({ contextSequence: probe }).prompt(question, { maxTokens: 1, temperature: 0 });
        const answer = "The twelfth boat was late.";
        const index = await indexOf(loaded, [
            ...probe.contextTokens,
            ...loaded.tokenize(answer),
            loaded.tokens.eot ?? loaded.tokens.eos!,
        ]);
        const context = await contextOf(loaded);
        await attach(context, index, { k: 1, referenceWeight: 1 });
        const session = new LlamaChatSession({ contextSequence: context.getSequence() });
        expect(await session.prompt(question, { temperature: 0, maxTokens: 20 })).toBe(answer);
    });
});
