/**
 * How long a call should take on a GPU, reckoned from data sheets and from what the compiler made of the kernel. A MODEL: nothing here was measured,
 * and its assumptions are named below so that the first measurement can correct them.
 *
 * The scan takes the longest of four: device memory, L2, shared memory, issue slots. To that come the launch, the first cuts, and one merge.
 */
import type { Measured } from "./budget.js";
import { nameOf, type Kernel } from "./compiled.js";

export interface Gpu {
    name: string;
    sm: number;
    multiprocessors: number;
    /** Boost clock. */
    gigahertz: number;
    /** FP32 instructions of 32 lanes that an SM finishes in a cycle. */
    fp32Warps: number;
    memoryGigabytes: number;
    gigabytesPerSecond: number;
    l2Megabytes: number;
}

// NVIDIA's data sheets of the products (memory, bandwidth) and architecture white papers (SMs, clock, FP32 units an SM, L2): "H100 Tensor Core GPU
// Architecture", "H200 Tensor Core GPU" data sheet, "A100 Tensor Core GPU Architecture", "Ada GPU Architecture", "L4 Tensor Core GPU" data sheet,
// "Turing GPU Architecture" with the "T4 Tensor Core GPU" data sheet.
export const gpus: Gpu[] = [
    gpu("H100 SXM", 90, 132, 1.98, 4, 80, 3350, 50),
    gpu("H200", 90, 132, 1.98, 4, 141, 4800, 50),
    gpu("A100 80GB", 80, 108, 1.41, 2, 80, 2039, 40),
    gpu("RTX 4090", 89, 128, 2.52, 4, 24, 1008, 72),
    gpu("L4", 89, 58, 2.04, 4, 24, 300, 48),
    gpu("T4", 75, 40, 1.59, 2, 16, 320, 4),
];
function gpu(
    name: string,
    sm: number,
    multiprocessors: number,
    gigahertz: number,
    fp32Warps: number,
    memoryGigabytes: number,
    gigabytesPerSecond: number,
    l2Megabytes: number,
): Gpu {
    return { name, sm, multiprocessors, gigahertz, fp32Warps, memoryGigabytes, gigabytesPerSecond, l2Megabytes };
}

// Assumptions, of no data sheet.
const memoryShare = 0.9; // of the bandwidth, that a read-only stream reaches
const issueShare = 0.85; // of the issue slots, that 8 or 16 warps an SM can fill
const latency = 0.8e-6; // seconds of a load from device memory under load
const l2BytesPerCycle = 32; // of each SM
const sharedBytesPerCycle = 128; // of each SM
const launchSeconds = 5e-6;
const blockBytesPerSecond = 80e9; // of a single block that reads a pool
const barrierCycles = 60;

export interface Call {
    entries: number;
    dim: number;
    key: Kernel["key"];
    batch: number;
    k: number;
    vocabulary: number;
}
const call = (entries: number, dim: number, key: Kernel["key"], batch: number, k: number, vocabulary: number): Call => ({
    entries,
    dim,
    key,
    batch,
    k,
    vocabulary,
});
export const calls: Call[] = [
    call(2_000, 576, "f32", 1, 32, 49_152),
    call(10_000, 576, "f32", 1, 64, 49_152),
    call(10_000, 4096, "f16", 1, 64, 128_256),
    call(100_000, 576, "f32", 1, 64, 49_152),
    call(1_000_000, 4096, "f16", 1, 64, 128_256),
    call(1_000_000, 4096, "f16", 4, 1024, 128_256),
    call(1_000_000, 4096, "f16", 16, 64, 128_256),
    call(1_000_000, 4096, "f16", 64, 64, 128_256),
    call(1_000_000, 4096, "f32", 1, 64, 128_256),
    call(1_000_000, 4096, "f32", 64, 64, 128_256),
    call(1_000_000, 2048, "bf16", 8, 2048, 300_000),
];

export interface Prediction extends Call {
    isModel: true;
    gpu: string;
    kernel: string;
    /** Which of the scan's limits binds; undefined if the keys do not fit into the GPU's memory. */
    limit?: string;
    milliseconds?: { total: number; scan: number; launch: number; cuts: number; merge: number };
    /** What the scan alone would take by each limit, in milliseconds. */
    limits?: Record<string, number>;
}

/** The kernel that the host takes for a batch: the smallest that holds it, else the largest. */
function kernelFor(kernels: Measured[], sm: number, key: Kernel["key"], batch: number): Measured | undefined {
    const own = kernels.filter((k) => k.sm === sm && k.key === key && k.metric === "l2").sort((a, b) => a.queries - b.queries);
    return own.find((k) => k.queries >= batch) ?? own.at(-1);
}

