/**
 * Searches through a cascade against a scan and against usearch's exact search, on a datastore's own keys.
 *
 *     node dist/bench/cascade.js STORE [--threads 1,2] [--k 64,1024] [--batch 1,16,64] [--rounds 15] [--queries 1024]
 *
 * The last entries serve as queries and the others as keys. Each round asks for other queries, once each: before the cascade's turn a scan has swept
 * the caches, as a model does between two tokens. Ids are compared in every round (usearch's where its own rounding leaves no doubt); a wrong one ends
 * the run. Ratios are of times within a round: their median, and how far the middle half of them is spread.
 */
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { exactSearch, MetricKind, type BatchMatches } from "usearch";

import { createIndex, Datastore, type CascadeUse, type Hits, type ReferenceIndex } from "../lib/index.js";

const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        threads: { type: "string", default: "1,2" },
        k: { type: "string", default: "64,1024" },
        batch: { type: "string", default: "1,16,64" },
        rounds: { type: "string", default: "15" },
        queries: { type: "string", default: "1024" },
    },
});
const numbers = (list: string): number[] => list.split(",").map(Number);
const [rounds, queryCount] = [Number(values.rounds), Number(values.queries)];
const [path] = positionals;
if (path === undefined) throw new Error("name a datastore: node dist/bench/cascade.js STORE");

/** A store's keys, which are l2's float32 [n, dim]. */
async function readKeys(store: string): Promise<{ dim: number; count: number; keys: Float32Array }> {
    const opened = await Datastore.open(store, { cascade: "off" });
    try {
        const { dim, entries } = opened.index;
        return { dim, count: entries, keys: opened.index.keysOf(Uint32Array.from({ length: entries }, (_, i) => i)) };
    } finally {
        await opened.close();
    }
}

function check(own: Hits, scanned: Hits, theirs: BatchMatches): void {
    for (let i = 0; i < own.ids.length; i++) {
        if (own.ids[i] !== scanned.ids[i] || own.distances[i] !== scanned.distances[i])
            throw new Error(`wrong answer: hit ${i} is ${own.ids[i]}, the scan's ${scanned.ids[i]}`);
        if (
            BigInt(own.ids[i]!) !== theirs.keys[i] &&
            !(Math.abs(own.distances[i]! - theirs.distances[i]!) <= 1e-4 * own.distances[i]!)
        )
            throw new Error(`wrong answer: hit ${i} is ${own.ids[i]}, usearch's ${theirs.keys[i]}`);
    }
}

const quantile = (sorted: number[], q: number): number => sorted[Math.round(q * (sorted.length - 1))]!;

function ratioOf(times: number[], others: number[]): string {
    const ratios = times.map((time, i) => others[i]! / time).toSorted((a, b) => a - b);
    return `${quantile(ratios, 0.5).toFixed(1)} (${quantile(ratios, 0.25).toFixed(1)} to ${quantile(ratios, 0.75).toFixed(1)})`;
}

const median = (times: number[]): number =>
    quantile(
        times.toSorted((a, b) => a - b),
        0.5,
    );

const { dim, count, keys: all } = await readKeys(path);
const n = count - queryCount;
if (n < 1) throw new Error(`the store has ${count} entries, of which ${queryCount} are queries: give fewer by --queries`);
const keys = all.slice(0, n * dim);

async function indexOf(cascade: CascadeUse, threads: number): Promise<ReferenceIndex> {
    const index = createIndex({ dim, metric: "l2sq", threads, cascade });
    index.add(keys, new Int32Array(n));
    await index.seal();
    return index;
}

for (const threads of numbers(values.threads)) {
    using scanning = await indexOf("off", threads);
    using cascading = await indexOf("auto", threads);
    const share = (cascading.info().bytes - scanning.info().bytes) / (n * dim * 4);
    console.log(
        `\n${n} keys of ${dim} float32, ${threads} thread${threads > 1 ? "s" : ""}, ${cascading.backend}; the cascade takes ${(share * 100).toFixed(0)}% of the keys' bytes`,
    );
    for (const k of numbers(values.k))
        for (const batch of numbers(values.batch)) {
            const times = { usearch: [] as number[], scan: [] as number[], cascade: [] as number[] };
            for (let round = -2; round < rounds; round++) {
                const first = ((round + 2) * batch * 7) % (queryCount - batch + 1);
                const queries = all.slice((n + first) * dim, (n + first + batch) * dim);
                const results = {} as { usearch: BatchMatches; scan: Hits; cascade: Hits };
                const time = <Way extends keyof typeof times>(way: Way, body: () => (typeof results)[Way]): void => {
                    const begin = performance.now();
                    results[way] = body();
                    if (round >= 0) times[way].push(performance.now() - begin);
                };
                time("usearch", () => exactSearch(keys, queries, dim, k, MetricKind.L2sq, threads) as BatchMatches);
                time("scan", () => scanning.searchSync(queries, { k }));
                time("cascade", () => cascading.searchSync(queries, { k }));
                check(results.cascade, results.scan, results.usearch);
            }
            console.log(
                `  k ${String(k).padStart(4)}  B ${String(batch).padStart(2)}  usearch ${median(times.usearch).toFixed(2)} ms, scan ${median(times.scan).toFixed(2)} ms, ` +
                    `cascade ${median(times.cascade).toFixed(2)} ms: x ${ratioOf(times.cascade, times.usearch)} usearch, x ${ratioOf(times.cascade, times.scan)} scan`,
            );
        }
}
