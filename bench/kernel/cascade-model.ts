/**
 * How long a call over an index with cascades should take on a GPU: a MODEL like model.ts, whose merge and launch it takes over. What keys leave
 * at each level depends on the data; the shares below are those of 108,000 hidden states of SmolLM2-135M (d = 576, k = 64), seen on the CPU.
 */
import type { Measured } from "./budget.js";
import { predict, type Call, type Gpu, type Prediction } from "./model.js";

const reaches2 = 0.076; // of the keys, that level 1 does not rule out ...
const reaches3 = 0.02; // ... nor level 2 ...
const measuredRows = 1.7; // ... nor level 3, for each of k
const memoryShare = 0.9; // of the bandwidth, in order
const gatherShare = 0.6; // of the bandwidth, by rows and pieces
const tensorShare = 0.6; // of the tensor cores' rate, that mma.sync reaches
const issueShare = 0.85;
const level1Instructions = 60; // of a warp, for 32 keys and a query
const prepareSeconds = 12e-6; // projections and grids of the queries, two waits included

// Dense 8-bit integer operations a second, from the same data sheets as model.ts.
const int8Tera: Record<string, number> = {
    "H100 SXM": 1979,
    H200: 1979,
    "A100 80GB": 624,
    "RTX 4090": 660,
    L4: 242,
    T4: 130,
};

export interface CascadePrediction extends Call {
    isModel: true;
    gpu: string;
    path: "levels" | "tensor cores";
    milliseconds: { total: number; sift: number; prepare: number; launch: number; merge: number };
    plain: number;
    limit: string;
}

export function predictCascade(kernels: Measured[], on: Gpu, what: Call): CascadePrediction | undefined {
    const plain: Prediction | undefined = predict(kernels, on, what);
    if (!plain?.milliseconds || what.dim < 244 || what.entries < 4096 || what.k * 4 >= what.entries) return undefined;
    const { entries, dim, batch, k } = what;
    const path = batch >= 8 && on.sm >= 80 ? "tensor cores" : "levels";
    const rowBytes = dim * (what.key === "f32" ? 4 : 2);
    const rows3 = Math.ceil(dim / 64) * 64 + 12;
    const bandwidth = on.gigabytesPerSecond * 1e9;
    const gathered = (bytes: number): number => bytes / (bandwidth * gatherShare);
    const measured = batch * Math.min(entries, measuredRows * k);
    const seconds: Record<string, number> = {};
    if (path === "levels") {
        const inOrder = (entries * 34) / (bandwidth * memoryShare);
        const byRows = batch * entries * (reaches2 * 128 + reaches3 * rows3);
        seconds.memory = inOrder + gathered(byRows + measured * rowBytes);
        seconds.issue =
            (batch * (entries / 32) * level1Instructions) / (on.multiprocessors * 4 * on.gigahertz * 1e9 * issueShare);
    } else {
        const columns = batch > 16 ? 64 : 16;
        const passes = Math.ceil(batch / columns);
        seconds.memory = (passes * entries * rows3) / (bandwidth * memoryShare) + gathered(measured * rowBytes);
        seconds.tensor = (passes * 4 * entries * rows3 * columns) / (int8Tera[on.name]! * 1e12 * tensorShare);
        // 128 keys of a block share what its warps read of the queries.
        seconds.shared = (passes * (entries / 16) * rows3 * columns * 2) / (on.multiprocessors * 128 * on.gigahertz * 1e9);
    }
    const [limit, sift] = Object.entries(seconds).reduce((a, b) => (b[1] > a[1] ? b : a));
    const { launch, merge } = plain.milliseconds;
    const ms = { sift: sift * 1e3, prepare: prepareSeconds * 1e3, launch, merge };
    const total = ms.sift + ms.prepare + ms.launch + ms.merge;
    return {
        isModel: true,
        gpu: on.name,
        path,
        ...what,
        limit,
        plain: plain.milliseconds.total,
        milliseconds: { total, ...ms },
    };
}

export function textOf(p: CascadePrediction): string {
    const what = `N=${String(p.entries)} d=${String(p.dim)} ${p.key} B=${String(p.batch)} k=${String(p.k)}`;
    const { total, sift, prepare, launch, merge } = p.milliseconds;
    const parts = `sift ${sift.toFixed(3)} by ${p.limit}, prepare ${prepare.toFixed(3)}, launch ${launch.toFixed(3)}, merge ${merge.toFixed(3)}`;
    return `MODEL, not measured: ${p.gpu}: ${what}, cascade by ${p.path}: ${total.toFixed(3)} ms (${parts}); scanned ${p.plain.toFixed(3)}`;
}
