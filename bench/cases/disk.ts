/** Searching a datastore four times as large as the memory that the process may use. */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Datastore } from "../../lib/index.js";
import { NoSet, type KeySet } from "../sets/key-set.js";
import type { Workbench } from "../workbench.js";
import { WrongAnswer } from "./check.js";
import type { DiskAnswer } from "./disk-process.js";
import { bytesIn } from "./store.js";

const [share, k, appendedAtOnce] = [4, 64, 65_536];
const searches = { rtd: 200, "rtd scan": 10 } as const;

/** Median and spread of a search's time, and the bytes that it made the system read. Needs the right to limit memory (a cgroup) and to empty caches. */
export async function diskFigures(bench: Workbench, set: KeySet, threads: number): Promise<void> {
    const { d, n, keys, queries } = set;
    const folder = await mkdtemp(join(tmpdir(), "rtd-bench-"));
    const [path, queryFile] = [join(folder, "keys.rtd"), join(folder, "queries.f32")];
    try {
        await using store = await Datastore.create(path, { dim: d, metric: "l2sq", threads });
        for (let begin = 0; begin < n; begin += appendedAtOnce) {
            const count = Math.min(appendedAtOnce, n - begin);
            store.append(keys.subarray(begin * d, (begin + count) * d), new Int32Array(count));
        }
        await store.seal({ signal: bench.signal });
        await store.close();
        await writeFile(queryFile, queries.subarray(0, searches.rtd * d));
        const limit = Math.floor((await bytesIn(path)) / share);
        const scanning = await bench.index(set, { metric: "l2sq", dtype: "f32", heads: 1, backend: "auto", cascade: "off" });
        for (const [way, count] of Object.entries(searches)) {
            const answer = await underLimit(limit, [
                path,
                queryFile,
                String(count),
                String(k),
                way === "rtd" ? "auto" : "off",
                String(threads),
            ]);
            const expected = Array.from({ length: count }, (_, i) =>
                scanning.searchSync(queries.subarray(i * d, (i + 1) * d), { k }),
            );
            answer.ids.forEach((ids, i) => {
                const { ids: own, distances } = expected[i]!;
                if (ids.some((id, j) => id !== own[j] || answer.distances[i]![j] !== distances[j]))
                    throw new WrongAnswer(`from disk, query ${i}: other hits than in memory`);
            });
            bench.add({
                group: "disk",
                way: `${way}, ${Math.round(limit / 1e6)} MB allowed`,
                version: bench.version,
                setting: {
                    set: set.name,
                    n,
                    d,
                    metric: "l2sq",
                    dtype: "f32",
                    heads: 1,
                    k,
                    batch: 1,
                    backend: scanning.backend,
                    threads,
                },
                times: answer.times,
                bytes: answer.bytesRead / count,
                check: "the bits of a scan in memory",
            });
        }
    } finally {
        await rm(folder, { recursive: true, force: true });
    }
}

/** Runs disk-process.js in a cgroup of its own, with nothing of its files in memory to begin with. */
async function underLimit(limit: number, args: readonly string[]): Promise<DiskAnswer> {
    const group = limitedGroup(limit);
    try {
        try {
            writeFileSync("/proc/sys/vm/drop_caches", "1");
        } catch (error) {
            throw new NoSet(`files cannot be dropped from memory (${(error as Error).message}): run it as root`);
        }
        const program = fileURLToPath(new URL("disk-process.js", import.meta.url));
        const command = ["-c", 'echo $$ > "$0" && exec "$@"', join(group, "cgroup.procs"), process.execPath, program, ...args];
        const child = spawn("sh", command, { stdio: ["ignore", "pipe", "inherit"] });
        let out = "";
        child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
        const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
            child.on("error", reject).on("close", (...ended) => resolve(ended));
        });
        if (code !== 0) throw new Error(`searching with ${limit} bytes of memory ended with ${signal ?? code}`);
        return JSON.parse(out) as DiskAnswer;
    } finally {
        rmdirSync(group);
    }
}

/** Version 2 has one tree, version 1 one for memory. */
function limitedGroup(limit: number): string {
    try {
        const own = readFileSync("/proc/self/cgroup", "utf8");
        const [, first] = /^\d+:memory:(.*)$/m.exec(own) ?? [];
        const [, second] = /^0::(.*)$/m.exec(own) ?? [];
        const parent = first === undefined ? join("/sys/fs/cgroup", second!) : join("/sys/fs/cgroup/memory", first);
        const group = join(parent, `rtd-bench-${process.pid}`);
        mkdirSync(group);
        writeFileSync(join(group, first === undefined ? "memory.max" : "memory.limit_in_bytes"), String(limit));
        return group;
    } catch (error) {
        throw new NoSet(`memory cannot be limited here (${(error as Error).message}): run it as root, on Linux with cgroups`);
    }
}
