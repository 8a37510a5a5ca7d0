/** Layers by name: their states against those of a model that ends there, in recordings and in what an attached context searches with. */
import type { Token } from "node-llama-cpp";
import { describe, expect, it, vi } from "vitest";

import { attach, createIndex, createRecorder, record, type Layer, type Step } from "../../lib/index.js";
import type { Architecture } from "./gguf.js";
import { constantIndex, contextOf, generate, noiseModel } from "./models.js";

const tokens = Array.from({ length: 60 }, (_, i) => (40 + ((i * 37) % 300)) as Token);
const d = 64;
const code = (code: string): unknown => expect.objectContaining({ name: "RtdError", code });

/** The last norm of the noise models, whose weights are 1, in float64. */
function rmsNorm(states: Float32Array): number[] {
    return Array.from({ length: states.length / d }, (_, row) => states.subarray(row * d, (row + 1) * d)).flatMap((row) => {
        const scale = 1 / Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / d + 1e-5);
        return Array.from(row, (x) => x * scale);
    });
}

/** Rows apart by a small share of their length: batches of another shape are rounded in another way, and caches keep half precision. */
function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, width = d): void {
    expect(actual.length).toBe(expected.length);
    for (let begin = 0; begin < expected.length; begin += width) {
        let [difference, square] = [0, 0];
        for (let i = begin; i < begin + width; i++) {
            difference += (actual[i]! - expected[i]!) ** 2;
            square += expected[i]! ** 2;
        }
        expect(Math.sqrt(difference / square)).toBeLessThan(0.005);
    }
}

/** Layers' weights follow one another in a noise model, so that one of fewer layers is the beginning of one of more. */
async function stateOfBlock(architecture: Architecture, layers: number, from = 0): Promise<Float32Array> {
    const context = await contextOf(await noiseModel({ architecture, layers }));
    return record(context, tokens, { from });
}

describe.each<Architecture>(["llama", "gemma2", "granite", "plamo3", "mamba"])("%s", (architecture) => {
    it.each([64, 16])("records each block's output in batches of %i", async (batchSize) => {
        const model = await noiseModel({ architecture, layers: 3 });
        for (const block of [0, 1, 2]) {
            const context = await contextOf(model, { batchSize });
            expectClose(rmsNorm(await record(context, tokens, { layer: block })), await stateOfBlock(architecture, block + 1));
            // Rows of a few: block 0 and 1 still hold all of the batch's tokens.
            const some = await record(context, tokens, { layer: `l_out-${block}`, from: 41 });
            expectClose(rmsNorm(some), (await stateOfBlock(architecture, block + 1)).subarray(41 * d));
        }
    });

    it("records the same with logits, which are the model's", async () => {
        const model = await noiseModel({ architecture, layers: 3 });
        const context = await contextOf(model);
        const plain = await createRecorder(context);
        const { logits } = await plain.record(tokens, { logits: true });
        await plain.dispose();
        const recorder = await createRecorder(context, { layer: 1 });
        const both = await recorder.record(tokens, { logits: true });
        expect(both.logits).toEqual(logits);
        expect((await recorder.record(tokens)).hidden).toEqual(both.hidden);
        await recorder.dispose();
    });

    it("an attached context searches with the layer's state of each row, and decodes as before at weight 0", async () => {
        const model = await noiseModel({ architecture, layers: 3 });
        const context = await contextOf(model, { sequences: 2 });
        const texts = [tokens.slice(0, 23), tokens.slice(30, 41)];
        const sequences = texts.map(() => context.getSequence());
        const before = await Promise.all(sequences.map((sequence, i) => generate(sequence, texts[i]!, 5)));
        const steps: Step[] = [];
        const attachment = await attach(context, constantIndex(model, 77), {
            layer: 1,
            k: 1,
            referenceWeight: 0,
            onStep: (step) => void steps.push(step),
        });
        expect(await Promise.all(sequences.map((sequence, i) => generate(sequence, texts[i]!, 5)))).toEqual(before);
        await vi.waitFor(() => expect(steps).toHaveLength(10));
        attachment.detach();
        for (const sequence of sequences) await sequence.dispose();
        const recorder = await createRecorder(context, { layer: 1 });
        for (const [i, text] of texts.entries()) {
            const { hidden } = await recorder.record([...text, ...before[i]!.slice(0, -1)], { from: text.length - 1 });
            const own = steps
                .filter(({ position }) => (i === 0 ? position >= 22 : position < 22))
                .map((step) => [...step.hidden]);
            expectClose(own.flat(), hidden);
        }
        await recorder.dispose();
    });
});

