import { describe, expectFlag, expectObject, expectSignal, invalid } from "../arguments.js";
import { RtdError } from "../errors.js";
import { asyncDispose, Handle } from "../handle.js";
import type { LlamaContext, LlamaContextSequence, Token } from "../node-llama-cpp.js";
import { expectOptions } from "../option-names.js";
import { layerName, type Layer } from "./layer.js";
import { nativeContextOf, sequenceNumber, tap } from "./tap.js";

export interface RecorderOptions {
    /** Whose states are recorded. Default: those after the last norm. */
    layer?: Layer | undefined;
}

export interface RecordOptions {
    /** The first position whose state is wanted; tokens before it are only context. Default 0. */
    from?: number | undefined;
    /** Whether the logits are wanted too: of every row, or of the last one. Then the whole model runs; without, it ends after the states. Default false. */
    logits?: boolean | "last" | undefined;
    /**
     * Whether what this text has in common with the one before, up to `from`, is kept and not evaluated again: faster for prompts that begin alike. Batches
     * are then cut elsewhere, so the result may differ by rounding. Default false.
     */
    reuseBeginning?: boolean | undefined;
    /** Ends the recording between two batches; it then rejects with the signal's reason. */
    signal?: AbortSignal | undefined;
}

export interface Recorded {
    /** [tokens - from, embeddingSize]: row i is the state after the token at position from + i. */
    hidden: Float32Array;
    /** [tokens - from, vocabulary], or [1, vocabulary] of the last row alone; the model's own */
    logits?: Float32Array;
}

/** llama.cpp keeps room for the logits of every row it is asked for, whether they are computed or not. */
const maxLogitBytes = 256 * 2 ** 20;

/**
 * Takes hidden states of texts on a context, over and over. It holds one of the context's sequences; the others may be used meanwhile, and the context
 * may be attached to. Made by {@link createRecorder}.
 */
export class Recorder implements AsyncDisposable {
    /** Numbers in a hidden state. */
    readonly embeddingSize: number;
    /** Logits in a row. */
    readonly vocabulary: number;
    /** The context it records on. */
    readonly context: LlamaContext;
    readonly #handle: Handle;
    readonly #layer: string | undefined;
    /** Whether the model was ended early on what the sequence holds: then later layers know nothing of it. */
    #isPartial = false;
    #sequence: LlamaContextSequence;
    #last: Promise<unknown> = Promise.resolve();

    /** @internal Use {@link createRecorder}. */
    constructor(context: LlamaContext, { layer }: RecorderOptions = {}) {
        this.#layer = layerName(layer);
        nativeContextOf(context);
        if (context.sequencesLeft === 0) {
            throw new RtdError(
                "ERR_RTD_INVALID_ARGUMENT",
                "all sequences of this context are in use; create it with one more for the recorder",
            );
        }
        this.context = context;
        const { recorder, embeddingSize, vocabulary } = tap().llamaOpenRecorder(() => context.currentThreads);
        this.#handle = new Handle(recorder);
        this.embeddingSize = embeddingSize;
        this.vocabulary = vocabulary;
        this.#sequence = context.getSequence();
    }

    /**
     * Evaluates tokens from an empty sequence, or after what is reused of it, and returns their hidden states. Calls wait for each other.
     * @throws RtdError `ERR_RTD_INVALID_ARGUMENT` (no tokens, more than the context holds, or not integers), `ERR_RTD_TOKEN_RANGE` (one that the
     * model does not have), `ERR_RTD_INVALID_ARGUMENT` (no layer of that name; the message says some that there are), `ERR_RTD_UNSUPPORTED`,
     * `ERR_RTD_CLOSED`
     */
    async record(tokens: readonly Token[], options: RecordOptions & { logits: true | "last" }): Promise<Required<Recorded>>;
    async record(tokens: readonly Token[], options?: RecordOptions): Promise<Recorded>;
    async record(tokens: readonly Token[], options: RecordOptions = {}): Promise<Recorded> {
        expectOptions(options, "record");
        const { from = 0, logits, reuseBeginning, signal } = options;
        if (logits !== "last") expectFlag(logits, "logits");
        expectFlag(reuseBeginning, "reuseBeginning");
        expectSignal(signal);
        const copy = this.#checked(tokens); // what was asked for, whatever becomes of the array while waiting
        if (!Number.isInteger(from) || from < 0 || from >= copy.length)
            invalid(`from: expected a position from 0 to ${copy.length - 1}, got ${describe(from)}`);
        const recorded = this.#last.then(() => this.#record(copy, from, { logits, reuseBeginning, signal }));
        this.#last = recorded.catch(() => undefined);
        return recorded;
    }

