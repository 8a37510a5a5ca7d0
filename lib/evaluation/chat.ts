/**
 * Exact match of the greedy answer, without and with the reference: real decoding of the attached model. The end-of-turn token is no part of an
 * answer.
 */
import { attach } from "../llama/attach.js";
import type { LlamaContextSequence, LlamaModel, Token } from "../node-llama-cpp.js";
import { longestPassage, type Passage } from "../recipes/passage.js";
import { exactMatch } from "./metrics.js";
import type { EvaluateOptions, Fusion } from "./options.js";

export interface ExactMatch {
    exactMatch: number;
    count: number;
}

export interface ChatFigures {
    model: ExactMatch;
    rtd: ExactMatch;
}

/** Tokens beyond the expected answer's that are waited for an end of turn: an answer that goes on is not a match. */
const surplus = 2;

export async function evaluateChat(
    { store, model, threads, signal, onProgress }: EvaluateOptions,
    passages: readonly Passage[],
    fusion: Fusion,
): Promise<ChatFigures> {
    const longest = Math.max(...passages.map(({ values }) => values.length));
    const context = await model.createContext({
        contextSize: longestPassage(model, passages) + longest + surplus,
        ...(threads && { threads }),
    });
    const right = { model: 0, rtd: 0 };
    try {
        const attachment = await attach(context, store, fusion);
        const sequence = context.getSequence();
        for (const [done, { tokens, from, values }] of passages.entries()) {
            signal?.throwIfAborted();
            onProgress?.({ done, total: passages.length, unit: "answers" });
            const prompt = tokens.slice(0, from + 1);
            const expected = model.detokenize(values.slice(0, -1));
            for (const side of ["model", "rtd"] as const) {
                attachment[side === "rtd" ? "on" : "off"]();
                const answer = await greedyAnswer(model, sequence, prompt, values.length + surplus);
                if (exactMatch(model.detokenize(answer), expected)) right[side]++;
            }
        }
        onProgress?.({ done: passages.length, total: passages.length, unit: "answers" });
        attachment.detach();
    } finally {
        await context.dispose();
    }
    const figures = (hits: number): ExactMatch => ({ exactMatch: hits / passages.length, count: passages.length });
    return { model: figures(right.model), rtd: figures(right.rtd) };
}

/** The most probable continuation, up to the end of turn or `maxTokens`. */
export async function greedyAnswer(
    model: LlamaModel,
    sequence: LlamaContextSequence,
    prompt: Token[],
    maxTokens: number,
): Promise<Token[]> {
    // What the sequence holds of the prompt already is kept: hidden states of a prompt do not depend on what is merged into logits.
    await sequence.adaptStateToTokens(prompt.slice(0, -1), false);
    const answer: Token[] = [];
    for await (const token of sequence.evaluate(prompt.slice(sequence.nextTokenIndex), { temperature: 0 })) {
        if (model.isEogToken(token)) break;
        answer.push(token);
        if (answer.length === maxTokens) break;
    }
    return answer;
}
