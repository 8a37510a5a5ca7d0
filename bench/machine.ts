/** The machine under the figures: what it is, and how fast it reads memory. */
import { once } from "node:events";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { Worker } from "node:worker_threads";

import type { Machine } from "./figures.js";

/** More than the caches of most machines hold, less than most have free. */
const mostBytes = 2 ** 29;

/** Runs in each thread: looks for a byte that is not there, which C libraries do with the widest loads there are. */
const reader = `
const { parentPort, workerData } = require("node:worker_threads");
const memory = Buffer.alloc(workerData.bytes, 1); // written: pages of zeros would all be one
const [ready, go] = [0, 1];
const signals = new Int32Array(workerData.signals);
for (let round = 1; round <= workerData.rounds; round++) {
    Atomics.add(signals, ready, 1);
    parentPort.postMessage("ready");
    Atomics.wait(signals, go, round - 1);
    if (memory.indexOf(2) !== -1) throw new Error("memory that was not written");
    parentPort.postMessage("done");
}`;

/** GB/s that threads read together, each its own part of a large buffer: the best of some rounds. */
export async function readBandwidth(threads: number, rounds = 7): Promise<number> {
    const bytes = Math.floor(Math.min(mostBytes, freemem() / 4) / threads);
    const signals = new SharedArrayBuffer(8);
    const go = new Int32Array(signals);
    const workers = Array.from(
        { length: threads },
        () => new Worker(reader, { eval: true, workerData: { bytes, signals, rounds } }),
    );
    const failed = Promise.race(workers.map((worker) => new Promise<never>((_, reject) => worker.once("error", reject))));
    /** When every worker has sent its next message. */
    const all = () => Promise.race([failed, Promise.all(workers.map((worker) => once(worker, "message")))]);
    let best = 0;
    let waiting = all();
    for (let round = 1; round <= rounds; round++) {
        await waiting;
        const done = all();
        const begin = performance.now();
        Atomics.store(go, 1, round);
        Atomics.notify(go, 1);
        await done;
        best = Math.max(best, (bytes * threads) / (performance.now() - begin) / 1e6);
        if (round < rounds) waiting = all();
    }
    await Promise.all(workers.map((worker) => worker.terminate()));
    return best;
}

/** The numbers of threads that are worth a look: powers of 2, and all. */
export function threadCounts(most = availableParallelism()): number[] {
    const counts = [];
    for (let threads = 1; threads < most; threads *= 2) counts.push(threads);
    return [...counts, most];
}

export function thisMachine(): Omit<Machine, "bandwidth"> {
    return {
        cpu: cpus()[0]?.model.trim() ?? "unknown",
        cores: availableParallelism(),
        memory: totalmem(),
        platform: `${process.platform}-${process.arch}`,
    };
}

export async function describeMachine(threads: readonly number[]): Promise<Machine> {
    const bandwidth: Record<string, number> = {};
    for (const count of threads) bandwidth[count] = await readBandwidth(count);
    return { ...thisMachine(), bandwidth };
}
