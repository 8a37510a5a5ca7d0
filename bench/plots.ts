/**
 * Plots of a run, as SVG by Vega-Lite: how many times as fast as peers, time and bytes against N, and the roofline. Vega draws without a canvas; as it is only
 * needed for this, and larger than node-rtd, it is looked up when there is something to draw.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type * as Vega from "vega";
import type * as VegaLite from "vega-lite";

import type { Figure, Results } from "./figures.js";
import { optional, type Missing } from "./optional.js";
import { isMissing } from "./peers/peer.js";

type Row = Record<string, string | number>;
type Layer = { layer: object[] };

/** Writes what there are figures for; returns what has to be installed for it. */
export async function writePlots(results: Results, folder: string): Promise<Missing[]> {
    const [vega, vegaLite] = [await optional<typeof Vega>("vega"), await optional<typeof VegaLite>("vega-lite")];
    if (isMissing(vega)) return [vega, ...(isMissing(vegaLite) ? [vegaLite] : [])];
    if (isMissing(vegaLite)) return [vegaLite];
    for (const [name, spec] of Object.entries(plots(results))) {
        const compiled = vegaLite.compile(spec, {
            config: { background: "white", font: "sans-serif", axis: { labelLimit: 0 }, legend: { labelLimit: 0 } },
        });
        const view = new vega.View(vega.parse(compiled.spec), { renderer: "none" });
        await writeFile(join(folder, `${name}.svg`), await view.toSVG());
        view.finalize();
    }
    return [];
}

/** The plots that a run has figures for, by file name. */
export function plots(results: Results): Record<string, VegaLite.TopLevelSpec> {
    const searches = results.figures.filter(({ group, n }) => ["search", "targets", "hdf5"].includes(group) && n !== null);
    const all = {
        ratio: ratioPlot(searches),
        time: againstN(searches, "time", "milliseconds a call", ({ median }) => median),
        bytes: againstN(searches, "bytes", "megabytes read in a call", ({ bytes }) => (bytes === null ? undefined : bytes / 1e6)),
        roofline: roofline(searches),
    };
    return Object.fromEntries(
        Object.entries(all).filter((entry): entry is [string, VegaLite.TopLevelSpec] => entry[1] !== undefined),
    );
}

const spec = (
    title: string,
    rows: Row[],
    width: number,
    height: number | { step: number },
    { layer }: Layer,
): VegaLite.TopLevelSpec | undefined =>
    rows.length === 0
        ? undefined
        : ({
              $schema: "https://vega.github.io/schema/vega-lite/v6.json",
              title: { text: title, anchor: "start" },
              data: { values: rows },
              width,
              height,
              layer,
          } as VegaLite.TopLevelSpec);

const logarithmic = (field: string, title: string, format = "~g") => ({
    field,
    type: "quantitative",
    scale: { type: "log", nice: false, padding: 12 },
    axis: { title, format, labelOverlap: true },
});
/** The same color for a way in every plot. */
const colors = ["rtd", "rtd scan", "usearch", "faiss", "faiss ivf", "hnswlib"];
const colorOf = (rows: readonly Row[]) => {
    const ways = [...new Set(rows.map(({ way }) => String(way)))];
    const domain = [...colors, ...ways.filter((way) => !colors.includes(way))];
    return {
        field: "way",
        type: "nominal",
        scale: { domain },
        legend: { title: null, values: domain.filter((way) => ways.includes(way)) },
    };
};

function ratioPlot(figures: readonly Figure[]): VegaLite.TopLevelSpec | undefined {
    const rows = figures
        .filter(({ way }) => way === "rtd")
        .flatMap((figure) =>
            Object.entries(figure.ratios).map(([way, { median, quartiles }]) => ({
                setting: settingOf(figure),
                way,
                median,
                low: quartiles[0],
                high: quartiles[1],
            })),
        );
    const color = colorOf(rows);
    const y = { field: "setting", type: "nominal", sort: null, title: null };
    return spec(
        "How many times as long as rtd they take (median, middle half of the rounds)",
        rows,
        560,
        { step: 16 },
        {
            layer: [
                { mark: { type: "rule", strokeDash: [4, 4] }, encoding: { x: { datum: 1 } } },
                {
                    mark: { type: "rule" },
                    encoding: { y, x: { ...logarithmic("low", ""), title: null }, x2: { field: "high" }, color },
                },
                {
                    mark: { type: "point", filled: true, size: 50 },
                    encoding: { y, x: logarithmic("median", "time over rtd's"), color },
                },
            ],
        },
    );
}

