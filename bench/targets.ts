/** The table that the cascade was built for: how many times as fast as exact peers, on two threads, and what was to be reached. */
import { milliseconds, table } from "../lib/cli/output.js";
import type { Figure } from "./figures.js";

/** By set, k and B: of usearch's time and of FAISS's. Where nothing is said there was no target. */
const targets: Record<string, Record<string, Record<number, { usearch?: number; faiss?: number }>>> = {
    "moby-dick": {
        k64: { 1: { usearch: 18, faiss: 40 }, 16: { usearch: 20, faiss: 12 }, 64: { faiss: 12 } },
        k1024: { 1: { usearch: 8 } },
    },
    power: { k64: { 1: { usearch: 15 } } },
    spectrum896: { k64: { 1: { usearch: 10 }, 16: { usearch: 10 } } },
    gauss: { k64: { 1: { usearch: 2 }, 16: { usearch: 2 } } },
};
const peers = ["usearch", "faiss"] as const;

/** Undefined where no figure is of that table. */
export function targetTable(figures: readonly Figure[], quick: boolean): string | undefined {
    const rows = figures
        .filter(({ group, way }) => group === "targets" && way === "rtd")
        .map(({ set, n, k, batch, ratios, median }) => [
            `${set}, ${n?.toLocaleString("en-US")} keys`,
            String(k),
            String(batch),
            milliseconds(median),
            ...peers.flatMap((peer) => {
                // Those are for the sets at full size.
                const target = quick ? undefined : targets[set]?.[`k${k}`]?.[batch!]?.[peer];
                return [target === undefined ? "-" : String(target), ratios[peer]?.median.toFixed(1) ?? "missing"];
            }),
        ]);
    const head = ["set", "k", "B", "rtd", ...peers.flatMap((peer) => [`target, ${peer}'s time over rtd's`, "reached"])];
    return rows.length === 0 ? undefined : table(head, rows);
}
