import { optional, packageVersion, type Missing } from "../optional.js";
import { isMissing, queriesOf, type Peer } from "./peer.js";

interface Found {
    neighbors: number[];
    distances: number[];
}

interface BruteForce {
    initIndex(most: number): void;
    addPoint(point: number[], label: number): void;
    searchKnn(query: number[], k: number): Found;
}
type Module = { BruteforceSearch: new (space: "l2" | "ip", dim: number) => BruteForce };

/** hnswlib-node's brute force: one query at a time, on one thread, from plain arrays. */
export async function hnswlib(): Promise<Peer | Missing> {
    const module = await optional<Module>("hnswlib-node");
    if (isMissing(module)) return module;
    return {
        name: "hnswlib",
        version: packageVersion("hnswlib-node") ?? "of unknown version",
        isExact: true,
        keepsKeys: true,
        threads: 1,
        cancellation: 0,
        open(set, metric) {
            const { keys, d, n } = set;
            const index = new module.BruteforceSearch(metric === "dot" ? "ip" : "l2", d);
            index.initIndex(n);
            for (let i = 0; i < n; i++) index.addPoint(Array.from(keys.subarray(i * d, (i + 1) * d)), i);
            return {
                bytes: (batch) => batch * keys.byteLength,
                search(first, batch, k) {
                    const rows = queriesOf(set, first, batch);
                    const queries = Array.from({ length: batch }, (_, row) => Array.from(rows.subarray(row * d, (row + 1) * d)));
                    const begin = performance.now();
                    const found = queries.map((query) => index.searchKnn(query, k));
                    const milliseconds = performance.now() - begin;
                    // Its brute force gives its heap, not an order.
                    const order = ({ neighbors, distances }: Found) =>
                        neighbors.map((id, i) => [distances[i]!, id] as const).sort(([a, x], [b, y]) => a - b || x - y);
                    return { ids: found.flatMap((hits) => order(hits).map(([, id]) => id)), milliseconds };
                },
                close: () => undefined,
            };
        },
    };
}
