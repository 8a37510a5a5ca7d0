/** What is measured: every case by its name, in an order in which cases on the same keys follow each other. */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";

import { backends, RtdError, type BackendName } from "../lib/index.js";
import { callFigures } from "./cases/calls.js";
import { fuseFigures } from "./cases/fuse.js";
import { decodeFigures, recordFigures, recordNoiseFigures } from "./cases/model.js";
import { searchFigures, type SearchAsked } from "./cases/search.js";
import { storeFigures } from "./cases/store.js";
import type { Group } from "./figures.js";
import { threadCounts } from "./machine.js";
import { isMissing } from "./peers/peer.js";
import { readHdf5 } from "./sets/hdf5.js";
import { benchModel, hiddenStates, kindOfStore, recordedStates, recordedStore } from "./sets/hidden-states.js";
import { NoSet, type KeySet } from "./sets/key-set.js";
import { synthetic, type SyntheticName } from "./sets/synthetic.js";
import type { Workbench } from "./workbench.js";

export interface PlanOptions {
    quick: boolean;
    /** A user's datastore: only that is measured. */
    store: string | undefined;
    /** HDF5 files of ann-benchmarks. */
    hdf5: readonly string[];
    /** A GGUF file instead of the demo's model. */
    model: string | undefined;
    signal: AbortSignal;
}

export interface Case {
    /** What `--filter` is matched with. */
    name: string;
    run(bench: Workbench): Promise<void>;
}

interface NamedSet {
    name: string;
    make(bench: Workbench): KeySet | Promise<KeySet>;
}

const allThreads = availableParallelism();
const base: SearchAsked = {
    metric: "l2sq",
    dtype: "f32",
    heads: 1,
    k: 64,
    batch: 1,
    backend: "auto",
    threads: allThreads,
    peers: "exact",
};
/** Of the issue's table, which compares on two threads. */
export const targetKs = [64, 1024] as const;
export const targetBatches = [1, 16, 64] as const;
const targetThreads = Math.min(2, allThreads);

export async function plan(options: PlanOptions): Promise<Case[]> {
    const { quick, store, signal } = options;
    if (store !== undefined) return storeCases(store, quick);
    const model = (bench: Workbench) => benchModel(options.model, bench.line, signal);
    const recorded = async (bench: Workbench) =>
        recordedStore(await model(bench), quick ? recordedStates.quick : recordedStates.full, bench.line, signal);
    const real: NamedSet = {
        name: "moby-dick",
        make: async (bench) => hiddenStates("moby-dick", await recorded(bench), quick ? recordedStates.quick - 1024 : Infinity),
    };
    const made = (name: SyntheticName, n: number, d?: number): NamedSet => ({
        name: `${name}-${n}${d === undefined ? "" : `-d${d}`}`,
        make: () => synthetic(name, n, d),
    });
    const count = quick ? 5_000 : 50_000;
    const sizes = quick ? [4_500, 20_000] : [25_000, 400_000, 1_600_000];
    const dims = quick ? [128] : [128, 576, 1024, 2048];
    const entries = quick ? 10_000 : 100_000;
    return [
        ...searchCases(real, axes(quick)),
        ...targetCases(real, quick),
        ...fuseCases(real, quick),
        { name: "store/moby-dick", run: (bench) => withSet(bench, real, (set) => storeFigures(bench, set, allThreads)) },
        ...sizes.flatMap((n) => {
            const peers = n > 1_000_000 ? "light" : "exact"; // those that keep keys of their own would take too much memory
            const make = async (bench: Workbench) => hiddenStates("moby-dick", await recorded(bench), n, peers);
            return searchCases({ name: `moby-dick-${n}`, make }, [{ ...base, peers }]);
        }),
        ...dims.flatMap((d) => searchCases(made("power", quick ? 5_000 : 20_000, d), [base])),
        ...(["gauss", "spectrum896", "power"] as const).flatMap((name) => targetCases(made(name, count), quick)),
        ...options.hdf5.flatMap(hdf5Cases),
        { name: "calls", run: (bench) => callFigures(bench, quick ? 0.3 : 2) },
        modelCase("decode/SmolLM2-135M", async (bench) =>
            decodeFigures(
                bench,
                { path: await model(bench), name: "SmolLM2-135M", threads: allThreads },
                await recorded(bench),
                entries,
            ),
        ),
        modelCase("record/SmolLM2-135M", async (bench) =>
            recordFigures(bench, { path: await model(bench), name: "SmolLM2-135M", threads: allThreads }),
        ),
        ...(quick ? [] : [modelCase("record/noise-150000", (bench) => recordNoiseFigures(bench, allThreads))]),
    ];
}

