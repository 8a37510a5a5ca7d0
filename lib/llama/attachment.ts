import { expectObject, invalid } from "../arguments.js";
import { defined } from "../defined.js";
import { RtdError } from "../errors.js";
import { dispose, Handle } from "../handle.js";
import type { LlamaContext, LlamaContextSequence } from "../node-llama-cpp.js";
import { expectOptions } from "../option-names.js";
import { handleOf, type ReferenceIndex } from "../reference-index.js";
import type { AttachOptions, ReferenceOptions, Rule } from "./attach.js";
import { decisionOf } from "./rule.js";
import { StepDelivery } from "./step-delivery.js";
import { nativeContextOf, sequenceNumber, tap, wrapDecode, type NativeContext, type RowSettings } from "./tap.js";

/** Figures of an attachment since it was made. */
export interface AttachmentStats {
    /** Batches that were decoded. */
    decodes: number;
    /** Rows of logits that were looked at: `merged` + `unchanged` + `unmergeable`. */
    rows: number;
    merged: number;
    /** Rows without a hit, or of weight 0 (these are looked at only for a listener). */
    unchanged: number;
    /** Rows that hold NaN, Infinity or nothing but -Infinity. */
    unmergeable: number;
    /** Decodes that were made to fail, each with an error of its own. */
    failures: number;
    /** Steps that `onStep` was too slow for. */
    droppedSteps: number;
}

interface OwnOptions {
    options: ReferenceOptions;
    /** Forgets them when the sequence is disposed: the next one gets its number. */
    forget: { dispose(): void };
}

/** Options with others over them: a weight takes a gate's place. */
export function overlaid(under: ReferenceOptions, over: ReferenceOptions): ReferenceOptions {
    const given = defined(over);
    const { gate, ...rest } = under;
    return { ...rest, ...(given.referenceWeight === undefined && { gate }), ...given };
}

/** A reference attached to a context. Made by `attach`. */
export class Attachment implements Disposable {
    readonly #context: LlamaContext;
    readonly #inner: NativeContext;
    readonly #handle: Handle;
    readonly #rule: Rule | undefined;
    readonly #delivery: StepDelivery | undefined;
    readonly #restoreDecode: () => void;
    readonly #sequences = new Map<number, OwnOptions>();
    #common: ReferenceOptions;
    #seen = false;
    #finalStats: AttachmentStats | undefined;

    /** @internal Use `attach`. */
    constructor(
        context: LlamaContext,
        index: ReferenceIndex,
        common: ReferenceOptions,
        options: Pick<AttachOptions, "onStep" | "onError" | "rule" | "threads"> & { layer: string | undefined },
    ) {
        this.#context = context;
        this.#inner = nativeContextOf(context);
        this.#common = common;
        this.#handle = new Handle(
            tap().llamaAttach(
                () => context.currentThreads,
                handleOf(index).number,
                options.threads,
                defined(common),
                [],
                options.rule !== undefined,
                options.layer,
            ),
        );
        this.#rule = options.rule;
        if (options.onStep !== undefined) {
            this.#delivery = new StepDelivery(
                (limit) => tap().llamaTakeSteps(this.#handle.number, limit),
                options.onStep,
                options.onError,
            );
            tap().llamaListen(this.#handle.number, true);
        }
        // Decoding comes by here on its way into the addon, so that an error of the tap can be told apart from llama.cpp's. This also keeps the attachment
        // alive for as long as the context is.
        this.#restoreDecode = wrapDecode(this.#inner, (decode) => this.#decode(decode));
        context.onDispose.createListener(() => this.detach());
    }

    /** Whether it is in force: neither detached nor its context disposed. */
    get attached(): boolean {
        return this.#finalStats === undefined;
    }

