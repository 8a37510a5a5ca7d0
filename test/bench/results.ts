/** Results as a run would leave them. */
import type { Figure, Results } from "../../bench/figures.js";

export function figure(values: Partial<Figure>): Figure {
    return {
        name: "search/keys/l2sq/f32/k64/B1/auto/t1 of 1000: rtd",
        case: "search/keys/l2sq/f32/k64/B1/auto/t1",
        group: "search",
        way: "rtd",
        version: "node-rtd 0.1.0",
        set: "keys",
        n: 1000,
        d: 64,
        metric: "l2sq",
        dtype: "f32",
        heads: 1,
        k: 64,
        batch: 1,
        backend: "avx512",
        threads: 1,
        median: 1,
        quartiles: [0.9, 1.1],
        per: "call",
        repeats: 7,
        bytes: 256_000,
        bandwidth: 10,
        bandwidthShare: 0.0256,
        survivors: { scanned: 0, level1: 1024, level2: 300, level2b: 0, level3: 90, exact: 66 },
        check: "the scan's bits",
        recall: null,
        ratios: {},
        ...values,
    };
}

export function results(figures: Figure[]): Results {
    return {
        format: "node-rtd-bench",
        version: 1,
        date: "2026-01-01T00:00:00.000Z",
        options: { quick: true, filter: null, store: null, hdf5: [] },
        machine: { cpu: "a processor", cores: 2, memory: 2 ** 34, platform: "linux-x64", bandwidth: { 1: 10 } },
        versions: { "node-rtd": "0.1.0", node: "20.0.0", usearch: "2.0.0" },
        missing: [],
        leftOut: [],
        figures,
        advice: [],
    };
}
