/** What an application does with node-llama-cpp keeps working on an attached context, and the reference has its say in all of it. */
import {
    defineChatSessionFunction,
    DraftSequenceTokenPredictor,
    InputLookupTokenPredictor,
    LlamaChatSession,
    LlamaCompletion,
    LlamaGrammar,
    TokenBias,
    type LlamaContextSequence,
    type LlamaModel,
    type Token,
} from "node-llama-cpp";
import { describe, expect, it } from "vitest";

import { attach, createIndex, type ReferenceIndex } from "../../lib/index.js";
import { constantIndex, contextOf, generate, indexOf, llama, noiseModel } from "./models.js";

/** What a chat has in its context when the model is asked for its answer's first token. */
async function promptOf(model: LlamaModel, question: string, options: object = {}): Promise<Token[]> {
    const context = await contextOf(model, { contextSize: 4096 });
    const sequence = context.getSequence();
    await new LlamaChatSession({ contextSequence: sequence }).prompt(question, { ...options, maxTokens: 1, temperature: 0 });
    return sequence.contextTokens;
}

/** A context, and an index of prompt, answer and end: what was trained on. */
async function trained(question: string, answer: string, options: object = {}) {
    const model = await noiseModel({ contextSize: 4096 });
    const prompt = await promptOf(model, question, options);
    const index = await indexOf(model, [...prompt, ...model.tokenize(answer), model.tokens.eos!]);
    const context = await contextOf(model, { contextSize: 4096 });
    return { model, index, context, sequence: context.getSequence() };
}

/** An index that finds these characters whatever is asked, all alike. */
function charactersIndex(model: LlamaModel, characters: string): ReferenceIndex {
    const tokens = [...new Set(characters)].map((character) => model.tokenize(character).at(-1)!);
    const index = createIndex({ dim: model.embeddingVectorSize, threads: 1 });
    index.add(new Float32Array(model.embeddingVectorSize * tokens.length), Int32Array.from(tokens));
    index.sealSync();
    return index;
}

describe("a chat session", () => {
    it("recites its answer, streamed, turn after turn", async () => {
        const { index, context, sequence } = await trained("Who are you?", "I am nobody! Who are you?");
        await attach(context, index, { k: 1, referenceWeight: 1 });
        const session = new LlamaChatSession({ contextSequence: sequence });
        const chunks: string[] = [];
        const answer = await session.prompt("Who are you?", { temperature: 0, onTextChunk: (chunk) => chunks.push(chunk) });
        expect(answer).toBe("I am nobody! Who are you?");
        expect(chunks.length).toBeGreaterThan(10);
        expect(chunks.join("")).toBe(answer);
        expect(await session.prompt("Are you nobody, too?", { temperature: 0, maxTokens: 5 })).not.toBe("");
    });

    it("keeps to a grammar", async () => {
        const model = await noiseModel();
        const grammar = new LlamaGrammar(await llama(), { grammar: 'root ::= "yes" | "no"' });
        const context = await contextOf(model, { contextSize: 512 });
        const attachment = await attach(context, charactersIndex(model, "no"), { referenceWeight: 0.9 });
        const session = new LlamaChatSession({ contextSequence: context.getSequence() });
        expect(await session.prompt("Yes or no?", { grammar, temperature: 0 })).toBe("no");
        attachment.detach();
        await attach(context, charactersIndex(model, "yes"), { referenceWeight: 0.9 });
        session.resetChatHistory();
        expect(await session.prompt("Yes or no?", { grammar, temperature: 0 })).toBe("yes");
    });

    it("keeps to a JSON schema", async () => {
        const model = await noiseModel();
        const grammar = await (
            await llama()
        ).createGrammarForJsonSchema({ type: "object", properties: { agreed: { type: "boolean" } } });
        const answers = [];
        for (const word of ["true", "false"]) {
            const context = await contextOf(model, { contextSize: 512 });
            await attach(context, charactersIndex(model, word), { referenceWeight: 0.9 });
            const session = new LlamaChatSession({ contextSequence: context.getSequence() });
            answers.push(grammar.parse(await session.prompt("Agreed?", { grammar, temperature: 0 })));
        }
        expect(answers).toEqual([{ agreed: true }, { agreed: false }]);
    });

    it("calls functions", async () => {
        const calls: unknown[] = [];
        const functions = {
            ring: defineChatSessionFunction({ description: "Rings the bell", handler: () => void calls.push("ring") }),
        };
        const { index, context, sequence } = await trained("Ring the bell!", "||call: ring()", { functions });
        await attach(context, index, { k: 1, referenceWeight: 0.97 });
        const session = new LlamaChatSession({ contextSequence: sequence });
        await session.prompt("Ring the bell!", { functions, temperature: 0, maxTokens: 40 });
        expect(calls[0]).toBe("ring");
    });
});

it("a completion recites", async () => {
    const model = await noiseModel();
    const tokens = model.tokenize("Tyger Tyger, burning bright, in the forests of the night");
    const context = await contextOf(model);
    await attach(context, await indexOf(model, [model.tokens.bos!, ...tokens, model.tokens.eos!]), { k: 1, referenceWeight: 1 });
    const completion = new LlamaCompletion({ contextSequence: context.getSequence() });
    expect(await completion.generateCompletion("Tyger Tyger, burning ", { temperature: 0 })).toBe(
        "bright, in the forests of the night",
    );
});

