/** Search and fuse: the same search, and its vote merged into rows of logits. */
import type { FuseResult, Hits } from "../../lib/index.js";
import { rounds } from "../engine.js";
import type { Setting } from "../figures.js";
import { queriesOf } from "../peers/peer.js";
import { randomBits, type KeySet } from "../sets/key-set.js";
import { ratioOf } from "../statistics.js";
import type { Workbench } from "../workbench.js";
import { WrongAnswer } from "./check.js";
import type { SearchAsked } from "./search.js";

/** SmolLM2's. */
const vocabulary = 49_152;
const referenceWeight = 0.3;

export async function fuseFigures(bench: Workbench, set: KeySet, asked: SearchAsked): Promise<void> {
    const { metric, dtype, heads, k, batch, backend, threads } = asked;
    const kind = { metric, dtype, heads, backend };
    const [index, scanning] = [
        await bench.index(set, { ...kind, cascade: "auto" }),
        await bench.index(set, { ...kind, cascade: "off" }),
    ];
    const { temperature } = index;
    const bits = randomBits(17);
    const original = Float32Array.from({ length: batch * vocabulary }, () => (bits() / 2 ** 32) * 12);
    const logits = original.slice();
    const firstOf = (round: number) => (round * batch * 7) % (set.queries.length / set.d - batch + 1);
    let queries: Float32Array;
    const prepare = (round: number) => {
        queries = queriesOf(set, firstOf(round), batch);
        scanning.searchSync(queries, { k: 1, threads }); // sweeps the caches, or the second way would find there what the first has read
        logits.set(original);
    };
    const options = { k, threads, referenceWeight };
    const times = await rounds<{ hits: Hits } | FuseResult>(
        {
            "rtd search": { prepare, run: () => ({ answer: { hits: index.searchSync(queries, { k, threads }) } }) },
            "rtd search and fuse": { prepare, run: () => ({ answer: index.searchAndFuseSync(queries, logits, options) }) },
        },
        bench.effort,
        (answers) => {
            const [{ hits }, fused] = [answers["rtd search"], answers["rtd search and fuse"]] as [
                { hits: Hits },
                Required<FuseResult>,
            ];
            if (String(fused.hits.ids) !== String(hits.ids)) throw new WrongAnswer("a fused search's hits are not the search's");
            expectMerged(original, logits, hits, temperature!);
        },
        bench.signal,
    );
    const { bytes, ...survivors } = index.searchSync(queriesOf(set, 0, batch), { k, threads, stats: true }).stats!;
    const setting: Setting = {
        set: set.name,
        n: set.n,
        d: set.d,
        metric,
        dtype,
        heads,
        k,
        batch,
        backend: index.backend,
        threads,
    };
    const common = {
        group: "fuse",
        version: bench.version,
        setting,
        survivors,
        check: "the formula in double precision",
    } as const;
    const [alone, both] = [times["rtd search"]!, times["rtd search and fuse"]!];
    bench.add({ ...common, way: "rtd search", times: alone, bytes });
    bench.add({
        ...common,
        way: "rtd search and fuse",
        times: both,
        bytes: bytes + original.byteLength,
        ratios: { "rtd search": ratioOf(alone, both) },
    });
}

/** p' = (1 - a) p + a r of the last row, computed from its definition. */
function expectMerged(before: Float32Array, after: Float32Array, hits: Hits, temperature: number): void {
    const row = hits.counts.length - 1;
    const [own, merged] = [before, after].map((all) => all.subarray(row * vocabulary, (row + 1) * vocabulary)) as [
        Float32Array,
        Float32Array,
    ];
    const distances = hits.distances.subarray(row * hits.k, (row + 1) * hits.k);
    const weights = Array.from(distances, (distance) => Math.exp((distances[0]! - distance) / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const reference = new Map<number, number>();
    weights.forEach((weight, i) => {
        const token = hits.tokens[row * hits.k + i]!;
        reference.set(token, (reference.get(token) ?? 0) + weight / total);
    });
    const sum = own.reduce((sum, logit) => sum + Math.exp(logit), 0);
    for (let token = 0; token < vocabulary; token++) {
        const r = reference.get(token);
        const odds = referenceWeight / (1 - referenceWeight);
        const expected = r === undefined ? own[token]! : Math.log(Math.exp(own[token]!) + odds * r * sum);
        if (!(Math.abs(merged[token]! - expected) <= 1e-4))
            throw new WrongAnswer(`the merged logit of token ${token} is ${merged[token]}, by the formula ${expected}`);
    }
}
