/** The command in a process of its own, whose output goes nowhere. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

import { packageRoot } from "../../lib/package-root.js";

const main = path.join(packageRoot, "dist/lib/cli/main.js");

/** Runs a shell's line in which $RTD is the command. */
function shell(line: string) {
    const RTD = `${process.execPath} ${main}`;
    const { stdout, stderr } = spawnSync("bash", ["-c", line], { env: { ...process.env, RTD }, encoding: "utf8" });
    return { stdout, stderr };
}

describe.runIf(process.platform !== "win32")("output", () => {
    it("that nobody reads any more ends the command quietly, as SIGPIPE would", () => {
        expect(shell("$RTD help build | true; echo ${PIPESTATUS[0]}")).toEqual({ stdout: "141\n", stderr: "" });
        expect(shell("$RTD info nowhere.rtd 2>&1 >/dev/null | true; echo ${PIPESTATUS[0]}")).toEqual({
            stdout: "141\n",
            stderr: "",
        });
    });

    it.runIf(existsSync("/dev/full"))("that finds no room is said in one line", () => {
        const { stdout, stderr } = shell("$RTD help build > /dev/full; echo $?");
        expect(stdout).toBe("1\n");
        expect(stderr).toMatch(/^rtd: the output cannot be written \(ENOSPC: no space left on device, write\)\n$/);
        expect(shell("$RTD info nowhere.rtd 2> /dev/full; echo $?")).toEqual({ stdout: "1\n", stderr: "" });
    });
});