    /** Changes options from the next decode on; those left out stay as they are. */
    set(options: ReferenceOptions): void {
        expectObject(options, "options");
        expectOptions(options, "reference");
        const common = overlaid(this.#common, options);
        this.#update(common, this.#settings());
        this.#common = common;
    }

    /**
     * Gives a sequence options of its own from the next decode on (what they leave out is as for all), or takes them back with null. They end with
     * the sequence. Tokens that a token predictor has already had evaluated keep what they were evaluated with.
     */
    forSequence(sequence: LlamaContextSequence, options: ReferenceOptions | null): void {
        if ((sequence as Partial<LlamaContextSequence> | null | undefined)?.context !== this.#context)
            invalid("sequence: expected one of the attached context (context.getSequence())");
        if (sequence.disposed) throw new RtdError("ERR_RTD_CLOSED", "the sequence is disposed");
        if (options !== null) {
            expectObject(options, "options");
            expectOptions(options, "reference");
        }
        const number = sequenceNumber(sequence);
        this.#update(this.#common, this.#settings().set(number, options ?? undefined));
        this.#sequences.get(number)?.forget.dispose();
        this.#sequences.delete(number);
        if (options === null) return;
        const forget = sequence.onDispose.createListener(() => {
            this.#sequences.delete(number);
            if (this.attached) this.#update(this.#common, this.#settings());
        });
        this.#sequences.set(number, { options, forget });
    }

    /** Leaves the logits alone until {@link on}; the same as `set({ enabled: false })`. */
    off(): void {
        this.set({ enabled: false });
    }

    on(): void {
        this.set({ enabled: true });
    }

    get stats(): AttachmentStats {
        if (this.#finalStats !== undefined) return { ...this.#finalStats };
        return tap().llamaStats(this.#handle.number);
    }

    /** Ends it: the context decodes as if it had never been attached. More than once is fine. Steps that are waiting are still delivered. */
    detach(): void {
        if (!this.attached) return;
        this.#finalStats = this.stats;
        this.#delivery?.close();
        this.#restoreDecode();
        for (const { forget } of this.#sequences.values()) forget.dispose();
        this.#sequences.clear();
        this.#handle.release();
    }

    [dispose](): void {
        this.detach();
    }

    #settings(): Map<number, ReferenceOptions | undefined> {
        return new Map([...this.#sequences].map(([number, { options }]) => [number, options]));
    }

    #update(common: ReferenceOptions, sequences: Map<number, ReferenceOptions | undefined>): void {
        if (!this.attached)
            throw new RtdError("ERR_RTD_CLOSED", "the attachment was detached, or its context disposed; attach again");
        const own = [...sequences].flatMap<[number, RowSettings]>(([number, options]) =>
            options === undefined ? [] : [[number, defined(overlaid(common, options))]],
        );
        tap().llamaSetOptions(this.#handle.number, defined(common), own);
    }

    async #decode(decode: () => Promise<void>): Promise<void> {
        try {
            await decode();
            if (this.attached && this.#rule !== undefined) this.#decide(this.#rule);
        } catch (cause) {
            const failure = this.attached ? tap().llamaTakeFailure(this.#handle.number) : undefined;
            throw failure === undefined ? cause : new RtdError(failure.code, failure.message, { cause });
        } finally {
            this.#delivery?.deliver();
        }
        if (!this.#seen && this.attached) this.#expectSeen();
    }

    /** Has the rows of the decode merged as the rule says, before anybody goes on to sample from them. */
    #decide(rule: Rule): void {
        tap().llamaDecide(this.#handle.number, (row) => {
            if (!this.attached) return undefined;
            const decision = decisionOf(rule, row);
            return this.attached ? decision : undefined;
        });
    }

    /** Another thread that was making its very first decode may have put the addon's call back as it was; better an error than silence. */
    #expectSeen(): void {
        this.#seen = tap().llamaStats(this.#handle.number).decodes > 0;
        if (this.#seen) return;
        tap().llamaRearm();
        throw new RtdError(
            "ERR_RTD_UNSUPPORTED",
            "llama.cpp decoded past the tap; its calls have been redirected once more: evaluate again",
        );
    }
}
