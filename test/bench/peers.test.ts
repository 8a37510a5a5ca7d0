/** The peers that are here, against a search in double precision; `npm run bench:peers` installs those that are no dependency. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { findPeers } from "../../bench/peers/find.js";
import type { OpenPeer, Peer, PeerMetric } from "../../bench/peers/peer.js";
import { synthetic } from "../../bench/sets/synthetic.js";
import type { Missing } from "../../bench/optional.js";

const [n, d, k] = [900, 24, 12];
const set = synthetic("power", n, d);

function nearest(metric: PeerMetric, query: number): number[] {
    const distances = Array.from({ length: n }, (_, id) => {
        let [squares, product] = [0, 0];
        for (let i = 0; i < d; i++) {
            const [q, x] = [set.queries[query * d + i]!, set.keys[id * d + i]!];
            squares += (q - x) ** 2;
            product += q * x;
        }
        return metric === "dot" ? -product : squares;
    });
    return Array.from(distances.keys())
        .sort((a, b) => distances[a]! - distances[b]!)
        .slice(0, k);
}

describe("peers", () => {
    let peers: Peer[];
    let missing: Missing[];
    const opened: OpenPeer[] = [];
    beforeAll(async () => ({ peers, missing } = await findPeers()));
    afterAll(async () => {
        for (const peer of opened) await peer.close();
    });

    it("are all found or named as missing, with what installs them", () => {
        const names = [...peers, ...missing].map(({ name }) => name.replace(/ ivf|-node/, ""));
        expect(new Set(names)).toEqual(new Set(["usearch", "hnswlib", "faiss"]));
        for (const { reason, install } of missing) {
            expect(reason).not.toBe("");
            expect(install).toMatch(/^(npm|python3 -m pip) install \S+(@|==)[\d.]+$/);
        }
        for (const { version } of peers) expect(version).toMatch(/^\d+\.\d+/);
    });

    it.each(["l2sq", "dot"] as const)("find the nearest by %s, each of the queries they are asked for", async (metric) => {
        for (const peer of peers) {
            const open = await peer.open(set, metric);
            opened.push(open);
            for (const [first, batch] of [
                [0, 1],
                [37, 1],
                [5, 20],
            ] as const) {
                // prettier-ignore
                const wanted = Array.from({ length: batch }, (_, row) => nearest(metric, first + row)).flat();
                const { ids } = await open.search(first, batch, k, 1);
                expect(ids.length).toBe(batch * k);
                if (peer.isExact) expect([peer.name, Array.from(ids)]).toEqual([peer.name, wanted]);
                else expect(Array.from(ids).filter((id) => wanted.includes(id)).length).toBeGreaterThan(0.3 * batch * k);
            }
        }
    });
});
