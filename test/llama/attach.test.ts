/** Attaching: options, listeners, figures, errors. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LlamaContext, Token } from "node-llama-cpp";
import { describe, expect, it, onTestFinished, vi } from "vitest";

import { attach, createIndex, Datastore, fuseSync, RtdError, supported, type AttachOptions, type Step } from "../../lib/index.js";
import { matchedTokenBiasOf } from "../../lib/evaluation/matched-bias.js";
import { tap } from "../../lib/llama/tap.js";
import { LabelLogits } from "../../lib/recipes/label-logits.js";
import { constantIndex, contextOf, generate, indexOf, noiseModel, storeOf } from "./models.js";

const text = "Peter Piper picked a peck of pickled peppers, a peck of pickled peppers Peter Piper picked.";

async function recital() {
    const model = await noiseModel();
    const tokens = model.tokenize(text);
    const index = await indexOf(model, tokens);
    const context = await contextOf(model, { sequences: 2 });
    const prompt = tokens.slice(0, 30);
    return { model, tokens, index, context, sequence: context.getSequence(), prompt, rest: tokens.slice(30, 40) };
}

const rejection = (code: string): unknown => expect.objectContaining({ name: "RtdError", code });

describe("options", () => {
    it("can be changed, switched off and on between tokens", async () => {
        const { index, context, sequence, prompt, rest } = await recital();
        const plain = await generate(sequence, prompt, 10);
        const attachment = await attach(context, index, { k: 1, referenceWeight: 1 });
        attachment.off();
        expect(await generate(sequence, prompt, 10)).toEqual(plain);
        attachment.on();
        expect(await generate(sequence, prompt, 10)).toEqual(rest);
        attachment.set({ referenceWeight: 0 });
        expect(await generate(sequence, prompt, 10)).toEqual(plain);
        attachment.set({ referenceWeight: 1, namespaces: [7] }); // nothing is in it: weight 1 without a hit leaves the row alone
        expect(await generate(sequence, prompt, 10)).toEqual(plain);
        expect(attachment.stats).toMatchObject({ decodes: 40, rows: 20, merged: 10, unchanged: 10, failures: 0 });
    });

    it("are each sequence's own where it has any, in one batch too", async () => {
        const { index, context, sequence, prompt, rest } = await recital();
        const other = context.getSequence();
        const plain = await generate(sequence, prompt, 10);
        const attachment = await attach(context, index, { k: 1, referenceWeight: 1 });
        attachment.forSequence(other, { referenceWeight: 0 });
        expect(await Promise.all([generate(sequence, prompt, 10), generate(other, prompt, 10)])).toEqual([rest, plain]);
        attachment.forSequence(other, null);
        expect(await generate(other, prompt, 10)).toEqual(rest);
    });

    it("of a sequence end with it: the next one gets its number, not its options", async () => {
        const { index, context, prompt, rest } = await recital();
        const attachment = await attach(context, index, { k: 1, referenceWeight: 1 });
        const first = context.getSequence();
        attachment.forSequence(first, { enabled: false });
        await first.dispose();
        expect(await generate(context.getSequence(), prompt, 10)).toEqual(rest);
    });

    it("default to those of a store's recipe", async () => {
        const { index, context, sequence, prompt, rest } = await recital();
        const defaults = { k: 1, referenceWeight: 1, temperatureScale: 0.1 };
        await attach(context, await storeOf(index, { defaults }));
        expect(await generate(sequence, prompt, 10)).toEqual(rest);
    });

    it("have a bias that the merge begins with", async () => {
        const { index, context, sequence, prompt } = await recital();
        const steps: Step[] = [];
        const attachment = await attach(context, index, {
            k: 4,
            referenceWeight: 0.25,
            bias: { tokens: [7], values: [100] },
            onStep: (step) => void steps.push(step),
        });
        expect(await generate(sequence, prompt, 3)).toEqual([7, 7, 7]);
        attachment.set({ bias: { tokens: [], values: [] } });
        const plain = await generate(sequence, prompt, 3);
        expect(plain).not.toContain(7);
        attachment.set({ bias: { tokens: [7], values: [100] }, referenceWeight: 0 }); // nothing is merged, the bias neither
        expect(await generate(sequence, prompt, 3)).not.toContain(7);
        await vi.waitFor(() => expect(steps).toHaveLength(9));
        const [biased, unbiased] = [steps[0]!.logits, steps[3]!.logits];
        expect(biased.indexOf(Math.max(...biased))).toBe(7); // as sampled from
        expect(biased[7]).toBeCloseTo(unbiased[7]! + 100, 3);
        expect(() => attachment.set({ bias: { tokens: [1], values: [] } })).toThrow(rejection("ERR_RTD_INVALID_ARGUMENT"));
        attachment.detach();
        await expect(attach(context, index, { bias: { tokens: [1000], values: [1] } })).rejects.toThrow(
            rejection("ERR_RTD_TOKEN_RANGE"),
        );
    });

    it("have a gate or a weight, whichever was given last or for the sequence", async () => {
        const { index, context, sequence, prompt, rest } = await recital();
        const plain = await generate(sequence, prompt, 3);
        const open = { bias: 90, hitEntropy: 0, largestVote: 0, modelEntropy: 0, maxWeight: 1 };
        const given = () => generate(sequence, prompt, 3);
        const attachment = await attach(context, index, { k: 1, referenceWeight: 0, gate: open });
        expect(await given()).toEqual(rest.slice(0, 3));
        attachment.set({ k: 1 });
        expect(await given()).toEqual(rest.slice(0, 3));
        attachment.set({ referenceWeight: 0 });
        expect(await given()).toEqual(plain);
        attachment.set({ gate: open });
        expect(await given()).toEqual(rest.slice(0, 3));
        attachment.set({ gate: { ...open, bias: -90 } });
        expect(await given()).toEqual(plain);
        attachment.forSequence(sequence, { referenceWeight: 1 });
        expect(await given()).toEqual(rest.slice(0, 3));
        expect(() => attachment.set({ gate: { ...open, maxWeight: 2 } })).toThrow(rejection("ERR_RTD_INVALID_ARGUMENT"));
    });

    describe("of a label store", () => {
        const labels = [
            { name: "a", token: 50 },
            { name: "b", token: 60 },
        ];

        /** A store whose every row votes half for each label, and by whose records the model much prefers the first. */
        async function labelStore(dim: number) {
            const path = mkdtempSync(join(tmpdir(), "rtd-attach-"));
            onTestFinished(() => rmSync(path, { recursive: true }));
            const kept = new LabelLogits(2);
            for (let i = 0; i < 8; i++) kept.add([4 + (i % 4) / 2, (i % 3) / 2]);
            const metadata = { recipe: "label", labels, labelLogits: kept.encode() };
            const store = await Datastore.create(path, { dim, metadata });
            onTestFinished(() => store.close());
            store.append(new Float32Array(dim * 2), Int32Array.of(50, 60));
            await store.seal();
            return store;
        }

        it("have the matched bias, unless it is turned off or another one is given", async () => {
            const { context, sequence, prompt } = await recital();
            const store = await labelStore(64);
            const first = async (options: AttachOptions) => {
                const steps: Step[] = [];
                const attachment = await attach(context, store, {
                    referenceWeight: 1e-6,
                    ...options,
                    onStep: (step) => void steps.push(step),
                });
                await generate(sequence, prompt, 1);
                await vi.waitFor(() => expect(steps).toHaveLength(1));
                attachment.detach();
                return steps[0]!.logits;
            };
            const plain = await first({ matchedBias: false });
            const matched = await first({});
            const wanted = matchedTokenBiasOf(store.metadata)!;
            expect(wanted.values[1]! - wanted.values[0]!).toBeGreaterThan(3);
            for (const [i, { token }] of labels.entries())
                expect(matched[token]).toBeCloseTo(plain[token]! + wanted.values[i]!, 1);
            expect(matched.filter((value, i) => value !== plain[i])).toHaveLength(2);
            const own = await first({ bias: { tokens: [70], values: [1] } });
            expect([own[50], own[60], own[70]]).toEqual([plain[50], plain[60], Math.fround(plain[70]! + 1)]);
            await expect(attach(context, store, { matchedBias: 1 } as never)).rejects.toThrow(
                rejection("ERR_RTD_INVALID_ARGUMENT"),
            );
        });
    });

    it("that are not allowed are refused, and the ones in force stay", async () => {
        const { index, context, sequence, prompt, rest } = await recital();
        const attachment = await attach(context, index, { k: 1, referenceWeight: 1 });
        for (const wrong of [
            { k: 0 },
            { k: 1.5 },
            { referenceWeight: 1.1 },
            { referenceWeight: NaN },
            { temperature: 0 },
            { maxDistance: NaN },
        ]) {
            expect(() => attachment.set(wrong), JSON.stringify(wrong)).toThrow(rejection("ERR_RTD_INVALID_ARGUMENT"));
        }
        const stranger = (await recital()).sequence;
        const refused = (call: () => void, message: RegExp) =>
            expect(call).toThrow(
                expect.objectContaining({ code: "ERR_RTD_INVALID_ARGUMENT", message: expect.stringMatching(message) as unknown }),
            );
        for (const [sequenceGiven, given, message] of [
            [stranger, { k: 2 }, /sequence: expected one of the attached context/],
            [null, {}, /sequence: expected one of the attached context/],
            [sequence, undefined, /options: expected an object, got undefined/],
            [sequence, { weight: 0 }, /no option "weight" here; known are .*referenceWeight/],
        ] as [typeof sequence, object, RegExp][]) {
            refused(() => attachment.forSequence(sequenceGiven, given), message);
        }
        refused(() => attachment.set(null as never), /options: expected an object, got null/);
        refused(() => attachment.set(undefined as never), /options: expected an object, got undefined/);
        refused(() => attachment.set({ threads: 2 } as never), /no option "threads" here/);
        expect(await generate(sequence, prompt, 10)).toEqual(rest);
    });
});

