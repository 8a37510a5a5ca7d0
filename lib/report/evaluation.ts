/** The report of an evaluation. */
import { basename } from "node:path";

import { bytes } from "../cli/output.js";
import type { Interval } from "../evaluation/bootstrap.js";
import type { ChatFigures } from "../evaluation/chat.js";
import type { Evaluation } from "../evaluation/index.js";
import { namedScores, type LabelFigures } from "../evaluation/label.js";
import type { Stretch, TextFigures } from "../evaluation/text.js";
import type { Axis, Report, Section, Table } from "./description.js";
import { measuredOn } from "./measured-on.js";
import type { Provenance } from "./provenance.js";
import { counted, written, writtenInterval, type Unit } from "./units.js";

export function evaluationReport(evaluation: Evaluation, provenance: Provenance): Report {
    const { k, temperature, referenceWeight, seconds } = evaluation;
    const { summary, sections } = findings(evaluation, provenance);
    return {
        title: `Evaluation of ${basename(provenance.store.path)}`,
        summary,
        sections: [
            ...sections,
            measuredOn(provenance, [
                ["settings", `k ${k}, temperature ${temperature.toPrecision(3)}, weight ${referenceWeight}`],
                ["examples", `${counted(evaluation.rtd.count)}${evaluation.task === "text" ? " tokens" : ""}`],
                ["took", `${written(seconds, "number", 1)} s`],
            ]),
        ],
    };
}

function findings(evaluation: Evaluation, provenance: Provenance): Pick<Report, "summary" | "sections"> {
    switch (evaluation.task) {
        case "label":
            return labelFindings(evaluation, provenance);
        case "text":
            return textFindings(evaluation);
        case "chat":
            return chatFindings(evaluation);
    }
}

interface Difference {
    value: number;
    interval: Interval;
}

/** One of those that are compared. */
interface Compared extends Difference {
    name: string;
    isOwn: boolean;
    /** Over what it is held against; undefined for that itself. */
    gain: Difference | undefined;
    /** More columns of the table. */
    more?: string[];
}

/** Values with their intervals, and in a section of their own the paired differences. */
function comparison(
    measure: Axis & { better: "more" | "less" },
    difference: { title: string; heading: string; axis: Axis; explanation: string },
    rows: readonly Compared[],
    more: readonly string[] = [],
): Section[] {
    const interval = (given: Difference | undefined, unit: Unit) => (given && writtenInterval(given.interval, unit)) ?? "";
    const name = capitalised(measure.title);
    const directed = (axis: Axis): Axis => ({ ...axis, title: `${axis.title}; ${measure.better} is better` });
    const table: Table = {
        kind: "table",
        title: `${name} and other figures`,
        head: ["", measure.title, "95% interval", difference.title, "95% interval", ...more],
        rows: rows.map((row) => [
            row.name,
            written(row.value, measure.unit),
            interval(row, measure.unit),
            row.gain === undefined ? "" : written(row.gain.value, difference.axis.unit),
            interval(row.gain, difference.axis.unit),
            ...(row.more ?? []),
        ]),
    };
    const gains = rows.flatMap(({ name, gain, isOwn }) => (gain === undefined ? [] : [{ name, isOwn, ...gain }]));
    return [
        {
            title: name,
            parts: [{ kind: "dots", title: `${name}, with 95% intervals`, axis: directed(measure), rows: [...rows] }, table],
        },
        {
            title: difference.heading,
            parts: [
                { kind: "text", text: difference.explanation },
                {
                    kind: "dots",
                    title: `${difference.heading}, with 95% intervals`,
                    axis: directed(difference.axis),
                    rows: gains,
                    aboutZero: true,
                },
            ],
        },
    ];
}

function labelFindings(figures: LabelFigures, { store }: Provenance): Pick<Report, "summary" | "sections"> {
    const { model, modelBiasMatched, shots, promptTokens } = figures;
    const own = figures.rtdBiasMatched ?? figures.rtd;
    const scores = namedScores(figures);
    const against = modelBiasMatched === undefined ? "the model alone" : "the model with the matched bias";
    const rows = scores.map(({ name, score, hasReference }): Compared => ({
        name,
        value: score.accuracy,
        interval: score.interval,
        gain: score.gain,
        isOwn: hasReference,
        more: [
            written(score.macroF1, "number", 3),
            score.calibrationError === undefined ? "" : written(score.calibrationError, "number", 3),
        ],
    }));
    const panels = scores.flatMap(({ name, score: { calibration, calibrationError } }) =>
        calibration === undefined || calibrationError === undefined
            ? []
            : [{ name, note: `error ${written(calibrationError, "number", 3)}`, bins: calibration }],
    );
    const [asked, said] = ["right labels in rows, what was said in columns", "rtd"];
    const biased = figures.rtdBiasMatched === undefined ? said : `${said}, matched bias`;
    return {
        summary: [
            `With the reference ${written(own.accuracy, "share")} of ${counted(own.count)} answers are right${bracketed(own.interval, "share")}; ` +
                `the model alone has ${written(model.accuracy, "share")}` +
                (modelBiasMatched === undefined
                    ? "."
                    : `, with the matched bias ${written(modelBiasMatched.accuracy, "share")}.`),
            ...(own.gain === undefined ? [] : [verdict(own.gain, "points", against, 1)]),
        ],
        sections: [
            ...comparison(
                { title: "accuracy", unit: "share", within: [0, 1], better: "more" },
                {
                    title: "gain, points",
                    heading: "Gain",
                    axis: { title: "percentage points of accuracy", unit: "points", within: [-1, 1] },
                    explanation:
                        `Paired, example by example: over ${against}` +
                        (modelBiasMatched === undefined
                            ? "."
                            : ", and of that itself over the model alone. What lies beyond the matched bias is the reference's."),
                },
                rows,
                ["macro-F1", "calibration error"],
            ),
            {
                title: "Calibration",
                parts: [
                    {
                        kind: "text",
                        text: "How often answers are right (upwards) by how sure they were (to the right). On the diagonal both agree; above it answers are better than they were sure. The larger a dot, the more answers; the error is the mean distance from the diagonal.",
                    },
                    { kind: "reliability", title: "Reliability", panels },
                ],
            },
            {
                title: "Confusion",
                parts: [
                    {
                        kind: "heat",
                        title: `Answers of ${biased}: ${asked}`,
                        names: figures.confusion.labels,
                        counts: figures.confusion.counts,
                    },
                ],
            },
            {
                title: "Costs",
                parts: [
                    {
                        kind: "table",
                        title: "What each needs",
                        head: ["", "tokens of a prompt", "datastore"],
                        rows: [
                            ["model", written(promptTokens, "count"), ""],
                            ["rtd", written(promptTokens, "count"), bytes(store.bytes)],
                            ...shots.flatMap(({ count, seed, promptTokens }) => [
                                [`${count}-shot, seed ${seed}`, written(promptTokens, "count"), ""],
                                [`${count}-shot, seed ${seed}, and rtd`, written(promptTokens, "count"), bytes(store.bytes)],
                            ]),
                        ],
                    },
                ],
            },
        ],
    };
}

