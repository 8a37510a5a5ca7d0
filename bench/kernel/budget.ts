/** The committed limits of every kernel on every architecture, cuda/budget.json, and the rules that hold for all of them. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { hashSources, nameOf, root, type Family, type Kernel } from "./compiled.js";
import type { Occupancy } from "./occupancy.js";

export type Measured = Kernel & { occupancy: Occupancy };

/** Of one kernel on one architecture. */
interface Figures {
    // At most.
    registers: number;
    sharedBytes: number; // at k = 2048
    instructions: number; // of the scan loop
    // At least.
    arithmetic: number;
    copies: number;
    lds128: number;
    lds64: number;
    dp4a: number; // of the whole kernel
    imma: number;
    blocks64: number;
    blocks2048: number;
}
const isUpper = (figure: keyof Figures): boolean => ["registers", "sharedBytes", "instructions"].includes(figure);

/** Of each architecture, and of which sources: see {@link hashSources}. */
type Budget = Record<string, { sources: string; kernels: Record<string, Figures> }>;
const path = join(root, "cuda/budget.json");

export function figuresOf({ registers, staticSharedBytes, loop, codes, occupancy }: Measured): Figures {
    return {
        registers,
        sharedBytes: staticSharedBytes + occupancy.sharedBytes2048,
        instructions: loop.instructions,
        arithmetic: loop.arithmetic,
        copies: loop.copies,
        lds128: loop.lds128,
        lds64: loop.lds64,
        dp4a: codes.dp4a,
        imma: codes.imma,
        blocks64: occupancy.blocks64,
        blocks2048: occupancy.blocks2048,
    };
}

export const readBudget = (): Budget => JSON.parse(readFileSync(path, "utf8")) as Budget;

/** Makes what was seen the budget; architectures that were not compiled keep theirs. One kernel a line. */
export function writeBudget(kernels: Measured[], old: Budget, toolkit: string): void {
    const budget: Budget = { ...old };
    for (const { sm, family } of kernels) budget[`sm_${String(sm)}`] = { sources: hashSources(family, toolkit), kernels: {} };
    for (const kernel of kernels) budget[`sm_${String(kernel.sm)}`]!.kernels[nameOf(kernel)] = figuresOf(kernel);
    const lines = Object.entries(budget).map(
        ([sm, all]) =>
            `    "${sm}": { "sources": "${all.sources}", "kernels": {\n` +
            Object.entries(all.kernels)
                .map(([name, figures]) => `        "${name}": ${JSON.stringify(figures).replaceAll(/[:,]/g, "$& ")}`)
                .join(",\n") +
            "\n    } }",
    );
    writeFileSync(path, `{\n${lines.join(",\n")}\n}\n`);
}

/** Of an architecture that was not compiled: whether its budget was made of the present sources, and so is what the compiler makes of them. */
export function* staleness(sm: number, family: Family, budget: Budget, toolkit: string): Generator<string> {
    const made = budget[`sm_${String(sm)}`];
    if (made?.sources !== hashSources(family, toolkit))
        yield `${made ? "its budget is of other sources" : "no budget"}: npm run kernel:report -- ${String(sm)} --accept`;
}

export function* faultsOf(kernel: Measured, budget: Budget): Generator<string> {
    const { loop, codes, spilledBytes, key, sm, queries } = kernel;
    if (loop.instructions === 0) yield "no scan loop found";
    if (spilledBytes > 0) yield `${String(spilledBytes)} bytes spilled`;
    if (loop.fences > 0) yield "a fence in the scan loop";
    if (loop.barriers !== 1) yield `${String(loop.barriers)} barriers in the scan loop`;
    if (loop.copies === 0) yield "no 128-bit copies in the scan loop";
    if (loop.lds128 === 0 || (key !== "f32" && loop.lds64 === 0)) yield "narrow loads from shared memory in the scan loop";
    if (codes.dp4a === 0) yield "no IDP.4A.U8.S8: the cascade's sums of codes are not there";
    if (queries > 1 && codes.imma === 0) yield "no IMMA.U8.S8: level 3 does not use the tensor cores";
    const limits = budget[`sm_${String(sm)}`]?.kernels[nameOf(kernel)];
    if (!limits) {
        yield "no budget";
        return;
    }
    for (const [figure, seen] of Object.entries(figuresOf(kernel)) as [keyof Figures, number][])
        if (isUpper(figure) ? seen > limits[figure] : seen < limits[figure])
            yield `${figure} ${String(seen)}, budget ${String(limits[figure])}`;
}

export function textOf(kernel: Measured): string {
    const { registers, spilledBytes, staticSharedBytes, loop, codes, occupancy: o } = kernel;
    const shared = `shared ${String(staticSharedBytes)} + ${String(o.sharedBytes64)} (k=64), ${String(o.sharedBytes2048)} (k=2048)`;
    const blocks = `blocks an SM ${String(o.blocks64)}, ${String(o.blocks2048)}`;
    const share = `${((100 * loop.arithmetic) / loop.instructions).toFixed(0)}%`;
    const copy = kernel.sm >= 80 ? "LDGSTS.128" : "LDG.128";
    const counts = `${String(loop.arithmetic)} FADD/FFMA (${share}), ${String(loop.copies)} ${copy}, ${String(loop.lds128)} LDS.128, ${String(loop.lds64)} LDS.64`;
    return (
        `sm_${String(kernel.sm)} ${nameOf(kernel)}: ${String(registers)} registers, ${String(spilledBytes)} bytes spilled, ${shared}, ${blocks}; ` +
        `loop ${String(loop.instructions)}: ${counts}; ${String(codes.dp4a)} IDP.4A, ${String(codes.imma)} IMMA`
    );
}
