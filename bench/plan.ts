/** What is measured: every case by its name, in an order in which cases on the same keys follow each other. */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename } from "node:path";

import { backends, RtdError, type BackendName } from "../lib/index.js";
import { callFigures } from "./cases/calls.js";
import { diskFigures } from "./cases/disk.js";
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
    /** Where the number of threads is not what varies. Default: as many as there are processors, two for the targets. */
    threads: number | undefined;
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

export async function plan(options: PlanOptions): Promise<Case[]> {
    const threads = options.threads ?? availableParallelism();
    const common = { metric: "l2sq", dtype: "f32", heads: 1, k: 64, batch: 1, backend: "auto", peers: "exact" } as const;
    const base: SearchAsked = { ...common, threads };
    return options.store === undefined ? suiteCases(base, options) : storeCases(options.store, base, options);
}

function suiteCases(base: SearchAsked, { quick, hdf5, model: given, threads, signal }: PlanOptions): Case[] {
    const model = (bench: Workbench) => benchModel(given, bench.line, signal);
    const modelName = given === undefined ? "SmolLM2-135M" : basename(given);
    const ofModel = async (bench: Workbench) => ({ path: await model(bench), name: modelName, threads: base.threads });
    const states = quick ? recordedStates.quick : recordedStates.full;
    const recorded = async (bench: Workbench) => recordedStore(await model(bench), states, bench.line, signal);
    const real: NamedSet = {
        name: "moby-dick",
        make: async (bench) => hiddenStates("moby-dick", await recorded(bench), quick ? states - 1024 : Infinity),
    };
    const larger = (n: number, peers: "exact" | "light"): NamedSet => ({
        name: `moby-dick-${n}`,
        make: async (bench) => hiddenStates("moby-dick", await recorded(bench), n, peers),
    });
    const made = (name: SyntheticName, n: number, d?: number): NamedSet => ({
        name: `${name}-${n}${d === undefined ? "" : `-d${d}`}`,
        make: () => synthetic(name, n, d),
    });
    const both = (set: NamedSet, all: readonly SearchAsked[]) =>
        all.flatMap((asked, i) => [searchCase("search", set, asked), ...(quick && i > 0 ? [] : [fuseCase(set, asked)])]);
    const targets = (set: NamedSet) => targetsOf(base, quick, threads).map((asked) => searchCase("targets", set, asked));
    return [
        ...both(real, axes(base, quick)),
        ...targets(real),
        { name: "store/moby-dick", run: (bench) => withSet(bench, real, (set) => storeFigures(bench, set, base.threads)) },
        ...(quick
            ? []
            : [
                  {
                      name: "disk/moby-dick-400000",
                      run: (bench: Workbench) =>
                          withSet(bench, larger(400_000, "exact"), (set) => diskFigures(bench, set, base.threads)),
                  },
              ]),
        ...(quick ? [4_500, 20_000] : [25_000, 400_000, 1_600_000]).flatMap((n) => {
            const peers = n > 1_000_000 ? "light" : "exact"; // those that keep keys of their own would take too much memory
            return both(larger(n, peers), [{ ...base, peers }]);
        }),
        ...(quick ? [128] : [128, 576, 1024, 2048]).flatMap((d) => both(made("power", quick ? 5_000 : 20_000, d), [base])),
        ...(["gauss", "spectrum896", "power"] as const).flatMap((name) => targets(made(name, quick ? 5_000 : 50_000))),
        ...hdf5.flatMap((path) => hdf5Cases(path, base)),
        callCase(quick),
        modelCase(`decode/${modelName}`, async (bench) =>
            decodeFigures(bench, await ofModel(bench), await recorded(bench), quick ? 10_000 : 100_000),
        ),
        modelCase(`record/${modelName}`, async (bench) => recordFigures(bench, await ofModel(bench))),
        ...(quick ? [] : [modelCase("record/noise-150000", (bench) => recordNoiseFigures(bench, base.threads))]),
    ];
}

/** A user's own keys, searched as the datastore is: what advice rests on. */
async function storeCases(path: string, base: SearchAsked, { quick }: PlanOptions): Promise<Case[]> {
    const own: SearchAsked = { ...base, ...(await kindOfStore(path)) };
    const set = { name: path, make: () => hiddenStates(path, path) };
    const ks = (quick ? [4, 64, 1024] : [4, 16, 64, 256, 1024]).map((k) => ({ ...own, k }));
    const all = [...ks, { ...own, batch: 16 }, ...machineAxes(own)];
    return [...all.map((asked) => searchCase("search", set, asked)), callCase(quick)];
}

/** One thing varied at a time, everything else as in `base`. */
function axes(base: SearchAsked, quick: boolean): SearchAsked[] {
    return [
        { ...base, peers: "all" },
        ...(quick ? [16] : [4, 16, 64]).map((batch) => ({ ...base, batch })),
        ...(quick ? [1024] : [1, 16, 256, 1024]).map((k) => ({ ...base, k })),
        ...(["l2", "dot"] as const).map((metric) => ({ ...base, metric })),
        ...(["f16", "bf16"] as const).map((dtype) => ({ ...base, dtype })),
        ...machineAxes(base),
    ];
}

function machineAxes(base: SearchAsked): SearchAsked[] {
    const otherBackends: BackendName[] = backends()
        .filter(({ usable, default: isDefault }) => usable && !isDefault)
        .map(({ name }) => name);
    return [
        ...otherBackends.map((backend) => ({ ...base, backend, peers: "none" as const })),
        ...threadCounts()
            .filter((threads) => threads !== base.threads)
            .map((threads) => ({ ...base, threads })),
    ];
}

/** Of the table that is compared with on two threads. */
function targetsOf(base: SearchAsked, quick: boolean, threads = Math.min(2, availableParallelism())): SearchAsked[] {
    const batches = quick ? [1, 16] : [1, 16, 64];
    return [64, 1024].flatMap((k) => batches.map((batch) => ({ ...base, k, batch, threads })));
}

const searchCase = (group: Group, set: NamedSet, asked: SearchAsked): Case => ({
    name: caseName(group, set.name, asked),
    run: (bench) => withSet(bench, set, (keys) => searchFigures(bench, group, possible(keys, asked), asked)),
});

const fuseCase = (set: NamedSet, asked: SearchAsked): Case => ({
    name: caseName("fuse", set.name, asked),
    run: (bench) => withSet(bench, set, (keys) => fuseFigures(bench, possible(keys, asked), asked)),
});

function hdf5Cases(path: string, base: SearchAsked): Case[] {
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
            withSet(bench, set, (keys) => {
                const asked = { ...base, k: Math.min(k, keys.neighbors?.k ?? k), peers: "all" as const };
                return searchFigures(bench, "hdf5", possible(keys, asked), asked);
            }),
    }));
}

const callCase = (quick: boolean): Case => ({ name: "calls", run: (bench) => callFigures(bench, quick ? 0.3 : 2) });

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

/** The set, unless it is too small for what is asked. */
function possible(set: KeySet, { k, batch }: SearchAsked): KeySet {
    const queries = set.queries.length / set.d;
    if (k > set.n) throw new NoSet(`k = ${k} is more than its ${set.n} keys`);
    if (batch > queries) throw new NoSet(`B = ${batch} is more than its ${queries} queries`);
    return set;
}
