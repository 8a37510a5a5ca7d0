/** Generation with a reference, and for each token the entries of the store that voted for it. */
import { invalid } from "../arguments.js";
import type { Datastore } from "../datastore.js";
import { attach, type Step } from "../llama/attach.js";
import type { LoraAdapter } from "../llama/lora.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import { createContext } from "../recipes/model.js";
import { References, type ReferenceText } from "../recipes/references.js";
import { readable, TokenStream } from "../recipes/token-text.js";
import type { Fusion } from "./options.js";
import { votesFor } from "./votes.js";

export interface GenerateOptions {
    model: LlamaModel;
    store: Datastore;
    fusion: Fusion;
    prompt: Token[];
    maxTokens: number;
    /** Of the model's sampler; 0, the default, takes the most probable token. */
    samplingTemperature?: number | undefined;
    /** Look up the references of each token. */
    references?: boolean | undefined;
    /** As of `attach`. */
    matchedBias?: boolean | undefined;
    /** LoRA adapters that the model runs with; those that the store was built with. Default: none. */
    lora?: readonly LoraAdapter[] | undefined;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
    onText?: ((text: string) => void) | undefined;
}

export interface TokenReference extends ReferenceText {
    distance: number;
    /** Of the reference's vote, 0 to 1. */
    share: number;
}

export interface GeneratedToken {
    token: Token;
    /** What it added to the text: whole characters, so that of the tokens of one character the last has all of it. */
    text: string;
    /** The token alone: its text, or its bytes, as `<0xF0>`, where they are not whole characters. */
    piece: string;
    /** The token's part of the reference's vote: r_v. */
    vote: number;
    /** The hits that voted for it, nearest first. Empty if none did, or if they were not asked for. */
    references: TokenReference[];
}

/** @throws RtdError `ERR_RTD_INVALID_ARGUMENT` where the model's context cannot hold the prompt and as many tokens after it */
export async function generate(options: GenerateOptions): Promise<GeneratedToken[]> {
    const {
        model,
        store,
        fusion,
        prompt,
        maxTokens,
        samplingTemperature = 0,
        references = false,
        matchedBias,
        lora,
        threads,
        signal,
        onText,
    } = options;
    if (prompt.length + maxTokens > model.trainContextSize)
        invalid(
            `the prompt's ${prompt.length} tokens and ${maxTokens} more do not fit the model's context of ${model.trainContextSize}; shorten the prompt, or generate fewer`,
        );
    const steps = new StepsByPosition();
    const context = await createContext(model, { contextSize: prompt.length + maxTokens + 1, threads, lora });
    try {
        const attachment = await attach(context, store, {
            ...fusion,
            matchedBias,
            ...(references && { onStep: (step) => steps.add(step) }),
        });
        const stream = new TokenStream(model, prompt);
        const tokens: Pick<GeneratedToken, "token" | "text" | "piece">[] = [];
        for await (const token of context.getSequence().evaluate(prompt, { temperature: samplingTemperature })) {
            signal?.throwIfAborted();
            if (model.isEogToken(token)) break;
            const text = stream.next(token);
            if (text !== "") onText?.(text);
            tokens.push({ token, text, piece: readable(model, [token]) });
            if (tokens.length === maxTokens) break;
        }
        if (!references) return tokens.map((token) => ({ ...token, vote: 0, references: [] }));
        const lookup = new References(store, model);
        const generated: GeneratedToken[] = [];
        for (const [i, token] of tokens.entries()) {
            const step = await steps.at(prompt.length - 1 + i);
            const votes = votesFor(token.token, step, step?.figures.temperature ?? fusion.temperature);
            const described = await lookup.describe(votes.map(({ id }) => id));
            generated.push({
                ...token,
                vote: votes.reduce((sum, { share }) => sum + share, 0),
                references: votes.map(({ distance, share }, j) => ({ ...(described[j] as ReferenceText), distance, share })),
            });
        }
        attachment.detach();
        return generated;
    } finally {
        await context.dispose();
    }
}

/** Steps arrive in their own time, some after the token they led to. */
class StepsByPosition {
    private readonly steps = new Map<number, Step>();
    private wake: (() => void) | undefined;

    add(step: Step): void {
        this.steps.set(step.position, step);
        this.wake?.();
    }

    /** The step of a position; undefined if it has not come within a second. */
    async at(position: number): Promise<Step | undefined> {
        const deadline = performance.now() + 1000;
        while (!this.steps.has(position) && performance.now() < deadline)
            await new Promise<void>((resolve) => {
                const timer = setTimeout(resolve, 50);
                this.wake = () => {
                    clearTimeout(timer);
                    resolve();
                };
            });
        return this.steps.get(position);
    }
}