describe("a listener", () => {
    it("gets each step's hidden state, merged logits and hits as copies of its own", async () => {
        const { model, tokens, index, context, sequence, prompt } = await recital();
        const plain: Step[] = [];
        const probe = await attach(context, index, { k: 4, referenceWeight: 0, onStep: (step) => void plain.push(step) });
        await generate(sequence, prompt, 1);
        probe.detach();
        const steps: Step[] = [];
        await attach(context, index, { k: 4, referenceWeight: 0.3, temperature: 2, onStep: (step) => void steps.push(step) });
        await generate(sequence, prompt, 3);
        await vi.waitFor(() => expect(steps).toHaveLength(3));

        expect(steps.map(({ sequence, position, status }) => [sequence, position, status])).toEqual(
            [29, 30, 31].map((position) => [0, position, "merged"]),
        );
        const [step, before] = [steps[0]!, plain[0]!];
        expect(step.hidden).toEqual(before.hidden);
        expect(before).toMatchObject({ status: "unchanged", position: 29 });
        expect(step.hits.tokens[0]).toBe(tokens[30]);
        expect(step.hits).toMatchObject({
            k: 4,
            heads: 1,
            ids: index.searchSync(step.hidden, { k: 4 }).ids,
            counts: Uint32Array.of(4),
        });
        // The same hits merged by hand into the model's own logits give the same bits.
        const expected = before.logits.slice();
        fuseSync(step.hits, expected, { referenceWeight: 0.3, temperature: 2 });
        expect(step.logits).toEqual(expected);
        expect(step.logits).toHaveLength(model.fileInfo.metadata.tokenizer.ggml.tokens.length);
        expect(new Set(steps.flatMap(({ hidden, logits }) => [hidden.buffer, logits.buffer])).size).toBe(6);
    });

    it("that is slow delays nothing but itself, and what it has no room for is counted", async () => {
        const model = await noiseModel({ vocabulary: 60_000, embeddingSize: 16 });
        const index = constantIndex(model, 300);
        const context = await contextOf(model, { contextSize: 512 });
        const sequence = context.getSequence();
        let release = (): void => undefined;
        const stalled = new Promise<void>((resolve) => (release = resolve));
        const steps: Step[] = [];
        const attachment = await attach(context, index, {
            referenceWeight: 1,
            onStep: (step) => {
                steps.push(step);
                return stalled;
            },
        });
        const count = 300; // of 240 KB each, where 64 MB is room for about 275
        await generate(sequence, [5 as Token], count);
        expect(steps).toHaveLength(1);
        expect(attachment.stats.merged).toBe(count);
        expect(attachment.stats.droppedSteps).toBeGreaterThan(0);
        release();
        attachment.detach();
        await vi.waitFor(() => expect(steps).toHaveLength(count - attachment.stats.droppedSteps), 5000);
        expect(steps.map(({ position }) => position)).toEqual(steps.map((_, i) => i));
    });

    it("is told after the token's sampling has begun, not before", async () => {
        const { index, context, sequence, prompt } = await recital();
        const inner = (context as unknown as { _ctx: { sampleToken: (...given: unknown[]) => Promise<unknown> } })._ctx;
        const events: string[] = [];
        const sampleToken = inner.sampleToken.bind(inner);
        const watched = (...given: unknown[]): Promise<unknown> => {
            events.push("sampling");
            return sampleToken(...given);
        };
        Object.defineProperty(inner, "sampleToken", { value: watched });
        await attach(context, index, { onStep: () => void events.push("step") });
        await generate(sequence, prompt, 1);
        await vi.waitFor(() => expect(events).toHaveLength(2));
        expect(events).toEqual(["sampling", "step"]);
    });

    it("that throws tells onError and goes on", async () => {
        const { index, context, sequence, prompt } = await recital();
        const errors: unknown[] = [];
        await attach(context, index, {
            onStep: ({ position }) => expect(position).toBe(30),
            onError: (error) => errors.push(error),
        });
        await generate(sequence, prompt, 3);
        await vi.waitFor(() => expect(errors).toHaveLength(2)); // 29 and 31
    });

    it("is told of later steps although onError throws too, which is an uncaught exception", async () => {
        const { index, context, sequence, prompt } = await recital();
        const uncaught: unknown[] = [];
        const others = process.listeners("uncaughtException");
        process.removeAllListeners("uncaughtException").on("uncaughtException", (error) => uncaught.push(error));
        onTestFinished(() => {
            process.removeAllListeners("uncaughtException");
            for (const listener of others) process.on("uncaughtException", listener);
        });
        const positions: number[] = [];
        await attach(context, index, {
            onStep: ({ position }) => {
                positions.push(position);
                throw new Error("in onStep");
            },
            onError: () => {
                throw new Error(`in onError, ${positions.length}`);
            },
        });
        await generate(sequence, prompt, 3);
        await vi.waitFor(() => expect(uncaught).toHaveLength(3));
        expect(positions).toEqual([29, 30, 31]);
        expect(uncaught).toContainEqual(new Error("in onError, 3"));
    });
});

