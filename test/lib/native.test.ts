import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterEach, expect, test, vi } from "vitest";

import { packageRoot } from "../../lib/package-root.js";

afterEach(() => vi.unstubAllEnvs());

/** The package, loaded anew with RTD_ADDON set, and what its first use of the addon throws. */
async function failure(addon: string): Promise<{ code: string; message: string }> {
    vi.stubEnv("RTD_ADDON", addon);
    vi.resetModules();
    const { createIndex } = await import("../../lib/index.js");
    try {
        createIndex({ dim: 4 });
    } catch (error) {
        return error as { code: string; message: string };
    }
    throw new Error("the addon was loaded");
}

test("without its addon the package can be imported, and says at the first use what to do", async () => {
    const { code, message } = await failure("/nowhere/node_rtd.node");
    expect(code).toBe("ERR_RTD_ADDON");
    expect(message).toContain(`cannot be loaded on ${process.platform}-${process.arch}`);
    expect(message).toContain("RTD_ADDON=/nowhere/node_rtd.node: not there");
    expect(message).toContain("unset it, or correct it");
    expect(message).toContain("npx rtd-build");
    expect(message).toContain("npm run build");
});

test("a relative RTD_ADDON is found from the working directory", async () => {
    vi.stubEnv("RTD_ADDON", relative(process.cwd(), join(packageRoot, "build/Release/node_rtd.node")));
    vi.resetModules();
    const { createIndex } = await import("../../lib/index.js");
    expect(createIndex({ dim: 4 }).size).toBe(0);
});

test("what is not called .node is not run", async () => {
    const folder = await mkdtemp(join(tmpdir(), "rtd-"));
    const file = join(folder, "addon.js");
    await writeFile(file, "globalThis.wasRun = true; exports.setErrorClass = () => {};");
    const { code, message } = await failure(file);
    await rm(folder, { recursive: true });
    expect(code).toBe("ERR_RTD_ADDON");
    expect(message).toContain(`RTD_ADDON=${file}: expected a file that is called *.node`);
    expect(globalThis).not.toHaveProperty("wasRun");
});

test("a file that is no addon is named with what is wrong with it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "rtd-"));
    const file = join(folder, "node_rtd.node");
    await writeFile(file, "not a library, but long enough to hold the header of one if it were one");
    const { code, message } = await failure(file);
    await rm(folder, { recursive: true });
    expect(code).toBe("ERR_RTD_ADDON");
    expect(message).toMatch(/node_rtd\.node: .*invalid ELF header/);
    expect(message).toContain("for another processor");
});
