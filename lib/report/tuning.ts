/** The report of tuning. */
import { basename } from "node:path";

import type { Tried } from "../tuning/grid.js";
import { layerOutcome, type LayerTrial } from "../tuning/layers.js";
import { gateOutcome, simpler, type TuneReport } from "../tuning/tune.js";
import type { LinePlot, Report, Section } from "./description.js";
import { measuredOn } from "./measured-on.js";
import type { Provenance } from "./provenance.js";
import { counted, written, writtenInterval } from "./units.js";

/** @param isDryRun Whether what was chosen is not kept. */
export function tuningReport(report: TuneReport, provenance: Provenance, { isDryRun = false } = {}): Report {
    const { rows, model, before, best, chosen, gain, spaces, layers, seconds } = report;
    const setting = (name: string, { space, k, temperatureScale, referenceWeight, gate, score }: Tried) => [
        name,
        space,
        String(k),
        String(temperatureScale),
        gate ? "gate" : String(referenceWeight),
        written(score, "nats"),
    ];
    const range = writtenInterval(gain.interval, "nats");
    const last = isDryRun ? "would be kept" : "kept";
    return {
        title: `Tuning of ${basename(provenance.store.path)}`,
        summary: outcome(report, isDryRun),
        sections: [
            {
                title: "Settings",
                parts: [
                    {
                        kind: "table",
                        title: "What was there, what scored best, and what is kept",
                        head: ["", "space", "k", "temperature scale", "weight", "log-probability"],
                        rows: [
                            ["model alone", "", "", "", "", written(model, "nats")],
                            setting("as it was", before),
                            setting("best", best),
                            setting(last, chosen),
                        ],
                    },
                    {
                        kind: "text",
                        text:
                            "Settings are compared by the mean log-probability (natural) of the right answers" +
                            (range === undefined
                                ? "."
                                : `; the best has ${written(gain.value, "nats")} (95% interval: ${range}) more than what was there.`),
                    },
                ],
            },
            ...(spaces.length > 1 ? [bests("By space", "The best setting in each space, simpler spaces first", spaces)] : []),
            ...(layers === undefined ? [] : [byLayer(layers)]),
            curve("By k", "k", { title: "k (hits of a token)", unit: "count", logarithmic: true }, report, last),
            curve("By temperature", "temperatureScale", { title: "temperature scale", unit: "number" }, report, last),
            curve(
                "By weight",
                "referenceWeight",
                { title: "weight of the reference", unit: "number", within: [0, 1] },
                report,
                last,
            ),
            measuredOn(provenance, [
                ["rows asked", counted(rows)],
                ["settings tried", counted(report.tried.length)],
                ["took", `${written(seconds, "number", 1)} s`],
            ]),
        ],
    };
}

function outcome(report: TuneReport, isDryRun: boolean): string[] {
    const { gain, gate, isSimpler } = report;
    const range = writtenInterval(gain.interval, "nats");
    const size = `${written(gain.value, "nats")}${range === undefined ? "" : ` (95% interval: ${range})`}`;
    const isBetter = gain.interval[0] > 0;
    const gated = gateOutcome(report);
    const isChanged = isBetter || gate?.isTaken === true;
    return [
        isBetter
            ? `The best setting gains ${size} over what was there.`
            : `The best setting is within noise of what was there: ${size} more.`,
        ...(isSimpler ? [simpler(report)] : []),
        ...(gated === undefined ? [] : [gated]),
        !isChanged
            ? "Nothing is changed."
            : isDryRun
              ? "A dry run: nothing is changed."
              : "The datastore keeps it as its defaults.",
    ];
}

function byLayer(layers: readonly LayerTrial[]): Section {
    const of = layers.map(({ layer = "last norm", best }) => ({ ...best, space: layer }));
    const { title, parts } = bests("By layer", "The best setting with keys of each layer, the sample alone as references", of);
    return { title, parts: [...parts, { kind: "text", text: layerOutcome(layers) }] };
}

/** The best setting of each space, or of whatever else is named in its place. */
function bests(title: string, caption: string, of: readonly Tried[]): Section {
    return {
        title,
        parts: [
            {
                kind: "table",
                title: caption,
                head: ["", "k", "temperature scale", "weight", "log-probability"],
                rows: of.map(({ space, k, temperatureScale, referenceWeight, score }) => [
                    space,
                    String(k),
                    String(temperatureScale),
                    String(referenceWeight),
                    written(score, "nats"),
                ]),
            },
        ],
    };
}

/** The best score of each value of one setting over all values of the others. */
function curve(
    title: string,
    name: "k" | "temperatureScale" | "referenceWeight",
    x: LinePlot["x"],
    report: TuneReport,
    last: string,
): Section {
    const { tried, model, before, best, chosen } = report;
    const tops = new Map<number, number>();
    for (const one of tried) tops.set(one[name], Math.max(one.score, tops.get(one[name]) ?? -Infinity));
    const points = [...tops].sort(([a], [b]) => a - b);
    const scores = points.map(([, score]) => score);
    const lowest = 1.5 * Math.min(...scores) - 0.5 * Math.max(...scores); // a model far below would leave the curve no height
    const alone = { name: "model alone", points: points.map(([value]): [number, number] => [value, model]), isOwn: false };
    const marks = new Map<string, { name: string; x: number; y: number }>();
    for (const [label, one] of [
        ["as it was", before],
        ["best", best],
        [last, chosen],
    ] as const) {
        const at = { x: one[name], y: one.score };
        const key = JSON.stringify(at);
        const there = marks.get(key);
        marks.set(key, { ...at, name: there === undefined ? label : `${there.name}, ${label}` });
    }
    return {
        title,
        parts: [
            {
                kind: "lines",
                title: `Best score by ${x.title}, over all values of the other settings`,
                x,
                y: { title: "mean log-probability of the right answers; more is better", unit: "nats" },
                series: [...(model > lowest ? [alone] : []), { name: "best of each", points, isOwn: true }],
                marks: [...marks.values()],
            },
        ],
    };
}
