import { vi } from "vitest";

import { runProgram } from "../../lib/cli/program.js";

export interface Outcome {
    code: number;
    stdout: string;
    stderr: string;
}

/** Runs a command line in this process and keeps what it prints. */
export async function rtd(...args: string[]): Promise<Outcome> {
    const outcome = { code: 0, stdout: "", stderr: "" };
    const keep = (stream: "stdout" | "stderr") => (text: string | Uint8Array) => {
        outcome[stream] += String(text);
        return true;
    };
    const spies = [
        vi.spyOn(process.stdout, "write").mockImplementation(keep("stdout")),
        vi.spyOn(process.stderr, "write").mockImplementation(keep("stderr")),
    ];
    try {
        outcome.code = await runProgram(args);
    } finally {
        for (const spy of spies) spy.mockRestore();
    }
    return outcome;
}
