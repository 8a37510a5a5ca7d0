/** Exit codes, and what is said on stderr when a command does not succeed. */
import { CommanderError } from "commander";

export const exitCodes = { ok: 0, failed: 1, usage: 2, interrupted: 130, brokenPipe: 141 } as const;

/** Thrown by a command that has already reported what failed. */
export class Failed extends Error {}

/** Thrown when the user pressed Ctrl-C and the command has come to a clean stop. */
export class Interrupted extends Error {}

/** Reports an error and gives the exit code for it. */
export function report(error: unknown, debug: boolean): number {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (error instanceof Failed) return exitCodes.failed;
    if (error instanceof Interrupted) {
        process.stderr.write(`${error.message}\n`);
        return exitCodes.interrupted;
    }
    const { stack, message } = error instanceof Error ? error : { stack: undefined, message: String(error) };
    process.stderr.write(`rtd: ${debug ? (stack ?? message) : message}\n`);
    return exitCodes.failed;
}

/**
 * Has the process end when what it prints can go nowhere: quietly where the reader has gone (`| head`), as a program that SIGPIPE ends, else with the
 * reason in one line.
 */
export function endWithOutput(): void {
    for (const stream of [process.stdout, process.stderr])
        stream.on("error", (error: NodeJS.ErrnoException) => {
            if (error.code === "EPIPE") process.exit(exitCodes.brokenPipe);
            if (stream === process.stdout) process.stderr.write(`rtd: the output cannot be written (${error.message})\n`);
            process.exit(exitCodes.failed);
        });
}
