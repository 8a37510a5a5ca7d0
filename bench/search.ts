/**
 * Exact search against usearch's exact search: the same float32 keys, the same threads, the same ids.
 *
 *     npm run bench -- [--keys 100000] [--dim 576] [--k 64] [--rounds 7] [--backend NAME]
 *
 * Before anything is timed, the ids are compared; where two keys are so near to each other that usearch's rounding exchanges them, their distances must
 * agree to 1e-4. Ratios are time over usearch's in the same run: below 1 is faster.
 */
import { parseArgs } from "node:util";
import { exactSearch, MetricKind, type BatchMatches } from "usearch";

import { createIndex, type BackendName, type Hits, type ReferenceIndex } from "../lib/index.js";
import { race } from "./engine.js";

const { values } = parseArgs({
    options: {
        keys: { type: "string", default: "100000" },
        dim: { type: "string", default: "576" },
        k: { type: "string", default: "64" },
        rounds: { type: "string", default: "7" },
        backend: { type: "string", default: "auto" },
    },
});
const [count, dim, k, rounds] = [values.keys, values.dim, values.k, values.rounds].map(Number) as [
    number,
    number,
    number,
    number,
];

/** Numbers between -1 and 1 whose sum with others of their kind is as good as normal. */
function noise(length: number, seed: number): Float32Array {
    const numbers = new Float32Array(length);
    let state = seed;
    for (let i = 0; i < length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        numbers[i] = state / 2 ** 31 - 1;
    }
    return numbers;
}

function check(own: Hits, theirs: BatchMatches, batch: number): void {
    for (let i = 0; i < batch * k; i++) {
        if (BigInt(own.ids[i]!) === theirs.keys[i]) continue;
        const [a, b] = [own.distances[i]!, theirs.distances[i]!];
        if (!(Math.abs(a - b) <= 1e-4 * a))
            throw new Error(
                `wrong answer, nothing timed: hit ${i} is ${own.ids[i]} at ${a}, usearch's ${theirs.keys[i]} at ${b}`,
            );
    }
}

const keys = noise(count * dim, 1);
const indexOf = (threads: number): ReferenceIndex => {
    const index = createIndex({ dim, metric: "l2sq", threads, backend: values.backend as BackendName });
    index.add(keys, new Int32Array(count));
    return index;
};

for (const threads of [1, 2]) {
    using index = indexOf(threads);
    console.log(`${count} keys of ${dim} float32, k = ${k}, ${threads} thread${threads > 1 ? "s" : ""}, ${index.backend}`);
    for (const batch of [1, 4, 16, 64]) {
        const queries = noise(batch * dim, 2 + batch);
        const theirs = (): BatchMatches => exactSearch(keys, queries, dim, k, MetricKind.L2sq, threads) as BatchMatches;
        const own = (): Hits => index.searchSync(queries, { k });
        check(own(), theirs(), batch);
        const timings = await race({ usearch: theirs, rtd: own }, rounds);
        const { best, ratio, spread } = timings.get("rtd")!;
        const other = timings.get("usearch")!.best;
        console.log(
            `  B = ${String(batch).padStart(2)}  ${ratio.toFixed(2)} x usearch's time (${spread.map((r) => r.toFixed(2)).join(" to ")}); ` +
                `best ${best.toFixed(1)} ms and ${other.toFixed(1)} ms`,
        );
    }
}
