/** What the recipes make of rows: runs of tokens for the model to read, and which of their positions become keys. */
import { RtdError } from "../errors.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";

/** In-context examples, rows that stand answered before the `nth` passage of an example, in the order in which they are read. */
export type Shots<R> = (example: number, nth: number) => readonly R[];

export interface Passage {
    /** All that the model reads, from an empty context. */
    tokens: Token[];
    /** The first position whose hidden state is a key; all later ones are keys too. */
    from: number;
    /** The token that follows each key: `tokens.length - from` of them. */
    values: Token[];
    /** Number of the row it comes from, within its cut. */
    example: number;
    /** What the store keeps as the first key's position; the others count on from it. Later passages of an example have greater ones. */
    position: number;
    /** "file:line", for messages. */
    origin: string;
    /** The positions [begin, end) whose states' mean is the key, in place of the state at `from`, which is then the last position. */
    pooled?: { begin: number; end: number };
    /** The row's, if it has one. */
    subject?: string;
    /** Label passages: how many of the labels, from the first on, may be the answer. */
    openLabels?: number;
    /** Label passages of questions: by how many places the options have moved on. */
    rotation?: number;
    /** Chat passages: what the answer answers to, in words. */
    question?: string;
}

/** The tokens of `text` as they come after `before`: a tokenizer may join or space them in another way than alone. */
export function tokenizeAfter(model: LlamaModel, before: string, text: string): Token[] {
    const prefix = model.tokenize(before);
    const joined = model.tokenize(before + text);
    return prefix.every((token, i) => token === joined[i]) ? joined.slice(prefix.length) : model.tokenize(text);
}

/** Puts the model's beginning-of-sequence token before the tokens if it wants one. */
export function withBos(model: LlamaModel, tokens: readonly Token[]): Token[] {
    const { bos, shouldPrependBosToken } = model.tokens;
    return shouldPrependBosToken && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : [...tokens];
}

/** The token that ends an answer where no chat template says so. */
export function endOfTurn(model: LlamaModel): Token {
    const token = model.tokens.eos ?? model.tokens.eot;
    if (token === null)
        throw new RtdError("ERR_RTD_UNSUPPORTED", "the model names no end-of-turn token, which chat datastores need");
    return token;
}

/** The longest passage's length; one that the model's context cannot hold is an error. */
export function longestPassage(model: LlamaModel, passages: readonly Passage[]): number {
    let longest = 0;
    for (const { tokens, origin } of passages) {
        if (tokens.length > model.trainContextSize)
            throw new RtdError(
                "ERR_RTD_INVALID_ARGUMENT",
                `${origin}: ${tokens.length} tokens do not fit the model's context of ${model.trainContextSize}; shorten the row`,
            );
        longest = Math.max(longest, tokens.length);
    }
    return longest;
}