it("recites a text by keys of a layer, which the last norm's states would not find", async () => {
    const model = await noiseModel({ layers: 3 });
    const context = await contextOf(model);
    const index = createIndex({ dim: d, threads: 1 });
    index.add(await record(context, tokens.slice(0, -1), { layer: 1 }), Int32Array.from(tokens.slice(1)));
    index.sealSync();
    const sequence = context.getSequence();
    const attachment = await attach(context, index, { layer: "l_out-1", k: 1, referenceWeight: 1 });
    expect(await generate(sequence, tokens.slice(0, 20), 30)).toEqual(tokens.slice(20, 50));
    expect(attachment.stats).toMatchObject({ merged: 30, failures: 0 });
    attachment.detach();
    await attach(context, index, { k: 1, referenceWeight: 1 });
    expect(await generate(sequence, tokens.slice(0, 20), 30)).not.toEqual(tokens.slice(20, 50));
});

it("evaluates a beginning anew where later layers know nothing of it", async () => {
    const model = await noiseModel({ layers: 3 });
    const recorder = await createRecorder(await contextOf(model), { layer: 0 });
    const fresh = await recorder.record(tokens, { from: 50, logits: true });
    for (const logits of [false, false, true, true, false]) {
        const again = await recorder.record(tokens, { from: 50, logits, reuseBeginning: true });
        expectClose(again.hidden, fresh.hidden);
        if (again.logits !== undefined) expectClose(again.logits, fresh.logits, recorder.vocabulary);
    }
    await recorder.dispose();
});

it("says what there is where a name is not, and goes on", async () => {
    const model = await noiseModel({ layers: 3 });
    const context = await contextOf(model);
    const known = /no states named "l_out-3"; it has .*l_out-0 to l_out-2.*result_norm/;
    const recorder = await createRecorder(context, { layer: 3 });
    await expect(recorder.record(tokens)).rejects.toThrow(known);
    await expect(recorder.record(tokens)).rejects.toThrow(code("ERR_RTD_INVALID_ARGUMENT"));
    await expect(recorder.record(tokens, { logits: true })).rejects.toThrow(known);
    await recorder.dispose();
    await expect(record(context, tokens, { layer: "Qcur-1" })).rejects.toThrow(code("ERR_RTD_UNSUPPORTED"));
    const sequence = context.getSequence();
    const before = await generate(sequence, tokens.slice(0, 9), 10);
    const attachment = await attach(context, constantIndex(model, 77), { layer: 3 });
    await expect(generate(sequence, tokens.slice(0, 9), 10)).rejects.toThrow(known);
    attachment.detach();
    expect(await generate(sequence, tokens.slice(0, 9), 10)).toEqual(before);
});

it.each<[unknown, RegExp]>([
    [-1, /layer: expected the name .* or the number of a block \(12\), got -1/],
    [1.5, /got 1\.5/],
    ["", /got ""/],
    [null, /got null/],
])("refuses %j for a layer", async (layer, message) => {
    const model = await noiseModel();
    const context = await contextOf(model);
    await expect(createRecorder(context, { layer: layer as Layer })).rejects.toThrow(message);
    await expect(attach(context, constantIndex(model, 1), { layer: layer as Layer })).rejects.toThrow(message);
});