export function predict(kernels: Measured[], on: Gpu, what: Call): Prediction | undefined {
    const kernel = kernelFor(kernels, on.sm, what.key, what.batch);
    if (!kernel) return undefined;
    const { tileKeys, threads, stageBytes, stages } = kernel.occupancy;
    const blocksPerSm = what.k <= 64 ? kernel.occupancy.blocks64 : kernel.occupancy.blocks2048;
    const prediction: Prediction = { isModel: true, gpu: on.name, kernel: nameOf(kernel), ...what };
    const keyBytes = Math.ceil((what.dim * (what.key === "f32" ? 4 : 2)) / 16) * 16;
    const storeBytes = what.entries * keyBytes;
    if (storeBytes > on.memoryGigabytes * 1e9 * 0.95) return prediction;

    const cycles = on.gigahertz * 1e9;
    const blocks = on.multiprocessors * blocksPerSm;
    const groups = Math.ceil(what.batch / kernel.queries);
    const tiles = Math.ceil(what.entries / tileKeys);
    const busy = Math.min(blocks, tiles); // blocks that have anything to do
    const busySms = Math.min(on.multiprocessors, tiles);
    const rounds = Math.ceil(tiles / busy) / (tiles / busy); // 1, or more where the last round is not full
    const steps = tiles * groups * Math.ceil(keyBytes / 512); // of a block, 512 bytes of each key
    const warps = threads / 32;

    // Keys again for further groups of queries come from L2 as long as the tiles under way fit in it.
    const isCached = busy * tileKeys * keyBytes < on.l2Megabytes * 1e6 * 0.8;
    const stream = storeBytes * (isCached ? 1 : groups) + what.batch * what.vocabulary * 4;
    const inFlight = busy * stageBytes * (stages - 1);
    const loop = kernel.loop;
    const sharedBytes = warps * (loop.lds128 * 512 + loop.lds64 * 256) + stageBytes;
    const issueCycles = Math.max(loop.instructions / 4, loop.arithmetic / on.fp32Warps);
    const seconds = {
        memory: stream / Math.min(on.gigabytesPerSecond * 1e9 * memoryShare, inFlight / latency),
        l2: (steps * stageBytes) / (busySms * l2BytesPerCycle * cycles),
        shared: (steps * sharedBytes) / (busySms * sharedBytesPerCycle * cycles),
        issue: (steps * warps * issueCycles) / (busySms * cycles * issueShare),
    };
    if (on.sm < 80) seconds.issue += (steps * latency) / busy; // copies go through registers: every step waits for its own
    const [limit, longest] = Object.entries(seconds).reduce((a, b) => (b[1] > a[1] ? b : a));

    // A small datastore fits in the pool whole: no cuts, but all of it is there to be merged.
    const isUncut = what.entries <= 16_384;
    const pool = Math.max(4096, 2 ** Math.ceil(Math.log2(8 * what.k)), isUncut ? 2 ** Math.ceil(Math.log2(what.entries)) : 0);
    const cutsARow = what.entries > pool ? Math.log(what.entries / pool) / Math.log(pool / what.k) + 1 : 0;
    const cuts = (cutsARow * 5 * pool * 8 * Math.ceil(what.batch / busy)) / blockBytesPerSecond;

    // Four passes over the pool, of few rows in parts by several blocks and then over what these leave; two sorts of the hits, the votes' doubling
    // sums; rows are shared out over the blocks.
    const pooled = Math.min(what.entries, pool);
    const parts = pooled > Math.max(1024, 4 * what.k) ? Math.max(1, Math.floor(16 / what.batch)) : 1;
    const selected = parts > 1 ? pooled / parts + Math.min(parts * what.k, pooled) : pooled;
    const room = 2 ** Math.ceil(Math.log2(Math.max(what.k, 2)));
    const sortSteps = (Math.log2(room) * (Math.log2(room) + 1)) / 2;
    const sorts = 2 * sortSteps * (barrierCycles + Math.ceil(room / 2 / threads) * 30);
    const doubling = Math.log2(room) * (barrierCycles + Math.ceil(room / threads) * 20);
    const merge =
        Math.ceil(what.batch / busy) *
        ((4 * selected * 8) / blockBytesPerSecond + (sorts + doubling) / cycles + (parts > 1 ? 6 : 4) * latency);

    const scan = longest * rounds + latency;
    const ms = (s: number): number => s * 1e3;
    const total = launchSeconds + scan + cuts + merge;
    prediction.limit = limit;
    prediction.milliseconds = { total: ms(total), scan: ms(scan), launch: ms(launchSeconds), cuts: ms(cuts), merge: ms(merge) };
    prediction.limits = Object.fromEntries(Object.entries(seconds).map(([name, s]) => [name, ms(s)]));
    return prediction;
}

export function textOf(p: Prediction): string {
    const what = `N=${String(p.entries)} d=${String(p.dim)} ${p.key} B=${String(p.batch)} k=${String(p.k)} V=${String(p.vocabulary)}`;
    const small = p.entries <= 10_000 ? " (small N)" : "";
    if (!p.milliseconds) return `MODEL, not measured: ${p.gpu}: ${what}: does not fit in memory`;
    const { total, scan, launch, cuts, merge } = p.milliseconds;
    const parts = `scan ${scan.toFixed(3)} by ${p.limit!}, launch ${launch.toFixed(3)}, cuts ${cuts.toFixed(3)}, merge ${merge.toFixed(3)}`;
    return `MODEL, not measured: ${p.gpu}: ${what}${small}: ${total.toFixed(3)} ms (${parts})`;
}
