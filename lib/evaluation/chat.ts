/**
 * Exact match of the greedy answer, without and with the reference: real decoding of the attached model. The end-of-turn token is no part of an
 * answer.
 */
import { attach } from "../llama/attach.js";
import type { LlamaContextSequence, LlamaModel, Token } from "../node-llama-cpp.js";
import { longestPassage, type Passage } from "../recipes/passage.js";
import { bootstrapInterval, meanOver, type Interval } from "./bootstrap.js";
import { exactMatch } from "./metrics.js";
import type { EvaluateOptions, Fusion } from "./options.js";

export interface ExactMatch {
    exactMatch: number;
    /** By resampling examples. */
    interval: Interval;
    /** By how much it is better than the model's, example by example. */
    gain: { value: number; interval: Interval } | undefined;
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
    const right = { model: [] as number[], rtd: [] as number[] };
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
                right[side].push(exactMatch(model.detokenize(answer), expected) ? 1 : 0);
            }
        }
        onProgress?.({ done: passages.length, total: passages.length, unit: "answers" });
        attachment.detach();
    } finally {
        await context.dispose();
    }
    return { model: figures(right.model), rtd: figures(right.rtd, right.model) };
}

/** right: 1 where an answer is, else 0. */
export function figures(right: readonly number[], against?: readonly number[]): ExactMatch {
    const share = (values: readonly number[]) => ({
        value: values.reduce((sum, value) => sum + value, 0) / values.length,
        interval: bootstrapInterval(values.length, meanOver(values)),
    });
    const { value, interval } = share(right);
    const gain = against && share(right.map((one, i) => one - (against[i] as number)));
    return { exactMatch: value, interval, gain, count: right.length };
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