    /** Gives the sequence back to the context, once recordings in progress have ended. More than once is fine. */
    async dispose(): Promise<void> {
        await this.#last;
        this.#handle.release();
        if (!this.#sequence.disposed) await this.#sequence.dispose();
    }

    async [asyncDispose](): Promise<void> {
        await this.dispose();
    }

    /** llama.cpp refuses a token it does not have without a word of it, and node-llama-cpp makes a number of whatever is given. */
    #checked(tokens: unknown): Token[] {
        if (!Array.isArray(tokens))
            return invalid(`tokens: expected an array of tokens (model.tokenize(text)), got ${describe(tokens)}`);
        const most = this.context.contextSize - 1;
        if (tokens.length === 0 || tokens.length > most)
            invalid(`tokens: expected 1 to ${most} (this context's size less one), got ${tokens.length}`);
        return Array.from(tokens, (token: unknown, i) => {
            if (!Number.isInteger(token)) invalid(`tokens[${i}]: expected an integer, got ${describe(token)}`);
            if ((token as number) < 0 || (token as number) >= this.vocabulary)
                throw new RtdError(
                    "ERR_RTD_TOKEN_RANGE",
                    `tokens[${i}] is ${token as number}; this model's tokens are 0 to ${this.vocabulary - 1}: tokenize with the model of this context`,
                );
            return token as Token;
        });
    }

    async #record(tokens: readonly Token[], from: number, options: RecordOptions): Promise<Recorded> {
        const { logits = false, reuseBeginning = false, signal } = options;
        signal?.throwIfAborted();
        if (this.context.disposed) throw new RtdError("ERR_RTD_CLOSED", "the recorder's context is disposed");
        if (this.#handle.number === 0) throw new RtdError("ERR_RTD_CLOSED", "the recorder was disposed");
        const isPartial = this.#layer !== undefined && logits === false;
        if (reuseBeginning && (isPartial || !this.#isPartial))
            await this.#sequence.adaptStateToTokens(tokens.slice(0, from), false);
        else await this.#sequence.clearHistory();
        this.#isPartial = isPartial;
        const begin = this.#sequence.nextTokenIndex;
        const count = tokens.length - from;
        const logitRows = logits === "last" ? 1 : logits ? count : 0;
        tap().llamaBeginRecording(this.#handle.number, sequenceNumber(this.#sequence), from, count, logitRows, this.#layer);
        try {
            for (const [start, end] of this.#batches(begin, from, tokens.length)) {
                signal?.throwIfAborted();
                await this.#sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(start, end));
            }
        } catch (cause) {
            const failure = this.#end().failure;
            await this.#renewSequence();
            throw failure === undefined ? cause : new RtdError(failure.code, failure.message, { cause });
        }
        const { failure, complete, ...result } = this.#end();
        if (failure !== undefined) throw failure;
        if (!complete)
            throw new RtdError("ERR_RTD_INTERNAL", "llama.cpp evaluated the tokens, but not all hidden states were seen");
        return result;
    }

    #end() {
        const recorded = tap().llamaEndRecording(this.#handle.number);
        if (recorded === undefined) throw new RtdError("ERR_RTD_CLOSED", "the recorder was disposed");
        return recorded;
    }

    /** Parts of the text so short that llama.cpp's room for their logits stays within bounds, and as equal as can be: short batches are slow. */
    *#batches(begin: number, from: number, length: number): Iterable<[number, number]> {
        const most = Math.max(1, Math.floor(maxLogitBytes / (4 * this.vocabulary)));
        const count = Math.ceil((length - from) / most);
        for (let part = 0; part < count; part++) {
            const cut = (i: number) => from + Math.round((i * (length - from)) / count);
            yield [part === 0 ? begin : cut(part), cut(part + 1)];
        }
    }

    /** After a failure a sequence may hold tokens that node-llama-cpp does not know of. */
    async #renewSequence(): Promise<void> {
        if (this.context.disposed) return;
        await this.#sequence.dispose();
        this.#sequence = this.context.getSequence();
    }
}

/** Makes a recorder; see {@link Recorder}. @throws RtdError as `attach`, `ERR_RTD_EXISTS` for a second recorder on one context */
export async function createRecorder(context: LlamaContext, options: RecorderOptions = {}): Promise<Recorder> {
    await Promise.resolve(); // as `attach`: errors are rejections
    expectOptions(options, "recorder");
    return new Recorder(context, options);
}

/** Records one text on a context and leaves it as it was: hidden states [tokens - from, embeddingSize]. */
export async function record(
    context: LlamaContext,
    tokens: readonly Token[],
    options: Omit<RecordOptions, "logits"> & RecorderOptions = {},
): Promise<Float32Array> {
    expectObject(options, "options");
    const { layer, ...given } = options;
    const recorder = await createRecorder(context, { layer });
    try {
        return (await recorder.record(tokens, { ...given, logits: false })).hidden;
    } finally {
        await recorder.dispose();
    }
}
