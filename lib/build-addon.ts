#!/usr/bin/env node
/**
 * rtd-build: builds the addon from the package's own sources, for machines that the shipped binaries do not serve. Arguments go on to cmake-js,
 * which is taken from the installation or, where there is none, through npx.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { packageRoot } from "./package-root.js";

const installed = createRequire(join(packageRoot, "package.json"));

/** The command line of cmake-js, without its arguments. */
function cmakeJs(): string[] {
    try {
        return [process.execPath, installed.resolve("cmake-js/bin/cmake-js")];
    } catch {
        const { devDependencies } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as {
            devDependencies: Record<string, string>;
        };
        return ["npx", "--yes", `cmake-js@${devDependencies["cmake-js"]}`];
    }
}

function run(...step: string[]): number {
    const [command = "", ...words] = cmakeJs();
    const child = spawnSync(command, [...words, ...step, ...process.argv.slice(2)], {
        cwd: packageRoot,
        stdio: "inherit",
        shell: process.platform === "win32", // npx is a script there
    });
    if (child.error) console.error(`${command}: ${child.error.message}`);
    return child.status ?? 1;
}

const status = run("configure") || run("build", "--target", "node_rtd");
console.error(
    status === 0
        ? `rtd-build: built ${join(packageRoot, "build", "Release", "node_rtd.node")}`
        : "rtd-build: failed; it needs cmake 3.24 or newer and a C++20 compiler (on Debian: apt-get install cmake g++)",
);
process.exitCode = status;
