/** What the emulated device counted in a fixed set of calls (test/cuda/kernel_counts.cpp). */
import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { root } from "./compiled.js";

export interface Counts {
    name: string;
    config: string;
    /** Bytes of keys: what each call must read once, what it read for the first time, and again. */
    neededBytes: number;
    firstTouchedBytes: number;
    furtherBytes: number;
    /** Accesses of warps in the scan loop, to vectors of shared memory and copies, that were looked at, and what was wrong with them. */
    auditedAccesses: number;
    bankConflicts: number;
    uncoalesced: number;
    /**
     * A warp's loads of one number of a float32 query a lane. Those of the scan loop, which are of queries that copies cannot take as they are, are
     * uncoalesced.
     */
    queryLoads: number;
    uncoalescedQueryLoads: number;
}

/** Builds the preset "native" as far as needed. */
export function emulatedCounts(jobs: number): Counts[] {
    const build = ["--build", "--preset", "native", "--target", "kernel_counts", "--parallel", String(jobs)];
    for (const args of [["--preset", "native"], build])
        execFileSync("cmake", args, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
    return JSON.parse(execFileSync(join(root, "build/native/test/kernel_counts"), { encoding: "utf8" })) as Counts[];
}

export function* faultsOf(counts: Counts): Generator<string> {
    if (counts.firstTouchedBytes > 1.05 * counts.neededBytes) yield "more bytes of keys than 1.05 times the needed";
    if (counts.firstTouchedBytes < counts.neededBytes) yield "fewer bytes of keys than there are";
    if (counts.auditedAccesses === 0) yield "no accesses were looked at";
    if (counts.bankConflicts > 0) yield `${String(counts.bankConflicts)} bank conflicts`;
    if (counts.uncoalesced > 0) yield `${String(counts.uncoalesced)} uncoalesced copies`;
}

export function textOf(c: Counts): string {
    const again = `${String(c.furtherBytes)} again (from L2, by the model)`;
    const bytes = `${String(c.firstTouchedBytes)} of ${String(c.neededBytes)} needed bytes of keys, ${again}`;
    const access = `${String(c.auditedAccesses)} accesses: ${String(c.bankConflicts)} bank conflicts, ${String(c.uncoalesced)} uncoalesced copies`;
    const queries = `${String(c.queryLoads)} loads of queries: ${String(c.uncoalescedQueryLoads)} uncoalesced`;
    return `emulated ${c.name} (${c.config}): ${bytes}; ${access}; ${queries}`;
}
