import type * as Usearch from "usearch";

import { optional, packageVersion, type Missing } from "../optional.js";
import { isMissing, queriesOf, type Peer } from "./peer.js";

/** usearch's exact search, which has no index: it reads the keys as they are. */
export async function usearch(): Promise<Peer | Missing> {
    const module = await optional<typeof Usearch>("usearch");
    if (isMissing(module)) return module;
    const { exactSearch, MetricKind } = module;
    return {
        name: "usearch",
        version: packageVersion("usearch") ?? "of unknown version",
        isExact: true,
        keepsKeys: false,
        cancellation: 0,
        open(set, metric) {
            const kind = metric === "dot" ? MetricKind.IP : MetricKind.L2sq;
            return {
                bytes: () => set.keys.byteLength,
                search(first, batch, k, threads) {
                    const queries = queriesOf(set, first, batch);
                    const begin = performance.now();
                    const found = exactSearch(set.keys, queries, set.d, k, kind, threads) as Usearch.BatchMatches;
                    const milliseconds = performance.now() - begin;
                    return { ids: Uint32Array.from(found.keys, Number), milliseconds };
                },
                close: () => undefined,
            };
        },
    };
}
