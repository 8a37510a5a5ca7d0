/** The kernels, compiled for every architecture of their families by the toolchain in build/cuda, and what came of it. */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { codesOf, instructionOf, scanLoop, usages, type Codes, type Instruction, type Loop, type Usage } from "./sass.js";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** As cuda/instantiations.h. */
export const families = { large: [80, 87, 90, 100, 103, 110], medium: [86, 88, 89, 120, 121], small: [75] } as const;
export type Family = keyof typeof families;

export interface Kernel extends Usage {
    family: Family;
    sm: number;
    key: "f32" | "f16" | "bf16";
    metric: "l2" | "dot";
    /** Of one pass over the keys. */
    queries: number;
    loop: Loop;
    codes: Codes;
}

export const nameOf = (kernel: Pick<Kernel, "key" | "metric" | "queries">): string =>
    `${kernel.key} ${kernel.metric} Q=${String(kernel.queries)}`;

/** The folder with bin/nvcc that `npm run kernel:toolchain` fills. */
export function findToolkit(): string | undefined {
    const lib = join(root, "build/cuda/lib");
    const pythons = existsSync(lib) ? readdirSync(lib) : [];
    return pythons
        .map((python) => join(lib, python, "site-packages/nvidia/cu13"))
        .find((path) => existsSync(join(path, "bin/nvcc")));
}

function identityOf(mangled: string): Pick<Kernel, "key" | "metric" | "queries"> {
    const found = /6ConfigI(f|NS\d*_4HalfE|NS\d*_5BrainE)Lb([01])ELi(\d+)E/.exec(mangled);
    if (!found) throw new Error(`a kernel of an unknown name: ${mangled}`);
    const key = found[1] === "f" ? "f32" : found[1]!.includes("Half") ? "f16" : "bf16";
    return { key, metric: found[2] === "1" ? "dot" : "l2", queries: Number(found[3]) };
}

const options = ["-std=c++20", "-O3", "-Werror=all-warnings", "-Xptxas=-v", "-cubin"];

/** A hash of all that the cubins depend on. Comments are no part of it. */
export function hashSources(family: Family, toolkit: string): string {
    const hash = createHash("sha256").update(options.join(" "));
    const headers = readdirSync(join(root, "cuda")).filter((file) => /\.(cuh|h)$/.test(file));
    const shared = ["canonical.h", "bounds.h", "dtype.h"].map((file) => `../cpp/core/${file}`);
    for (const file of [...headers.sort(), `search_fuse_${family}.cu`, ...shared, "../cpp/cascade/rounding.h"])
        hash.update(readFileSync(join(root, "cuda", file), "utf8").replaceAll(/\/\/.*$|\/\*[^]*?\*\//gm, ""));
    const version = spawnSync(join(toolkit, "bin/nvcc"), ["--version"]).stdout;
    return hash.update(version).digest("hex").slice(0, 16);
}

/** Runs a program, handing on what it prints, and returns what it said on stderr; an error with all of that if it fails. */
async function runProgram(program: string, args: string[], onLine: (line: string) => void): Promise<string> {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    const closed = new Promise<number | null>((resolve, reject) => child.on("close", resolve).on("error", reject));
    for await (const line of createInterface(child.stdout)) onLine(line);
    if ((await closed) !== 0) throw new Error(`${program} ${args.join(" ")}\n${errors}`);
    return errors;
}

/** Of each kernel, by its mangled name. */
async function loopsOf(toolkit: string, cubin: string): Promise<Map<string, Pick<Kernel, "loop" | "codes">>> {
    const loops = new Map<string, Pick<Kernel, "loop" | "codes">>();
    let kernel = "";
    let instructions: Instruction[] = [];
    const close = (): void => {
        if (kernel) loops.set(kernel, { loop: scanLoop(instructions), codes: codesOf(instructions) });
        instructions = [];
    };
    await runProgram(join(toolkit, "bin/cuobjdump"), ["-sass", cubin], (line) => {
        const entry = /Function : (\S+)/.exec(line);
        const instruction = instructionOf(line);
        if (instruction) instructions.push(instruction);
        if (entry) {
            close();
            kernel = entry[1]!;
        }
    });
    close();
    return loops;
}

/** Every kernel for the wanted architectures, or for all. What is unchanged since an earlier run is not compiled again. */
export async function compiledKernels(toolkit: string, wanted: number[], jobs: number): Promise<Kernel[]> {
    const folder = join(root, "build/kernel-report");
    mkdirSync(folder, { recursive: true });
    const tasks = (Object.keys(families) as Family[]).flatMap((family) =>
        families[family].filter((sm) => wanted.length === 0 || wanted.includes(sm)).map((sm) => ({ family, sm })),
    );
    const results: Kernel[][] = tasks.map(() => []);
    let next = 0;
    const work = async (): Promise<void> => {
        for (let i = next++; i < tasks.length; i = next++) {
            const { family, sm } = tasks[i]!;
            const cubin = join(folder, `sm_${String(sm)}-${hashSources(family, toolkit)}.cubin`);
            const log = cubin.replace(".cubin", ".log"); // written last: with it the cubin is whole
            if (!existsSync(log)) {
                console.error(`compiling cuda/search_fuse_${family}.cu for sm_${String(sm)}`);
                const source = join(root, `cuda/search_fuse_${family}.cu`);
                const command = [...options, `-arch=sm_${String(sm)}`, `-I${root}cuda`, `-I${root}cpp`, "-o", cubin, source];
                writeFileSync(log, await runProgram(join(toolkit, "bin/nvcc"), command, () => undefined));
            }
            const loops = await loopsOf(toolkit, cubin);
            results[i] = [...usages(readFileSync(log, "utf8"))].map(([name, usage]) => ({
                family,
                sm,
                ...identityOf(name),
                ...usage,
                ...loops.get(name)!,
            }));
        }
    };
    await Promise.all(Array.from({ length: jobs }, work));
    return results.flat();
}
