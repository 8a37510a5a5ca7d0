import { exitCodes, Interrupted } from "./exit.js";

/**
 * Runs a command under a signal that Ctrl-C (or a polite kill) aborts, so that it can stop at a good place. The second time the process ends
 * at once: a store stays as it was when last sealed.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>, hint = "interrupted"): Promise<T> {
    const controller = new AbortController();
    const onSignal = () => {
        if (controller.signal.aborted) process.exit(exitCodes.interrupted);
        process.stderr.write("\nstopping; once more to stop at once\n");
        controller.abort(new Interrupted(hint));
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
    try {
        return await work(controller.signal);
    } finally {
        process.off("SIGINT", onSignal);
        process.off("SIGTERM", onSignal);
    }
}