/** One thing varied at a time, everything else as in {@link base}. */
function axes(quick: boolean): SearchAsked[] {
    const all: SearchAsked[] = [
        { ...base, peers: "all" },
        ...(quick ? [16] : [4, 16, 64]).map((batch) => ({ ...base, batch })),
        ...(quick ? [1024] : [1, 16, 256, 1024]).map((k) => ({ ...base, k })),
        ...(["l2", "dot"] as const).map((metric) => ({ ...base, metric })),
        ...(["f16", "bf16"] as const).map((dtype) => ({ ...base, dtype })),
        ...otherBackends().map((backend) => ({ ...base, backend, peers: "none" as const })),
        ...threadCounts()
            .filter((threads) => threads !== base.threads)
            .map((threads) => ({ ...base, threads })),
    ];
    return all;
}

function otherBackends(): BackendName[] {
    return backends()
        .filter(({ usable, default: isDefault }) => usable && !isDefault)
        .map(({ name }) => name);
}

/** A user's own keys, searched as the datastore is: what advice rests on. */
async function storeCases(path: string, quick: boolean): Promise<Case[]> {
    const own: SearchAsked = { ...base, ...(await kindOfStore(path)) };
    const set = { name: path, make: () => hiddenStates(path, path) };
    const ks = quick ? [4, 64, 1024] : [4, 16, 64, 256, 1024];
    const asked: SearchAsked[] = [
        ...ks.map((k) => ({ ...own, k })),
        ...otherBackends().map((backend) => ({ ...own, backend, peers: "none" as const })),
        ...threadCounts()
            .filter((threads) => threads !== own.threads)
            .map((threads) => ({ ...own, threads })),
        { ...own, batch: 16 },
    ];
    return [...searchCases(set, asked), { name: "calls", run: (bench) => callFigures(bench, quick ? 0.3 : 2) }];
}

function searchCases(set: NamedSet, all: readonly SearchAsked[], group: Group = "search"): Case[] {
    return all.map((asked) => ({
        name: caseName(group, set.name, asked),
        run: (bench) => withSet(bench, set, (keys) => limited(bench, group, keys, asked)),
    }));
}

const targetCases = (set: NamedSet, quick: boolean): Case[] =>
    searchCases(
        set,
        targetKs.flatMap((k) =>
            (quick ? targetBatches.slice(0, 2) : targetBatches).map((batch) => ({ ...base, k, batch, threads: targetThreads })),
        ),
        "targets",
    );

function fuseCases(set: NamedSet, quick: boolean): Case[] {
    const metric = "l2" as const; // whose temperature sealing computes for decoding
    const batches = quick ? [1] : [1, 16];
    return batches
        .map((batch) => ({ ...base, metric, batch }))
        .map((asked) => ({
            name: caseName("fuse", set.name, asked),
            run: (bench) => withSet(bench, set, (keys) => fuseFigures(bench, keys, asked)),
        }));
}

function hdf5Cases(path: string): Case[] {
    // Before anything is measured, not when its turn comes.
    if (!existsSync(path)) throw new RtdError("ERR_RTD_NOT_FOUND", `${path}: no such file; give the path of an HDF5 file`);
    const set = {
        name: path,
        make: async () => {
            const found = await readHdf5(path);
            if (isMissing(found)) throw new NoSet(`${found.name} is ${found.reason}: ${found.install}`);
            return found;
        },
    };
    return [10, 100].map((k) => ({
        name: `hdf5/${path}/k${k}`,
        run: (bench) =>
            withSet(bench, set, (keys) => limited(bench, "hdf5", keys, { ...base, k: Math.min(k, keys.neighbors?.k ?? k) })),
    }));
}

function modelCase(name: string, run: (bench: Workbench) => Promise<void>): Case {
    return {
        name,
        run: async (bench) => {
            await bench.clear(); // its keys' memory is the model's now
            await run(bench);
        },
    };
}

const caseName = (group: Group, set: string, { metric, dtype, k, batch, backend, threads }: SearchAsked): string =>
    [group, set, metric, dtype, `k${k}`, `B${batch}`, backend, `t${threads}`].join("/");

const withSet = async (bench: Workbench, set: NamedSet, work: (set: KeySet) => Promise<void>): Promise<void> =>
    work(await bench.set(set.name, () => set.make(bench)));

async function limited(bench: Workbench, group: Group, set: KeySet, asked: SearchAsked): Promise<void> {
    if (asked.k > set.n) throw new NoSet(`k = ${asked.k} of ${set.n} keys`);
    if (asked.batch * set.d > set.queries.length)
        throw new NoSet(`${set.queries.length / set.d} queries are fewer than B = ${asked.batch}`);
    await searchFigures(bench, group, set, asked);
}