/** Of the keys that were measured in most sizes: the same search over more and more of them. */
function againstN(
    figures: readonly Figure[],
    name: string,
    title: string,
    value: (figure: Figure) => number | undefined,
): VegaLite.TopLevelSpec | undefined {
    const series = new Map<string, Figure[]>();
    for (const figure of figures) {
        const sameButN = [figure.group, figure.set, ...figure.case.split("/").slice(-6)].join();
        series.set(sameButN, [...(series.get(sameButN) ?? []), figure]);
    }
    const sizesOf = (all: readonly Figure[]) => new Set(all.map(({ n }) => n)).size;
    const [most = []] = [...series.values()].toSorted((a, b) => sizesOf(b) - sizesOf(a));
    if (sizesOf(most) < 2) return undefined;
    const rows = most.flatMap((figure) => {
        const y = value(figure);
        return y === undefined ? [] : [{ n: figure.n!, way: figure.way, value: y }];
    });
    const [first] = most;
    const setting =
        first === undefined ? "" : `${first.set}, d ${first.d}, k ${first.k}, B ${first.batch}, ${threadsOf(first.threads)}`;
    const encoding = { x: logarithmic("n", "keys (N)", "~s"), y: logarithmic("value", title), color: colorOf(rows) };
    return spec(`${name[0]!.toUpperCase()}${name.slice(1)} against N: ${setting}`, rows, 560, 360, {
        layer: [
            { mark: { type: "line" }, encoding },
            { mark: { type: "point", filled: true, size: 50 }, encoding },
        ],
    });
}

/** Each search by the bytes it reads and the time it takes; none of one whole reading can be below the line of its number of threads, unless from caches. */
function roofline(figures: readonly Figure[]): VegaLite.TopLevelSpec | undefined {
    const points = figures.flatMap(({ way, bytes, median, threads }) =>
        bytes === null || bytes === 0 ? [] : [{ way, megabytes: bytes / 1e6, milliseconds: median, threads }],
    );
    const [least, most] = [
        Math.min(...points.map((point) => point.megabytes)),
        Math.max(...points.map((point) => point.megabytes)),
    ];
    const bandwidths = new Map(figures.map(({ threads, bandwidth }) => [threads, bandwidth]));
    const roofs = [...bandwidths].flatMap(([threads, bandwidth]) =>
        [least, most].map((megabytes) => ({
            roof: `memory, ${threadsOf(threads)}: ${bandwidth.toFixed(1)} GB/s`,
            megabytes,
            milliseconds: megabytes / bandwidth,
        })),
    );
    const [x, y] = [logarithmic("megabytes", "megabytes read in a call"), logarithmic("milliseconds", "milliseconds a call")];
    return spec("Roofline: time against bytes read; the lines are this machine's reading of memory", points, 560, 420, {
        layer: [
            {
                data: { values: roofs },
                mark: { type: "line" },
                encoding: { x, y, strokeDash: { field: "roof", type: "nominal", title: null } },
            },
            {
                mark: { type: "point", filled: true, size: 50, opacity: 0.8 },
                encoding: { x, y, color: colorOf(points), shape: { field: "threads", type: "nominal", title: "threads" } },
            },
        ],
    });
}

const settingOf = ({ group, set, n, d, dtype, metric, k, batch, backend, threads }: Figure): string =>
    `${group}: ${set}, ${n?.toLocaleString("en-US")} x ${d} ${dtype}, ${metric}, k ${k}, B ${batch}, ${backend}, ${threadsOf(threads)}`;

const threadsOf = (threads: number): string => `${threads} thread${threads > 1 ? "s" : ""}`;
