/** The report of an evaluation. */
import { basename } from "node:path";

import type { Estimate } from "../evaluation/bootstrap.js";
import type { ChatFigures } from "../evaluation/chat.js";
import type { Evaluation } from "../evaluation/index.js";
import type { LabelFigures, LabelScore } from "../evaluation/label.js";
import { examplesOf, namedAnswers, namedMethods, settingsOf, type ExamplesCost, type Named } from "../evaluation/names.js";
import type { BySubject } from "../evaluation/subjects.js";
import type { Stretch, TextFigures } from "../evaluation/text.js";
import { bracketed, comparison, verdict, type Compared } from "./comparison.js";
import type { Report, Section } from "./description.js";
import { measuredOn } from "./measured-on.js";
import type { Provenance } from "./provenance.js";
import { bytes, counted, withInterval, written } from "./units.js";

export function evaluationReport(evaluation: Evaluation, provenance: Provenance): Report {
    const { seconds, milliseconds } = evaluation;
    const { summary, sections } = findings(evaluation, provenance);
    return {
        title: `Evaluation of ${basename(provenance.store.path)}`,
        summary,
        sections: [
            ...sections,
            measuredOn(provenance, [
                ["settings", settingsOf(evaluation)],
                ["examples", `${counted(evaluation.rtd.count)}${evaluation.task === "text" ? " tokens" : ""}`],
                ["took", `${written(seconds, "number", 1)} s`],
                ["a token of a prompt", `${written(milliseconds.promptToken, "number", 2)} ms`],
                ["the reference adds to a token", `${written(milliseconds.reference, "number", 2)} ms`],
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
            return chatFindings(evaluation, provenance);
    }
}

function labelFindings(figures: LabelFigures, { store }: Provenance): Pick<Report, "summary" | "sections"> {
    const { model, modelBiasMatched } = figures;
    const own = figures.rtdBiasMatched ?? figures.rtd;
    const scores = namedMethods(figures);
    const areRotated = model.choice?.averaged !== undefined;
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
            `With the reference ${written(own.accuracy, "share")} of answers to ${counted(own.count)} examples are right${bracketed(own.interval, "share")}; ` +
                `the model alone has ${written(model.accuracy, "share")}` +
                (modelBiasMatched === undefined
                    ? "."
                    : `, with the matched bias ${written(modelBiasMatched.accuracy, "share")}.`),
            ...(own.gain === undefined ? [] : [verdict(own.gain, "points", against, 1)]),
        ],
        sections: [
            ...shares(
                areRotated ? "accuracy over all rotations" : "accuracy",
                `Paired, example by example: over ${against}` +
                    (modelBiasMatched === undefined
                        ? "."
                        : ", and of that itself over the model alone. What lies beyond the matched bias is the reference's."),
                rows,
                ["macro-F1", "calibration error"],
            ),
            ...choiceSections(scores, figures.confusion.labels),
            ...subjectSection("accuracy", modelBiasMatched ?? model, own, ({ accuracy, interval }) => ({
                value: accuracy,
                interval,
            })),
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
            costs(figures, store.bytes),
        ],
    };
}

/** Of questions with options: what their rotations agree on, and which letters are said whatever they stand for. */
function choiceSections(scores: readonly Named<LabelScore>[], letters: readonly string[]): Section[] {
    const choices = scores.flatMap(({ name, score: { choice }, hasReference }) =>
        choice === undefined ? [] : [{ name, choice, isOwn: hasReference }],
    );
    const [first] = choices;
    if (first === undefined) return [];
    const averaged = choices.flatMap(({ name, choice, isOwn }): Compared[] => {
        const { accuracy, interval, gain } = choice.averaged ?? {};
        return accuracy === undefined || interval === undefined ? [] : [{ name, value: accuracy, interval, gain, isOwn }];
    });
    const parts = (said: readonly number[]) => letters.map((_, i) => written(said[i] ?? 0, "share"));
    return [
        ...(averaged.length === 0
            ? []
            : shares(
                  "accuracy of the mean over rotations",
                  "Paired, question by question: of the option with the largest mean probability over all rotations.",
                  averaged,
              )),
        {
            title: "Position bias",
            parts: [
                {
                    kind: "text",
                    text: "The share of answers that is each letter, whatever stands behind it. Spread: how much further above its share of right answers the most favoured letter is than the least favoured.",
                },
                {
                    kind: "table",
                    title: "Letters that are said",
                    head: ["", "spread", ...letters],
                    rows: [
                        ...choices.map(({ name, choice: { positions } }) => [
                            name,
                            written(positions.spread, "share"),
                            ...parts(positions.said),
                        ]),
                        ["right answers", "", ...parts(first.choice.positions.right)],
                    ],
                },
            ],
        },
    ];
}

/** None where no row of the data names its subject. */
function subjectSection<Figures extends { count: number }>(
    measure: string,
    alone: { bySubject: BySubject<Figures> },
    own: { bySubject: BySubject<Figures> },
    estimate: (figures: Figures) => Estimate,
): Section[] {
    const estimates = own.bySubject.map((figures) => {
        const other = alone.bySubject.find(({ subject }) => subject === figures.subject);
        return { subject: figures.subject, count: figures.count, model: other && estimate(other), rtd: estimate(figures) };
    });
    if (estimates.length === 0) return [];
    const text = (given: Estimate | undefined) => (given === undefined ? "" : withInterval(given.value, given.interval, "share"));
    return [
        {
            title: "By subject",
            parts: [
                {
                    kind: "dots",
                    title: "By subject, with 95% intervals",
                    axis: { title: `${measure}; more is better`, unit: "share", within: [0, 1] },
                    rows: estimates.flatMap(({ subject, model, rtd }) => [
                        ...(model === undefined ? [] : [{ name: `${subject}: model`, ...model, isOwn: false }]),
                        { name: `${subject}: rtd`, ...rtd, isOwn: true },
                    ]),
                },
                {
                    kind: "table",
                    title: `By subject: ${measure}`,
                    head: ["", "examples", "model", "rtd"],
                    rows: estimates.map(({ subject, count, model, rtd }) => [subject, counted(count), text(model), text(rtd)]),
                },
            ],
        },
    ];
}

/** What is paid for each way of adapting the model. */
function costs(figures: LabelFigures | ChatFigures, storeBytes: number): Section {
    const rows = (name: string, tokens: number) => [
        [name === "" ? "model" : name, written(tokens, "count"), ""],
        [name === "" ? "rtd" : `${name}, and rtd`, written(tokens, "count"), bytes(storeBytes)],
    ];
    return {
        title: "Costs",
        parts: [
            {
                kind: "table",
                title: "What each needs",
                head: ["", "tokens of a prompt", "datastore"],
                rows: [
                    ...rows("", figures.promptTokens),
                    ...examplesOf<ExamplesCost>(figures).flatMap(({ name, examples }) => rows(name, examples.promptTokens)),
                ],
            },
        ],
    };
}

/** A comparison of shares of right answers. */
const shares = (measure: string, explanation: string, rows: readonly Compared[], more: readonly string[] = []): Section[] =>
    comparison(
        { title: measure, unit: "share", within: [0, 1], better: "more" },
        {
            title: "gain, points",
            heading: `Gain in ${measure}`,
            axis: { title: `percentage points of ${measure}`, unit: "points", within: [-1, 1] },
            explanation,
        },
        rows,
        more,
    );

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

function chatFindings(figures: ChatFigures, { store }: Provenance): Pick<Report, "summary" | "sections"> {
    const { model, rtd } = figures;
    const answers = namedAnswers(figures);
    const explanation = "Paired, example by example, over the model alone.";
    return {
        summary: [
            `With the reference ${written(rtd.exactMatch, "share")} of ${counted(rtd.count)} answers match exactly${bracketed(rtd.interval, "share")}; ` +
                `of the model alone ${written(model.exactMatch, "share")}.`,
            ...(rtd.gain === undefined ? [] : [verdict(rtd.gain, "points", "the model alone", 1)]),
        ],
        sections: [
            ...shares(
                "exact match",
                explanation,
                answers.map(({ name, score: { exactMatch, interval, gain }, hasReference }) => ({
                    name,
                    value: exactMatch,
                    interval,
                    gain,
                    isOwn: hasReference,
                })),
            ),
            ...shares(
                "F1 of words",
                explanation,
                answers.map(({ name, score: { f1, f1Interval, f1Gain }, hasReference }) => ({
                    name,
                    value: f1,
                    interval: f1Interval,
                    gain: f1Gain,
                    isOwn: hasReference,
                })),
            ),
            ...subjectSection("exact match", model, rtd, ({ exactMatch, interval }) => ({ value: exactMatch, interval })),
            costs(figures, store.bytes),
        ],
    };
}
