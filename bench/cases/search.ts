/**
 * Searches: node-rtd with its cascade and without, beside the peers, on the same keys for the same queries.
 *
 * Each round asks for other queries. The cascade comes last, after a scan that has swept the caches, as a model does between two tokens.
 */
import type { BackendName, Dtype, Hits, Metric, SearchStats } from "../../lib/index.js";
import { rounds, type Way } from "../engine.js";
import type { Group, Setting } from "../figures.js";
import { queriesOf, type Peer } from "../peers/peer.js";
import type { KeySet } from "../sets/key-set.js";
import { ratioOf } from "../statistics.js";
import type { Workbench } from "../workbench.js";
import { expectSameHits, expectSameIds, recallOf, recallOfNeighbors, WrongAnswer } from "./check.js";

export interface SearchAsked {
    metric: Metric;
    dtype: Dtype;
    heads: number;
    k: number;
    batch: number;
    backend: BackendName;
    threads: number;
    /** Which peers are timed too: all of them, those that are exact, or of these only those that keep no keys of their own. */
    peers: "all" | "exact" | "light" | "none";
}

/** Peers keep float32 keys, which must be those of the index, and know no heads. */
function peersFor(peers: readonly Peer[], set: KeySet, { peers: wanted, dtype, heads, threads }: SearchAsked): Peer[] {
    if (heads > 1 || dtype !== (set.dtype ?? "f32")) return [];
    const isWanted = (peer: Peer) =>
        wanted === "all" || (peer.isExact && (wanted === "exact" || (wanted === "light" && !peer.keepsKeys)));
    return peers.filter((peer) => isWanted(peer) && (peer.threads ?? threads) === threads);
}

type Answer = { hits: Hits } | { ids: ArrayLike<number> };

/** Rounds in which a search is repeated, untimed, to see what it looks at. */
const countedRounds = 4;

export async function searchFigures(bench: Workbench, group: Group, set: KeySet, asked: SearchAsked): Promise<void> {
    const { metric, dtype, heads, k, batch, backend, threads } = asked;
    const kind = { metric, dtype, heads, backend };
    const own = {
        "rtd scan": await bench.index(set, { ...kind, cascade: "off" }),
        rtd: await bench.index(set, { ...kind, cascade: "auto" }),
    };
    const peerMetric = metric === "dot" ? "dot" : "l2sq";
    const peers = await bench.open(peersFor(bench.peers, set, asked), set, peerMetric);
    const queryCount = set.queries.length / set.d;
    const firstOf = (round: number) => (round * batch * 7) % (queryCount - batch + 1);

    let queries: Float32Array;
    const prepare = (round: number) => void (queries = queriesOf(set, firstOf(round), batch));
    const ways: Record<string, Way<Answer>> = {};
    for (const { peer, open } of peers) {
        const run = async (round: number) => {
            const { ids, milliseconds } = await open.search(firstOf(round), batch, k, threads);
            return { answer: { ids }, milliseconds };
        };
        ways[peer.name] = { run };
    }
    for (const [name, index] of Object.entries(own))
        ways[name] = { prepare, run: () => ({ answer: { hits: index.searchSync(queries, { k, threads }) } }) };

    const stats: Record<string, SearchStats[]> = { "rtd scan": [], rtd: [] };
    const recalls: Record<string, number[]> = {};
    const check = (answers: Record<string, Answer>, round: number) => {
        const first = firstOf(round);
        const { hits: scan } = answers["rtd scan"] as { hits: Hits };
        expectSameHits("rtd", (answers["rtd"] as { hits: Hits }).hits, scan);
        for (const { peer } of peers) {
            const { ids } = answers[peer.name] as { ids: ArrayLike<number> };
            if (peer.isExact) expectSameIds(peer, set, peerMetric, ids, scan, first);
            else (recalls[peer.name] ??= []).push(recallOf(ids, scan));
        }
        if (set.neighbors !== undefined) {
            const recall = recallOfNeighbors(set, scan.ids, k, first, batch);
            if (recall < 1) throw new WrongAnswer(`recall ${recall} of the neighbors in ${set.name}, of an exact search`);
        }
        if (round >= countedRounds) return;
        for (const [name, index] of Object.entries(own))
            stats[name]!.push(index.searchSync(queries, { k, threads, stats: true }).stats!);
    };
    const times = await rounds(ways, bench.effort, check, bench.signal);

    const setting: Setting = { set: set.name, n: set.n, d: set.d, metric, dtype, heads, k, batch, backend: null, threads };
    const againstNeighbors = set.neighbors === undefined ? "" : ", recall 1 of the file's neighbors";
    for (const { peer, open } of peers)
        bench.add({
            group,
            way: peer.name,
            version: `${peer.name} ${peer.version}`,
            setting,
            times: times[peer.name]!,
            bytes: open.bytes(batch),
            check: peer.isExact ? "same ids" : "recall only",
            recall: peer.isExact ? null : mean(recalls[peer.name]!),
        });
    for (const [name, index] of Object.entries(own)) {
        const { bytes, ...survivors } = meanStats(stats[name]!);
        const others = Object.keys(ways).filter((other) => (name === "rtd" ? other !== "rtd" : !(other in own)));
        bench.add({
            group,
            way: name,
            version: bench.version,
            setting: { ...setting, backend: index.backend },
            times: times[name]!,
            bytes: index.backend === "cuda" ? null : bytes,
            survivors: index.backend === "cuda" ? null : survivors,
            recall: set.neighbors === undefined ? null : 1,
            check: `${name === "rtd" ? "the scan's bits" : peers.some(({ peer }) => peer.isExact) ? "peers' ids" : "the cascade's bits"}${againstNeighbors}`,
            ratios: Object.fromEntries(others.map((other) => [other, ratioOf(times[other]!, times[name]!)])),
        });
    }
}

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;

function meanStats(all: readonly SearchStats[]): SearchStats {
    const of = (name: keyof SearchStats) => mean(all.map((stats) => stats[name]));
    return {
        scanned: of("scanned"),
        level1: of("level1"),
        level2: of("level2"),
        level2b: of("level2b"),
        level3: of("level3"),
        exact: of("exact"),
        bytes: of("bytes"),
    };
}
