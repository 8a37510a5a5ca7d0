/** Shared memory and blocks an SM of compiled kernels, by occupancy.cpp and the toolkit's cuda_occupancy.h. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { root, type Kernel } from "./compiled.js";

export interface Occupancy {
    stages: number;
    threads: number;
    /** Keys of a tile, and bytes of a stage: 512 of each of them, and the queries' part. */
    tileKeys: number;
    stageBytes: number;
    /** Dynamic shared memory of a block, and blocks an SM, at k = 64 and k = 2048. */
    sharedBytes64: number;
    sharedBytes2048: number;
    blocks64: number;
    blocks2048: number;
}

export function occupanciesOf(toolkit: string, kernels: Kernel[]): Occupancy[] {
    const program = join(root, "build/kernel-report/occupancy");
    const warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", "-Wno-unknown-pragmas"];
    const includes = ["-isystem", join(toolkit, "include"), `-I${root}cuda`, `-I${root}cpp`];
    execFileSync(process.env.CXX ?? "c++", [
        "-std=c++20",
        ...warnings,
        ...includes,
        "-o",
        program,
        join(root, "bench/kernel/occupancy.cpp"),
    ]);
    const lines = kernels.map((k) => [k.family, k.sm, k.key, k.metric, k.queries, k.registers, k.staticSharedBytes].join(" "));
    const found = JSON.parse(execFileSync(program, { input: lines.join("\n"), encoding: "utf8" })) as Occupancy[];
    if (found.length !== kernels.length) throw new Error("kernels that cuda/instantiations.h does not list were compiled");
    return found;
}
