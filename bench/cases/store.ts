/** Stores: sealing entries into one, and opening it. */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createIndex, Datastore, type ReferenceIndex } from "../../lib/index.js";
import { rounds } from "../engine.js";
import type { Setting } from "../figures.js";
import type { KeySet } from "../sets/key-set.js";
import type { Workbench } from "../workbench.js";
import { WrongAnswer } from "./check.js";

/** Appending and sealing all keys of a set, in memory and on disk; opening what that left, with and without reading it through. */
export async function storeFigures(bench: Workbench, set: KeySet, threads: number): Promise<void> {
    const { d, n, keys } = set;
    const tokens = new Int32Array(n);
    const folder = await mkdtemp(join(tmpdir(), "rtd-bench-"));
    const options = { dim: d, metric: "l2sq", threads } as const;
    let index: ReferenceIndex | undefined;
    let store: Datastore | undefined;
    const close = async () => {
        index?.dispose();
        await store?.close();
        [index, store] = [undefined, undefined];
    };
    try {
        const pathOf = (round: number) => join(folder, `${round}.rtd`);
        const open = (verify: boolean) => ({
            prepare: close,
            run: async () => {
                store = await Datastore.open(pathOf(0), { threads, verify });
                return { answer: store.index.entries };
            },
        });
        const sealed = await rounds(
            {
                "seal in memory": {
                    prepare: close,
                    run: async () => {
                        index = createIndex(options);
                        index.add(keys, tokens);
                        await index.seal({ signal: bench.signal });
                        return { answer: index.info().cascaded };
                    },
                },
                "seal in a store": {
                    prepare: async (round) => {
                        await close();
                        if (round > 1) await rm(pathOf(round - 1), { recursive: true, force: true }); // the first one will be opened
                    },
                    run: async (round) => {
                        store = await Datastore.create(pathOf(round), options);
                        store.append(keys, tokens);
                        await store.seal({ signal: bench.signal });
                        return { answer: store.index.info().cascaded };
                    },
                },
            },
            { ...bench.effort, most: Math.min(5, bench.effort.most) },
            expectEntries(n),
            bench.signal,
        );
        const opened = await rounds(
            { "open, not verified": open(false), "open and verify": open(true) },
            bench.effort,
            expectEntries(n),
            bench.signal,
        );
        await close();
        const bytes = await bytesIn(pathOf(0));
        const setting: Setting = {
            set: set.name,
            n,
            d,
            metric: "l2sq",
            dtype: "f32",
            heads: 1,
            k: null,
            batch: null,
            backend: null,
            threads,
        };
        const common = { group: "store", version: bench.version, setting } as const;
        for (const way of ["seal in memory", "seal in a store"])
            bench.add({
                ...common,
                way,
                per: "entry",
                times: sealed[way]!.map((time) => time / n),
                bytes: d * Float32Array.BYTES_PER_ELEMENT,
                check: "all entries have a cascade",
            });
        for (const [way, times] of Object.entries(opened))
            bench.add({ ...common, way, times, bytes: way === "open and verify" ? bytes : null, check: "all entries are there" });
    } finally {
        await close();
        await rm(folder, { recursive: true, force: true });
    }
}

const expectEntries = (n: number) => (answers: Record<string, number>) => {
    for (const [way, entries] of Object.entries(answers))
        if (entries !== n) throw new WrongAnswer(`${way}: ${entries} of ${n} entries`);
};

export async function bytesIn(folder: string): Promise<number> {
    const sizes = (await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size);
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