describe("errors", () => {
    it("say what cannot be attached, and change nothing", async () => {
        const { model, index, context } = await recital();
        const wide = createIndex({ dim: 65 });
        const unsealed = createIndex({ dim: 64 });
        unsealed.add(new Float32Array(64), Int32Array.of(3));
        const embedding = await model.createEmbeddingContext({ contextSize: 64 });
        onTestFinished(() => embedding.dispose());
        const disposed = await contextOf(model);
        await disposed.dispose();
        const inner = (embedding as unknown as { _llamaContext: LlamaContext })._llamaContext;
        const cases: [string, unknown, unknown, string, RegExp, unknown?][] = [
            ["other dimensions", context, wide, "ERR_RTD_INVALID_ARGUMENT", /65 dimensions.*64/],
            ["a token of another model", context, constantIndex(model, 355), "ERR_RTD_TOKEN_RANGE", /355/],
            ["no temperature", context, unsealed, "ERR_RTD_NO_TEMPERATURE", /seal/],
            ["an embedding context", embedding, index, "ERR_RTD_INVALID_ARGUMENT", /LlamaContext/],
            ["the context in it", inner, index, "ERR_RTD_UNSUPPORTED", /embeddings/],
            ["a disposed context", disposed, index, "ERR_RTD_CLOSED", /disposed/],
            ["no context", {}, index, "ERR_RTD_INVALID_ARGUMENT", /LlamaContext/],
            [
                "no reference",
                context,
                null,
                "ERR_RTD_INVALID_ARGUMENT",
                /reference: expected an index .* or a store .*, got null/,
            ],
            ["an empty object", context, {}, "ERR_RTD_INVALID_ARGUMENT", /reference: expected an index .*, got an object/],
            ["what looks like a store", context, { index: {}, metadata: {} }, "ERR_RTD_INVALID_ARGUMENT", /reference: /],
            ["a number for its index", context, { index: 5 }, "ERR_RTD_INVALID_ARGUMENT", /reference: /],
            ["null options", context, index, "ERR_RTD_INVALID_ARGUMENT", /options: expected an object, got null/, null],
            [
                "a misspelt option",
                context,
                index,
                "ERR_RTD_INVALID_ARGUMENT",
                /no option "weight" here; known are/,
                { weight: 1 },
            ],
            ["onStep 5", context, index, "ERR_RTD_INVALID_ARGUMENT", /onStep: expected a function, got 5/, { onStep: 5 }],
            ["onError 5", context, index, "ERR_RTD_INVALID_ARGUMENT", /onError: expected a function, got 5/, { onError: 5 }],
        ];
        for (const [what, given, reference, code, message, options] of cases) {
            const error: unknown = await attach(given as LlamaContext, reference as never, options as never).catch(
                (reason: unknown) => reason,
            );
            expect(error, what).toBeInstanceOf(RtdError);
            expect(error, what).toMatchObject({ code, message: expect.stringMatching(message) as unknown });
        }
        expect(tap().llamaUsers()).toBe(0);
        expect(Object.hasOwn((context as unknown as { _ctx: object })._ctx, "decodeBatch")).toBe(false);
    });

    it("a second attachment of one context is refused until the first is detached", async () => {
        const { index, context, sequence, prompt, rest } = await recital();
        const first = await attach(context, index, { k: 1, referenceWeight: 1 });
        await expect(attach(context, index)).rejects.toThrow(rejection("ERR_RTD_EXISTS"));
        expect(await generate(sequence, prompt, 10)).toEqual(rest);
        first.detach();
        await attach(context, index, { k: 1, referenceWeight: 1 });
        expect(await generate(sequence, prompt, 10)).toEqual(rest);
    });

    it("in a decode reject the evaluation and leave the context as it was before", async () => {
        const { index, context, sequence, prompt, tokens, rest } = await recital();
        const other = context.getSequence();
        const plain = await generate(other, prompt, 10);
        const attachment = await attach(context, index, { k: 1, referenceWeight: 1 });
        expect(await generate(sequence, prompt, 5)).toEqual(rest.slice(0, 5));
        index.add(new Float32Array(64), Int32Array.of(1000)); // beyond the vocabulary
        const next = sequence.evaluate(tokens.slice(34, 35), { temperature: 0 });
        await expect(next.next()).rejects.toThrow(rejection("ERR_RTD_TOKEN_RANGE"));
        await expect(generate(other, prompt, 10)).rejects.toThrow(rejection("ERR_RTD_TOKEN_RANGE"));
        expect(attachment.stats.failures).toBe(2);
        attachment.detach();
        expect(sequence.contextTokens).toEqual(tokens.slice(0, 34));
        const after = await sequence.evaluate(tokens.slice(34, 35), { temperature: 0 }).next();
        expect(after.done).toBe(false);
        expect(await generate(other, prompt, 10)).toEqual(plain);
    });
});

it("an empty index is an ordinary case, and what is added later is found from the next token on", async () => {
    const { model, context, sequence, prompt } = await recital();
    const plain = await generate(sequence, prompt, 4);
    const index = createIndex({ dim: 64 });
    const attachment = await attach(context, index, { k: 1, referenceWeight: 1 });
    const tokens = [];
    await sequence.clearHistory();
    for await (const token of sequence.evaluate(prompt, { temperature: 0 })) {
        tokens.push(token);
        if (tokens.length === 2) {
            index.add(new Float32Array(64), Int32Array.of(model.tokenize("!").at(-1)!));
            index.sealSync();
        }
        if (tokens.length === 4) break;
    }
    expect(tokens).toEqual([...plain.slice(0, 2), ...model.tokenize("!!").slice(-2)]);
    expect(attachment.stats).toMatchObject({ merged: 2, unchanged: 2 });
});

it("says what is supported", () => {
    const { supported: yes, reason, platform, releases } = supported();
    expect({ yes, platform, releases }).toEqual({ yes: true, platform: `linux-${process.arch}`, releases: ["v0.5.0"] });
    expect(reason).toContain("v0.5.0");
});
