/** The package under other runtimes. Their binaries come as npm packages, some 200 MB: they are installed into build/runtimes when first needed. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const runtimes = join(root, "build/runtimes");
const smoke = join(root, "dist/test/lib/support/smoke.js");

interface Runtime {
    name: string;
    version: string;
    binary: string;
    args: string[];
}

/** Packages that hold a runtime for this platform, what they hold, and how a script is run. */
const others: Record<string, Runtime> = {
    Bun: {
        version: "1.4.5",
        name: `@oven/bun-${process.platform}-${process.arch === "arm64" ? "aarch64" : process.arch}`,
        binary: "bin/bun",
        args: [],
    },
    Deno: {
        version: "2.9.6",
        name: `@deno/${process.platform}-${process.arch}${process.platform === "linux" ? "-glibc" : ""}`,
        binary: "deno",
        args: ["run", "--allow-all"],
    },
};

async function installed({ name, version, binary }: Runtime): Promise<string> {
    const path = join(runtimes, "node_modules", name, binary);
    if (!existsSync(path)) {
        await mkdir(runtimes, { recursive: true });
        const args = ["install", "--prefix", runtimes, "--ignore-scripts", "--no-audit", "--no-fund", `${name}@${version}`];
        await promisify(execFile)("npm", args).catch((cause: unknown) => {
            throw new Error(
                `${name}@${version} could not be installed into build/runtimes, which this test needs; is there a network?`,
                { cause },
            );
        });
    }
    return path;
}

async function passes(command: string, args: readonly string[]): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), "rtd-"));
    try {
        const env = { ...process.env, LD_PRELOAD: "" };
        const { stdout } = await promisify(execFile)(command, [...args, smoke, folder], { env, timeout: 200_000 });
        expect(stdout.trimEnd().split("\n").at(-1)).toBe("all well");
    } finally {
        await rm(folder, { recursive: true });
    }
}

test("Node", async () => passes(process.execPath, []), 300_000);
for (const [name, runtime] of Object.entries(others)) {
    test(name, async () => passes(await installed(runtime), runtime.args), 300_000);
}