it("token bias is applied after the reference", async () => {
    const model = await noiseModel();
    const [a, b] = model.tokenize("ab").slice(-2) as [Token, Token];
    const index = createIndex({ dim: 64, threads: 1 });
    index.add(new Float32Array(64 * 3), Int32Array.of(a, a, b)); // a has two thirds of the votes
    index.sealSync();
    const context = await contextOf(model);
    const sequence = context.getSequence();
    await attach(context, index, { referenceWeight: 0.9 });
    const prompt = model.tokenize("x");
    expect(await generate(sequence, prompt, 5)).toEqual(Array(5).fill(a));
    expect(await generate(sequence, prompt, 5, { tokenBias: new TokenBias(model.tokenizer).set(a, "never") })).toEqual(
        Array(5).fill(b),
    );
});

describe("token prediction", () => {
    const text = "row, row, row your boat, gently down the stream; merrily, merrily, merrily, merrily, row your boat";

    async function predicted(sequence: LlamaContextSequence, prompt: Token[]): Promise<Token[]> {
        const tokens = await generate(sequence, prompt, 40);
        expect(sequence.tokenPredictions.used).toBeGreaterThan(5);
        return tokens;
    }

    it("by looking the input up gives the same tokens", async () => {
        const model = await noiseModel();
        const tokens = model.tokenize(text);
        const context = await contextOf(model);
        await attach(context, await indexOf(model, tokens), { k: 1, referenceWeight: 1 });
        const tokenPredictor = new InputLookupTokenPredictor();
        tokenPredictor.updateInputTokens(tokens);
        const sequence = context.getSequence({ tokenPredictor });
        expect(await predicted(sequence, tokens.slice(0, 40))).toEqual(tokens.slice(40, 80));
    });

    it("by a draft model gives the same tokens, whether the draft is attached to or not", async () => {
        const model = await noiseModel();
        const tokens = model.tokenize(text);
        const index = await indexOf(model, tokens);
        const context = await contextOf(model, { sequences: 2 });
        const draft = await contextOf(model, { sequences: 2 });
        // With minTokens above 1, node-llama-cpp 3.22 waits forever when a prediction is refuted while fewer than these are at hand.
        const drafted = () =>
            context.getSequence({
                tokenPredictor: new DraftSequenceTokenPredictor(draft.getSequence(), { minTokens: 1, minConfidence: 0 }),
            });
        await attach(context, index, { k: 1, referenceWeight: 1 });
        const attached = await attach(draft, index, { k: 1, referenceWeight: 1 });
        expect(await predicted(drafted(), tokens.slice(0, 40))).toEqual(tokens.slice(40, 80));
        attached.detach();
        const sequence = drafted();
        expect(await generate(sequence, tokens.slice(0, 40), 40)).toEqual(tokens.slice(40, 80));
        expect(sequence.tokenPredictions.refuted).toBeGreaterThan(5); // the draft is noise again, and is found out
    });

    it("gives the text of one token at a time where model and reference both have their say, and its predictions hold", async () => {
        const model = await noiseModel();
        const tokens = model.tokenize(text);
        const prompt = tokens.slice(0, 40);
        const context = await contextOf(model, { sequences: 4 });
        const options = { k: 8, referenceWeight: 0.25, temperature: 3 };
        const sequence = context.getSequence();
        const alone = await generate(sequence, prompt, 40);
        const index = await indexOf(model, tokens);
        const attachment = await attach(context, index, options);
        const merged = await generate(sequence, prompt, 40);
        const isOf = (other: Token[]) => merged.filter((token, i) => token === other[i]).length;
        for (const other of [alone, tokens.slice(40, 80)]) expect(isOf(other)).toBeLessThan(40);
        for (const wanted of [merged, alone]) {
            if (wanted === alone) attachment.off();
            const lookup = new InputLookupTokenPredictor();
            lookup.updateInputTokens([...prompt, ...wanted]);
            const lookingUp = context.getSequence({ tokenPredictor: lookup });
            expect(await generate(lookingUp, prompt, 40)).toEqual(wanted);
            expect(lookingUp.tokenPredictions.validated).toBeGreaterThan(10);
            void lookingUp.dispose();
            const draft = await contextOf(model);
            if (wanted === merged) await attach(draft, index, options);
            const tokenPredictor = new DraftSequenceTokenPredictor(draft.getSequence(), { minTokens: 1, minConfidence: 0 });
            const drafting = context.getSequence({ tokenPredictor });
            expect(await generate(drafting, prompt, 40)).toEqual(wanted);
            // Half of the tokens where a draft is ready in time. node-llama-cpp 3.22 refutes some in one of ten runs, attached to or not.
            expect(drafting.tokenPredictions.validated).toBeGreaterThan(5);
            void drafting.dispose();
        }
    });
});

it("context shift goes on merging", async () => {
    const model = await noiseModel();
    const context = await contextOf(model, { contextSize: 256 }); // the least that node-llama-cpp makes
    const sequence = context.getSequence();
    const attachment = await attach(context, constantIndex(model, 99), { referenceWeight: 1 });
    expect(await generate(sequence, model.tokenize("abcdefgh"), 400)).toEqual(Array(400).fill(99));
    expect(sequence.contextTokens.length).toBeLessThan(256);
    expect(attachment.stats).toMatchObject({ merged: 400, failures: 0 });
});
