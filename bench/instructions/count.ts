/**
 * Instructions of the hot loops, compared with those that are committed in baseline.json: on one compiler they repeat where times do not.
 *
 *     node dist/bench/instructions/count.js [--accept]
 *
 * bench/native/hot_loops.cpp does a fixed amount of work under callgrind, which has no AVX-512: the serial loops and AVX2's are counted, whatever the
 * processor. --accept writes a new baseline; commit it with the change that explains it. Ends in a line `N passed, N failed`.
 */
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";

import { packageRoot } from "../../lib/package-root.js";
import { instructionsOf } from "./callgrind.js";
import { compareCounts, type Baseline } from "./compare.js";

const program = join(packageRoot, "build", "native", "bench", "hot_loops");
const baselineFile = join(packageRoot, "bench", "instructions", "baseline.json");

const loops = [
    ...["l2, 1 query", "l2, 16 queries", "l2 of f16, 1 query", "dot, 1 query", "block scores", "row sums"],
    ...["fusion", "scan", "cascade, 1 query", "cascade, 16 queries"],
];
const work = ["avx2", "serial"].flatMap((backend) => loops.map((loop) => ({ loop, backend })));

async function count(loop: string, backend: string, folder: string): Promise<number> {
    const out = join(folder, `${backend} ${loop}`);
    const args = ["--tool=callgrind", `--callgrind-out-file=${out.replaceAll("%", "%%")}`, "--toggle-collect=counted"];
    await promisify(execFile)("valgrind", [...args, program, loop, backend]);
    return instructionsOf(readFileSync(out, "utf8"), "hot_loops");
}

async function countAll(): Promise<Record<string, number>> {
    const folder = mkdtempSync(join(tmpdir(), "rtd-instructions-"));
    const counts: Record<string, number> = Object.fromEntries(work.map(({ loop, backend }) => [`${backend}: ${loop}`, 0]));
    const left = [...work];
    const worker = async () => {
        for (let next = left.pop(); next !== undefined; next = left.pop())
            counts[`${next.backend}: ${next.loop}`] = await count(next.loop, next.backend, folder);
    };
    try {
        await Promise.all(Array.from({ length: availableParallelism() }, worker));
    } finally {
        rmSync(folder, { recursive: true, force: true });
    }
    return counts;
}

const { values } = parseArgs({ options: { accept: { type: "boolean", default: false } } });
const compiler = execFileSync(program, ["compiler"], { encoding: "utf8" }).trim();
const baseline = JSON.parse(readFileSync(baselineFile, "utf8")) as Baseline;
if (values.accept) {
    writeFileSync(baselineFile, `${JSON.stringify({ compiler, instructions: await countAll() }, null, 2)}\n`);
    console.log(`written to ${baselineFile}`);
} else if (baseline.compiler !== compiler) {
    console.log(`not counted: the baseline is of ${baseline.compiler}, this build of ${compiler}\n0 passed, 0 failed`);
} else {
    const { lines, passed, failed } = compareCounts(baseline, { compiler, instructions: await countAll() });
    console.log(`${lines.join("\n")}\n${passed} passed, ${failed} failed`);
    process.exitCode = failed === 0 ? 0 : 1;
}