function textFindings({ model, rtd, course }: TextFigures): Pick<Report, "summary" | "sections"> {
    const row = (name: string, score: TextFigures["rtd"], isOwn: boolean): Compared => ({
        name,
        value: score.perplexity,
        interval: score.interval,
        gain: score.change,
        isOwn,
        more: [written(score.bitsPerByte, "number", 3), written(score.firstHalf, "number"), written(score.secondHalf, "number")],
    });
    return {
        summary: [
            `With the reference the perplexity of ${counted(rtd.count)} tokens is ${written(rtd.perplexity, "number")}${bracketed(rtd.interval, "number")}; ` +
                `of the model alone ${written(model.perplexity, "number")}.`,
            ...(rtd.change === undefined ? [] : [verdict(rtd.change, "change", "the model alone", -1)]),
        ],
        sections: [
            ...comparison(
                { title: "perplexity", unit: "number", within: [1, Infinity], better: "less" },
                {
                    title: "change",
                    heading: "Change of perplexity",
                    axis: { title: "percent of the model's perplexity", unit: "change", within: [-1, Infinity] },
                    explanation: "Over the model alone, on the same blocks of 50 tokens.",
                },
                [row("model", model, false), row("rtd", rtd, true)],
                ["bits per byte", "first half", "second half"],
            ),
            {
                title: "Along the text",
                parts: [
                    {
                        kind: "text",
                        text: "Of each stretch by itself (dots), and of all that was read so far (line). Less is better.",
                    },
                    {
                        kind: "lines",
                        title: "Change of perplexity along the text",
                        x: { title: "tokens of the text", unit: "count", within: [0, Infinity] },
                        y: { title: "percent of the model's perplexity", unit: "change" },
                        aboutZero: true,
                        series: changesAlong(course),
                        marks: [],
                    },
                ],
            },
        ],
    };
}

function changesAlong(course: readonly Stretch[]) {
    let [tokens, nats] = [0, 0];
    const soFar = course.map(({ from, to, model, rtd }): [number, number] => {
        tokens += to - from;
        nats += (to - from) * Math.log(rtd / model);
        return [to, Math.exp(nats / tokens) - 1];
    });
    const each = course.map(({ to, model, rtd }): [number, number] => [to, rtd / model - 1]);
    return [
        { name: "each stretch", points: each, isOwn: false, areDots: true },
        { name: "so far", points: soFar, isOwn: true },
    ];
}

function chatFindings({ model, rtd }: ChatFigures): Pick<Report, "summary" | "sections"> {
    const row = (name: string, score: ChatFigures["rtd"], isOwn: boolean): Compared => ({
        name,
        value: score.exactMatch,
        interval: score.interval,
        gain: score.gain,
        isOwn,
    });
    return {
        summary: [
            `With the reference ${written(rtd.exactMatch, "share")} of ${counted(rtd.count)} answers match exactly${bracketed(rtd.interval, "share")}; ` +
                `of the model alone ${written(model.exactMatch, "share")}.`,
            ...(rtd.gain === undefined ? [] : [verdict(rtd.gain, "points", "the model alone", 1)]),
        ],
        sections: comparison(
            { title: "exact match", unit: "share", within: [0, 1], better: "more" },
            {
                title: "gain, points",
                heading: "Gain",
                axis: { title: "percentage points of exact match", unit: "points", within: [-1, 1] },
                explanation: "Paired, example by example, over the model alone.",
            },
            [row("model", model, false), row("rtd", rtd, true)],
        ),
    };
}

/** better: 1 where more is better, -1 where less is. */
function verdict({ value, interval }: Difference, unit: Unit, against: string, better: 1 | -1): string {
    const [worst, best] = better === 1 ? interval : [-interval[1], -interval[0]];
    const size = `Against ${against} that is ${written(value, unit)}${unit === "points" ? " points" : ""}${bracketed(interval, unit)}`;
    return `${size}: ${worst > 0 ? "better, beyond noise" : best < 0 ? "worse, beyond noise" : "within noise"}.`;
}

function bracketed(interval: Interval, unit: Unit): string {
    const range = writtenInterval(interval, unit);
    return range === undefined ? "" : ` (95% interval: ${range})`;
}

const capitalised = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
