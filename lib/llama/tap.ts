import { RtdError } from "../errors.js";
import { native, type HandleNumber, type Native } from "../native.js";
import type { LlamaContext, LlamaContextSequence } from "../node-llama-cpp.js";
import type { Decision, RuleRow, Step } from "./attach.js";
import type { AttachmentStats } from "./attachment.js";

/** Options of rows as the addon reads them. */
export type RowSettings = Record<string, unknown>;

/** The addon's exports for llama.cpp (`cpp/napi/llama_binding.cpp`). `ask` must ask the context for its threads: so the addon learns which it is. */
export interface TapNative {
    llamaAttach(
        ask: () => void,
        index: HandleNumber,
        threads: number | undefined,
        common: RowSettings,
        own: [number, RowSettings][],
        ruled: boolean,
        layer: string | undefined,
    ): HandleNumber;
    llamaSetOptions(attachment: HandleNumber, common: RowSettings, own: [number, RowSettings][]): void;
    llamaStats(attachment: HandleNumber): AttachmentStats;
    llamaTakeFailure(attachment: HandleNumber): RtdError | undefined;
    llamaDecide(attachment: HandleNumber, rule: (row: RuleRow) => Decision | undefined): void;
    llamaListen(attachment: HandleNumber, on: boolean): void;
    llamaTakeSteps(attachment: HandleNumber, limit: number): Step[];
    llamaOpenRecorder(ask: () => void): { recorder: HandleNumber; embeddingSize: number; vocabulary: number };
    llamaBeginRecording(
        recorder: HandleNumber,
        sequence: number,
        first: number,
        count: number,
        logitRows: number,
        layer: string | undefined,
    ): void;
    llamaEndRecording(
        recorder: HandleNumber,
    ): { failure?: RtdError; complete: boolean; hidden: Float32Array; logits?: Float32Array } | undefined;
    llamaRearm(): boolean;
    llamaUsers(): number;
    llamaReleases(): string[];
}

/** The addon, as built with the tap. */
export function tap(): TapNative {
    const addon = native() as Native & Partial<TapNative>;
    if (addon.llamaAttach === undefined)
        throw new RtdError("ERR_RTD_UNSUPPORTED", "this build of node-rtd's addon has no tap into llama.cpp");
    return addon as Native & TapNative;
}

/** The part of node-llama-cpp's native context that is relied on beyond its public interface. */
export interface NativeContext {
    decodeBatch(): Promise<void>;
}

/** The native object of a context, or a clear error for what is no living context of node-llama-cpp. */
export function nativeContextOf(context: LlamaContext): NativeContext {
    if (typeof context !== "object" || context === null || !("currentThreads" in context) || !("getSequence" in context)) {
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            "context: expected a LlamaContext of node-llama-cpp (model.createContext())",
        );
    }
    if (context.disposed) throw new RtdError("ERR_RTD_CLOSED", "the context is disposed; attach to one that is alive");
    const inner = (context as unknown as { _ctx?: Partial<NativeContext> })._ctx;
    if (typeof inner?.decodeBatch !== "function") {
        throw new RtdError(
            "ERR_RTD_UNSUPPORTED",
            "this version of node-llama-cpp keeps its native context where the tap does not find it; supported is 3.22",
        );
    }
    return inner as NativeContext;
}

/**
 * Has every decode of a context go through `around`, which is given the call as it was.
 * @returns what undoes it. If somebody else has put a function of their own over it since, it stays and passes the calls on.
 */
export function wrapDecode(context: NativeContext, around: (decode: () => Promise<void>) => Promise<void>): () => void {
    const present = Object.getOwnPropertyDescriptor(context, "decodeBatch");
    const decode = context.decodeBatch.bind(context);
    let active = true;
    const wrapped = () => (active ? around(decode) : decode());
    // Defined and not assigned: the class's own method is read-only.
    Object.defineProperty(context, "decodeBatch", { value: wrapped, writable: true, enumerable: false, configurable: true });
    return () => {
        active = false;
        if (context.decodeBatch !== wrapped) return;
        if (present === undefined) delete (context as Partial<NativeContext>).decodeBatch;
        else Object.defineProperty(context, "decodeBatch", present);
    };
}

/** llama.cpp's number of a sequence. Numbers are given again once a sequence is disposed. */
export function sequenceNumber(sequence: LlamaContextSequence): number {
    const number = (sequence as unknown as { _sequenceId?: unknown })._sequenceId;
    if (typeof number !== "number")
        throw new RtdError("ERR_RTD_INVALID_ARGUMENT", "sequence: expected a LlamaContextSequence of node-llama-cpp");
    return number;
}
