import { RtdError } from "./errors.js";
import { native, type Plain, type Task } from "./native.js";
import type { FloatArray, KeyArray } from "./types.js";

let tasks: Task = 0;

/**
 * Starts a call of the addon that ends when `signal` fires. The call is started before this function returns, so what it copies of its
 * arguments is what they held then.
 */
export async function cancellable<T>(signal: AbortSignal | undefined, start: (task: Task) => Promise<T>): Promise<T> {
    if (signal === undefined) return start(0);
    if (!(signal instanceof AbortSignal)) throw new RtdError("ERR_RTD_INVALID_ARGUMENT", "signal: expected an AbortSignal");
    signal.throwIfAborted();
    const task = ++tasks;
    const cancel = (): void => native().cancel(task);
    signal.addEventListener("abort", cancel, { once: true });
    try {
        return await start(task);
    } catch (error) {
        if (error instanceof RtdError && error.code === "ERR_RTD_CANCELLED") throw signal.reason;
        throw error;
    } finally {
        signal.removeEventListener("abort", cancel);
    }
}

function isFloat16(array: unknown): boolean {
    return ArrayBuffer.isView(array) && (array as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === "Float16Array";
}

/** A `Float16Array` as the bits of its numbers, over the same memory: Node-API 8 does not know it. Others are as they are. */
export function plain(array: FloatArray | KeyArray): Plain {
    if (!isFloat16(array)) return array as Plain;
    try {
        return new Uint16Array(array.buffer, array.byteOffset, array.length);
    } catch (cause) {
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            "the buffer of a Float16Array was detached (transferred or posted to another thread)",
            { cause },
        );
    }
}

/** Says that 16-bit keys are float16 whatever the index keeps. */
export function bitsOf(keys: KeyArray): "f16" | undefined {
    return isFloat16(keys) ? "f16" : undefined;
}
