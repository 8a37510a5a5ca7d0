/** Each row gets its own sequence's options, whatever order llama.cpp computes rows in. */
import type { LlamaContextSequence, Token } from "node-llama-cpp";
import { describe, expect, it, vi } from "vitest";

import { attach, createIndex, type Step } from "../../lib/index.js";
import type { Architecture } from "./gguf.js";
import { constantIndex, contextOf, generate, noiseModel } from "./models.js";

const lengths = [8, 5, 3];
const answers = [100, 101, 102]; // by namespace

const prompts = lengths.map((length, i) => Array.from({ length }, (_, j) => (40 + 7 * i + j) as Token));

function taggedIndex(dim: number) {
    const index = createIndex({ dim, threads: 1 });
    index.add(new Float32Array(dim * 3), Int32Array.from(answers), { namespaces: Uint32Array.of(0, 1, 2) });
    index.sealSync();
    return index;
}

async function first(sequence: LlamaContextSequence, prompt: Token[]): Promise<Token | undefined> {
    return (await generate(sequence, prompt, 1))[0];
}

describe.each<[Architecture, number]>([
    ["llama", 64],
    ["llama", 4],
    ["gemma2", 64],
    ["gemma2", 4],
    ["mamba", 64],
    ["mamba", 4],
])("%s, batches of %i tokens", (architecture, batchSize) => {
    it("names the rows of sequences of 8, 5 and 3 tokens that are evaluated at once", async () => {
        const model = await noiseModel({ architecture });
        const context = await contextOf(model, { sequences: 3, batchSize });
        const steps: Step[] = [];
        const attachment = await attach(context, taggedIndex(64), {
            k: 1,
            referenceWeight: 1,
            onStep: (step) => void steps.push(step),
        });
        const sequences = [0, 1, 2].map((i) => {
            const sequence = context.getSequence();
            attachment.forSequence(sequence, { namespaces: [i] });
            return sequence;
        });
        expect(await Promise.all(sequences.map((sequence, i) => first(sequence, prompts[i]!)))).toEqual(answers);
        await vi.waitFor(() => expect(steps).toHaveLength(3));
        const named = steps.map(({ sequence, position }) => [sequence, position]);
        expect(named.toSorted()).toEqual(lengths.map((length, i) => [i, length - 1]));
        // What this is a test of: they are not computed in the order of the batch.
        if (architecture === "llama" && batchSize === 64) expect(named.map(([sequence]) => sequence)).toEqual([2, 1, 0]);
    });
});

it("every row of a batch with many outputs is merged", async () => {
    const model = await noiseModel();
    const context = await contextOf(model, { batchSize: 256 });
    const attachment = await attach(context, constantIndex(model, 77), { k: 1, referenceWeight: 1 });
    const input = Array.from(
        { length: 100 },
        (_, i) => [(50 + i) as Token, { generateNext: { token: true } }] as [Token, object],
    );
    const outputs = await context.getSequence().controlledEvaluate(input);
    expect(outputs.map((output) => output?.next.token)).toEqual(Array(100).fill(77));
    expect(attachment.stats).toMatchObject({ decodes: 1, merged: 100 });
});

it("two contexts are attached to on their own, and a third one not at all", async () => {
    const model = await noiseModel();
    const other = await noiseModel({ seed: 2, embeddingSize: 32 });
    const contexts = await Promise.all([contextOf(model), contextOf(other), contextOf(model)]);
    const sequences = contexts.map((context) => context.getSequence());
    const plain = await generate(sequences[2]!, prompts[0]!, 20);
    const attachments = await Promise.all([
        attach(contexts[0], constantIndex(model, 111), { referenceWeight: 1 }),
        attach(contexts[1], constantIndex(other, 112), { referenceWeight: 1 }),
    ]);
    const run = () => Promise.all(sequences.map((sequence) => generate(sequence, prompts[0]!, 20)));
    expect(await run()).toEqual([Array(20).fill(111), Array(20).fill(112), plain]);
    attachments[0].detach();
    expect((await run()).slice(0, 2)).toEqual([plain, Array(20).fill(112)]);
});
