import { expectFunction, expectSignal } from "./arguments.js";
import { RtdError } from "./errors.js";
import { native, type Plain, type Task } from "./native.js";
import type { FloatArray, KeyArray, SealOptions } from "./types.js";

let lastTask: Task = 0;

/** Calls in progress by the signal that ends them: one listener serves all, since runtimes warn of more than ten. */
const watched = new WeakMap<AbortSignal, Set<Task>>();

function tasksOf(signal: AbortSignal): Set<Task> {
    const known = watched.get(signal);
    if (known !== undefined) return known;
    const tasks = new Set<Task>();
    watched.set(signal, tasks);
    signal.addEventListener("abort", () => tasks.forEach((task) => native().cancel(task)), { once: true });
    return tasks;
}

/**
 * Starts a call of the addon that ends when `signal` fires. The call is started before this function returns, so what it copies of its
 * arguments is what they held then.
 */
export async function cancellable<T>(signal: AbortSignal | undefined, start: (task: Task) => Promise<T>): Promise<T> {
    expectSignal(signal);
    if (signal === undefined) return start(0);
    signal.throwIfAborted();
    const task = ++lastTask;
    const tasks = tasksOf(signal).add(task);
    try {
        return await start(task);
    } catch (error) {
        if (error instanceof RtdError && error.code === "ERR_RTD_CANCELLED") throw signal.reason;
        throw error;
    } finally {
        tasks.delete(task);
    }
}

const reportEvery = 100; // ms

/** As {@link cancellable}, and says how much of the call is done: shares that rise, the last one 1. */
export async function observed<T>(
    options: Omit<SealOptions, "threads"> | undefined,
    start: (task: Task) => Promise<T>,
): Promise<T> {
    const { signal, onProgress } = options ?? {};
    if (onProgress === undefined) return cancellable(signal, start);
    expectFunction(onProgress, "onProgress");
    let timer: NodeJS.Timeout | undefined;
    try {
        const result = await cancellable(signal ?? new AbortController().signal, (task) => {
            let known = 0;
            const started = start(task);
            timer = setInterval(() => {
                const share = native().progressOf(task);
                if (share > known && share < 1) onProgress((known = share));
            }, reportEvery);
            return started;
        });
        onProgress(1);
        return result;
    } finally {
        clearInterval(timer);
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
