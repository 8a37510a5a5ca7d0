/** The figures of a run for a terminal. */
import { milliseconds as time, percent, table } from "../lib/cli/output.js";
import { bytes as size, counted } from "../lib/report/units.js";
import type { Figure, Results } from "./figures.js";
import { targetTable } from "./targets.js";

export function describeResults(results: Results): string {
    const { machine, versions, missing, leftOut, figures, options, advice } = results;
    const bandwidth = Object.entries(machine.bandwidth).map(([threads, value]) => `${value.toFixed(1)} GB/s on ${threads}`);
    const parts = [
        `${machine.cpu}, ${machine.cores} cores; reads ${bandwidth.join(", ")} thread${machine.cores > 1 ? "s" : ""}`,
        Object.entries(versions)
            .map(([name, version]) => `${name} ${version}`)
            .join(", "),
        ...blocks(figures),
        targetTable(figures, options.quick),
        listOf(
            "Missing:",
            missing.map(({ name, reason, install }) => `${name}: ${reason}; ${install}`),
        ),
        listOf(
            "Left out:",
            leftOut.map(({ name, reason }) => `${name}: ${reason}`),
        ),
        listOf("Advice:", advice),
    ];
    return parts.filter((part) => part !== undefined).join("\n\n");
}

const listOf = (title: string, lines: readonly string[]): string | undefined =>
    lines.length === 0 ? undefined : [title, ...lines.map((line) => `  ${line}`)].join("\n");

/** Figures of the same case side by side. */
function blocks(figures: readonly Figure[]): string[] {
    const cases = new Map<string, Figure[]>();
    for (const figure of figures) cases.set(figure.case, [...(cases.get(figure.case) ?? []), figure]);
    return Array.from(cases.values(), (all) => `${titleOf(all[0]!)}\n${blockTable(all)}`);
}

function titleOf({ group, set, n, d, metric, dtype, heads, k, batch, threads }: Figure): string {
    const parts = [
        n !== null && d !== null && `${counted(n)} keys of ${d}${dtype === null ? "" : ` ${dtype}`}`,
        metric,
        heads !== null && heads > 1 && `${heads} heads`,
        k !== null && `k ${k}`,
        batch !== null && `B ${batch}`,
        `${threads} thread${threads > 1 ? "s" : ""}`,
    ];
    return `${group}, ${set}: ${parts.filter(Boolean).join(", ")}`;
}

function blockTable(figures: readonly Figure[]): string {
    const own = figures.find(({ way }) => way === "rtd");
    const rows = figures.map((figure) => {
        const { way, backend, per, median, quartiles, repeats, bytes, bandwidthShare, survivors, recall, ratios } = figure;
        // Beside a peer: how many times as fast node-rtd is; elsewhere what the figure is compared with itself.
        const ratio = own?.ratios[way] ?? (own === undefined ? Object.values(ratios)[0] : undefined);
        return [
            backend === null ? way : `${way}, ${backend}`,
            `${time(median)} ${per === "entry" ? "an" : "a"} ${per}`,
            `${quartiles.map(time).join(" to ")}, ${repeats} times`,
            ratio === undefined
                ? ""
                : `${ratio.median.toPrecision(3)} (${ratio.quartiles.map((q) => q.toPrecision(3)).join(" to ")})`,
            bytes === null ? "" : size(bytes),
            bandwidthShare === null ? "" : percent(bandwidthShare),
            survivors === null ? "" : survivorText(survivors),
            recall === null ? figure.check : `recall ${recall.toFixed(3)}`,
        ];
    });
    const ratio = own === undefined ? "first's time over it" : "its time over rtd's";
    const head = ["", "median", "middle half", ratio, "reads", "of bandwidth", "looks at", "checked by"];
    const used = head.map((_, column) => column === 0 || rows.some((row) => row[column] !== ""));
    const kept = (row: readonly string[]) => row.filter((_, column) => used[column]);
    return table(kept(head), rows.map(kept));
}

function survivorText({ scanned, level1, level2, level2b, level3, exact }: NonNullable<Figure["survivors"]>): string {
    const whole = (value: number) => counted(Math.round(value));
    const cascade = [level1, level2, ...(level2b > 0 ? [level2b] : []), level3, exact].map(whole).join(" > ");
    return [level1 > 0 && cascade, scanned > 0 && `${whole(scanned)} scanned`].filter(Boolean).join(", ");
}
