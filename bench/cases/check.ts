/** Answers are compared before their times count. */
import type { Hits } from "../../lib/index.js";
import type { Peer, PeerMetric } from "../peers/peer.js";
import type { KeySet } from "../sets/key-set.js";

/** Ends a run: no time of a wrong answer is worth anything. */
export class WrongAnswer extends Error {
    constructor(what: string) {
        super(`wrong answer, the run ends: ${what}`);
    }
}

/** The scan is the reference: same ids, same bits of distances. */
export function expectSameHits(way: string, own: Hits, scan: Hits): void {
    for (let i = 0; i < scan.ids.length; i++)
        if (own.ids[i] !== scan.ids[i] || !Object.is(own.distances[i], scan.distances[i]))
            throw new WrongAnswer(
                `hit ${i} of ${way} is ${own.ids[i]} at ${own.distances[i]}, the scan's ${scan.ids[i]} at ${scan.distances[i]}`,
            );
}

/** The distance of a query and a key in double precision, by which engines that round otherwise are judged. */
function trueDistance(set: KeySet, metric: PeerMetric, query: number, id: number): { distance: number; norms: number } {
    const { queries, keys, d } = set;
    let [squares, product, norms] = [0, 0, 0];
    for (let i = 0; i < d; i++) {
        const [q, x] = [queries[query * d + i]!, keys[id * d + i]!];
        squares += (q - x) ** 2;
        product += q * x;
        norms += q * q + x * x;
    }
    return { distance: metric === "dot" ? -product : squares, norms };
}

/**
 * Ids of an exact peer: the scan's, but for keys so near to each other that the peer's own rounding may exchange them. Each id counts once, and none may
 * truly be farther than the scan's of its rank by more than rounding.
 */
export function expectSameIds(
    peer: Peer,
    set: KeySet,
    metric: PeerMetric,
    ids: ArrayLike<number>,
    scan: Hits,
    first: number,
): void {
    if (ids.length !== scan.ids.length) throw new WrongAnswer(`${peer.name} found ${ids.length} of ${scan.ids.length} hits`);
    for (let row = 0; row < scan.counts.length; row++) {
        const own = new Set<number>();
        for (let i = row * scan.k; i < (row + 1) * scan.k; i++) {
            const [theirs, ours] = [ids[i]!, scan.ids[i]!];
            if (own.has(theirs) || !(theirs >= 0 && theirs < set.n))
                throw new WrongAnswer(
                    `hit ${i} of ${peer.name} is ${theirs}, ${own.has(theirs) ? "once more" : "which no key has"}`,
                );
            own.add(theirs);
            if (theirs === ours) continue;
            const [a, b] = [theirs, ours].map((id) => trueDistance(set, metric, first + row, id)) as [Near, Near];
            // Products of any metric's sums may cancel; of squared differences they cannot.
            const cancellation = metric === "dot" ? 2 ** -20 : peer.cancellation;
            if (Math.abs(a.distance - b.distance) > 1e-4 * Math.abs(b.distance) + cancellation * Math.max(a.norms, b.norms))
                throw new WrongAnswer(
                    `hit ${i} of ${peer.name} is ${theirs} at ${a.distance}, the scan's ${ours} at ${b.distance}`,
                );
        }
    }
}

type Near = ReturnType<typeof trueDistance>;

/** Share of the scan's ids that were found, over all rows. */
export function recallOf(ids: ArrayLike<number>, scan: Hits): number {
    let found = 0;
    for (let row = 0; row < scan.counts.length; row++) {
        const own = new Set(Array.from({ length: scan.k }, (_, i) => ids[row * scan.k + i]!));
        for (let i = 0; i < scan.k; i++) if (own.has(scan.ids[row * scan.k + i]!)) found++;
    }
    return found / scan.ids.length;
}

/** Recall against a set's own neighbors as ann-benchmarks counts it: hits no farther than the farthest of k of them, but for rounding. */
export function recallOfNeighbors(set: KeySet, ids: ArrayLike<number>, k: number, first: number, batch: number): number {
    const { neighbors } = set;
    if (neighbors === undefined) return NaN;
    let found = 0;
    for (let row = 0; row < batch; row++) {
        const distanceOf = (id: number) => Math.sqrt(trueDistance(set, "l2sq", first + row, id).distance);
        const begin = (first + row) * neighbors.k;
        const farthest = Math.max(...Array.from(neighbors.ids.subarray(begin, begin + k), distanceOf));
        for (let i = 0; i < k; i++) {
            const id = ids[row * k + i]!;
            if (id >= 0 && id < set.n && distanceOf(id) <= farthest * (1 + 1e-5)) found++;
        }
    }
    return found / (batch * k);
}
