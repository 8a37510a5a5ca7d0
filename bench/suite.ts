/** A run of the suite: its cases one after the other, and what they leave on disk. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { ProgressLine } from "../lib/cli/progress.js";
import { writeError } from "../lib/file-error.js";
import { packageRoot } from "../lib/package-root.js";
import { advice } from "./advice.js";
import type { Effort } from "./engine.js";
import type { Results } from "./figures.js";
import { describeMachine, threadCounts } from "./machine.js";
import { packageJson, packageVersion } from "./optional.js";
import { findPeers } from "./peers/find.js";
import type { Peer } from "./peers/peer.js";
import type { Case, PlanOptions } from "./plan.js";
import { writePlots } from "./plots.js";
import { NoSet } from "./sets/key-set.js";
import { Workbench } from "./workbench.js";

const efforts: Record<"quick" | "full", Effort> = {
    quick: { least: 3, most: 25, seconds: 0.4 },
    full: { least: 7, most: 31, seconds: 10 },
};

export interface RunOptions extends PlanOptions {
    filter: string | undefined;
    /** A folder for results.json and the plots. */
    out: string;
    effort?: Effort;
    /** Peers instead of those that are found. */
    peers?: readonly Peer[];
}

export async function runSuite(cases: readonly Case[], options: RunOptions, line: ProgressLine): Promise<Results> {
    const { quick, store = null, filter = null, hdf5, signal, out } = options;
    line.note("how fast this machine reads memory");
    const machine = await describeMachine([...new Set([...threadCounts(), options.threads ?? 1])]);
    const { peers, missing } = options.peers === undefined ? await findPeers() : { peers: options.peers, missing: [] };
    const llama = packageVersion("node-llama-cpp");
    const versions = {
        "node-rtd": packageJson(packageRoot).version,
        node: process.versions.node,
        ...(llama !== undefined && { "node-llama-cpp": llama }),
        ...Object.fromEntries(peers.map(({ name, version }) => [name, version])),
    };
    const bench = new Workbench(options.effort ?? efforts[quick ? "quick" : "full"], machine, peers, versions, signal, line);
    bench.missing.push(...missing);
    await mkdir(out, { recursive: true }).catch((error: unknown) => {
        throw writeError(out, "the results", "folder", error);
    });
    const results: Results = {
        format: "node-rtd-bench",
        version: 1,
        date: new Date().toISOString(),
        options: { quick, filter, store, hdf5: [...hdf5] },
        machine,
        versions,
        missing: bench.missing,
        leftOut: bench.leftOut,
        figures: bench.figures,
        advice: [],
    };
    const save = () => writeFile(join(out, "results.json"), `${JSON.stringify(results, null, 2)}\n`);
    try {
        for (const [done, one] of cases.entries()) {
            signal.throwIfAborted();
            line.update({ done, total: cases.length, unit: "cases" }, one.name);
            try {
                bench.case = one.name;
                await one.run(bench);
            } catch (error) {
                signal.throwIfAborted();
                if (!(error instanceof NoSet)) throw error;
                bench.leftOut.push({ name: one.name, reason: error.message });
            }
            await save(); // what a run has done so far outlives its interruption
        }
    } finally {
        await bench.clear();
    }
    if (store !== null) results.advice = advice(results.figures);
    bench.missing.push(...(await writePlots(results, out)));
    await save();
    return results;
}
