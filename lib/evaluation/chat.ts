/**
 * Greedy answers without and with the reference, by real decoding of the attached model: exact match, and F1 of their words. The end-of-turn token is no part
 * of an answer.
 */
import { attach } from "../llama/attach.js";
import type { LlamaContextSequence, LlamaModel, Token } from "../node-llama-cpp.js";
import { createContext } from "../recipes/model.js";
import { longestPassage, type Passage } from "../recipes/passage.js";
import { differenceEstimate, meanEstimate, unitsOf, type Estimate, type Interval } from "./bootstrap.js";
import { costOf, promptTokens, type Cost } from "./cost.js";
import { exactMatch, tokenF1 } from "./metrics.js";
import { runModel, type RunOptions } from "./model-run.js";
import type { EvaluateOptions, Fusion } from "./options.js";
import type { InContext } from "./retrieval.js";
import type { Shown } from "./shots.js";
import { bySubject, type BySubject } from "./subjects.js";

interface AnswerScore {
    /** Share of the answers that are the expected one, white space around it aside. */
    exactMatch: number;
    /** Of the exact match, by resampling examples: the answers of a conversation are one. */
    interval: Interval;
    /** The mean overlap of an answer's words with the expected one's, as SQuAD counts it. */
    f1: number;
    f1Interval: Interval;
    /** Answers. */
    count: number;
}

export interface ChatScore extends AnswerScore {
    /** By how much the exact match and the F1 are better than the model's, example by example. */
    gain: Estimate | undefined;
    f1Gain: Estimate | undefined;
    /** Empty unless rows name their subject. */
    bySubject: BySubject<AnswerScore>;
}

/** What was said, white space around it left out. */
export interface Said {
    model: string;
    rtd: string;
}

interface AfterExamples {
    count: number;
    /** Of a prompt with the examples in it, on average. */
    promptTokens: number;
    model: ChatScore;
    rtd: ChatScore;
    /** What was said to each question in turn. */
    answers: Said[];
}

export interface ChatFigures extends Cost {
    model: ChatScore;
    rtd: ChatScore;
    /** With in-context examples, for each draw of them. The store's keys were recorded without. */
    shots: (AfterExamples & { seed: number })[];
    /** With retrieved context; undefined if it was not asked for. */
    retrieved: AfterExamples | undefined;
    answers: ({ question: string; expected: string } & Said)[];
}

/** Tokens beyond the expected answer's that an answer may have: for a sentence that says the question again before it answers. */
const surplus = 32;

export async function evaluateChat(
    options: EvaluateOptions & Pick<RunOptions, "cache" | "layer">,
    passages: readonly Passage[],
    fusion: Fusion,
    { draws, retrieve }: InContext,
): Promise<ChatFigures> {
    const { store, model } = options;
    const expected = passages.map(({ values }) => model.detokenize(values.slice(0, -1)).trim());
    const said = await answersTo(options, passages, fusion);
    const [alone, merged] = [said.map(({ model }) => model), said.map(({ rtd }) => rtd)];
    const score = (answers: string[], against?: string[]) => scoreOf(passages, expected, answers, against);
    const afterExamples = async ({ count, passages }: Shown): Promise<AfterExamples> => {
        const answers = await answersTo(options, passages, fusion);
        const [model, rtd] = [answers.map(({ model }) => model), answers.map(({ rtd }) => rtd)];
        const tokens = promptTokens(passages);
        return { count, promptTokens: tokens, model: score(model, alone), rtd: score(rtd, alone), answers };
    };
    const shots: ChatFigures["shots"] = [];
    for (const draw of draws) shots.push({ ...(await afterExamples(draw)), seed: draw.seed });
    const retrieved = retrieve && (await afterExamples(await retrieve(await promptEnds(options, passages))));
    return {
        model: score(alone),
        rtd: score(merged, alone),
        shots,
        retrieved,
        ...costOf(store, passages),
        answers: passages.map(({ question = "" }, i) => {
            return { question, expected: expected[i] as string, ...(said[i] as Said) };
        }),
    };
}

/** The states at the prompts' ends, [passages, dim]. */
async function promptEnds(
    options: EvaluateOptions & Pick<RunOptions, "cache" | "layer">,
    passages: readonly Passage[],
): Promise<Float32Array> {
    const prompts = passages.map((passage): Passage => {
        const { tokens, from, values } = passage;
        return { ...passage, tokens: tokens.slice(0, from + 1), values: values.slice(0, 1) };
    });
    return (await runModel(prompts, { ...options, unit: "examples" })).hidden;
}

async function answersTo(
    { store, model, maxTokens, lora, threads, signal, onProgress }: EvaluateOptions,
    passages: readonly Passage[],
    fusion: Fusion,
): Promise<Said[]> {
    const longest = maxTokens ?? surplus + Math.max(...passages.map(({ values }) => values.length));
    const contextSize = longestPassage(model, passages) + longest;
    const context = await createContext(model, { contextSize, threads, lora });
    const answers: Said[] = [];
    try {
        const attachment = await attach(context, store, fusion);
        const sequence = context.getSequence();
        for (const [done, { tokens, from, values }] of passages.entries()) {
            signal?.throwIfAborted();
            onProgress?.({ done, total: passages.length, unit: "answers" });
            const prompt = tokens.slice(0, from + 1);
            const answer = async (): Promise<string> => {
                const said = await greedyAnswer(model, sequence, prompt, maxTokens ?? values.length + surplus);
                return model.detokenize(said).trim();
            };
            attachment.off();
            const alone = await answer();
            attachment.on();
            answers.push({ model: alone, rtd: await answer() });
        }
        onProgress?.({ done: passages.length, total: passages.length, unit: "answers" });
        attachment.detach();
    } finally {
        await context.dispose();
    }
    return answers;
}

/** The most probable continuation, up to the end of turn or `maxTokens`. */
async function greedyAnswer(
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

/** Answers to the passages, and those that a gain is over. */
export function scoreOf(
    passages: readonly Passage[],
    expected: readonly string[],
    answers: readonly string[],
    against?: readonly string[],
): ChatScore {
    const units = unitsOf(passages.map(({ example }) => example));
    const [isRight, f1] = measured(answers, expected);
    const other = against && measured(against, expected);
    const figures = (rows: readonly number[]): AnswerScore => {
        const some = (values: Float64Array) => Float64Array.from(rows, (row) => values[row] as number);
        const unitsOfRows = unitsOf(rows.map((row) => units[row]));
        const [match, overlap] = [meanEstimate(some(isRight), unitsOfRows), meanEstimate(some(f1), unitsOfRows)];
        return {
            exactMatch: match.value,
            interval: match.interval,
            f1: overlap.value,
            f1Interval: overlap.interval,
            count: rows.length,
        };
    };
    return {
        ...figures([...passages.keys()]),
        gain: other && differenceEstimate(isRight, other[0], units),
        f1Gain: other && differenceEstimate(f1, other[1], units),
        bySubject: bySubject(passages, figures),
    };
}

/** Exact match and F1 of each answer. */
function measured(answers: readonly string[], expected: readonly string[]): [Float64Array, Float64Array] {
    return [
        Float64Array.from(answers, (answer, i) => (exactMatch(answer, expected[i] as string) ? 1 : 0)),
        Float64Array.from(answers, (answer, i) => tokenF1(answer, expected[i] as string)),
    ];
}
