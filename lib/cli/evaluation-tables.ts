/** An evaluation as tables. */
import type { Interval } from "../evaluation/bootstrap.js";
import type { ChatFigures, ChatScore } from "../evaluation/chat.js";
import type { ChoiceScore } from "../evaluation/choice.js";
import type { Evaluation } from "../evaluation/index.js";
import type { LabelFigures, LabelScore } from "../evaluation/label.js";
import { examplesOf, namedAnswers, namedMethods, settingsOf, type ExamplesCost } from "../evaluation/names.js";
import type { Perplexity, TextFigures } from "../evaluation/text.js";
import type { Times } from "../evaluation/times.js";
import { bytes } from "../report/units.js";
import { milliseconds, percent, table } from "./output.js";
import { duration } from "./progress.js";

/** The figures as tables, and what they were measured with. */
export function describe(evaluation: Evaluation): string {
    const settings = `${settingsOf(evaluation)}, in ${duration(evaluation.seconds)}; ${timesOf(evaluation.milliseconds)}`;
    return [...tables(evaluation), settings].join("\n\n");
}

const timesOf = ({ promptToken, reference }: Times): string =>
    `a token of a prompt takes ${milliseconds(promptToken)}, the reference ${milliseconds(reference)} a token`;

function tables(evaluation: Evaluation): string[] {
    switch (evaluation.task) {
        case "label":
            return labelTables(evaluation);
        case "text":
            return [textTable(evaluation)];
        case "chat":
            return chatTables(evaluation);
    }
}

function textTable(figures: TextFigures): string {
    const row = (name: string, score: Perplexity) => [
        name,
        `${score.perplexity.toFixed(2)} ${brackets(score.interval, (value) => value.toFixed(2))}`,
        score.change === undefined ? "" : `${signed(score.change.value)} ${brackets(score.change.interval, signed)}`,
        score.bitsPerByte.toFixed(3),
        score.firstHalf.toFixed(2),
        score.secondHalf.toFixed(2),
    ];
    return table(
        ["", `perplexity of ${figures.rtd.count}`, "change", "bits per byte", "first half", "second half"],
        [row("model", figures.model), row("rtd", figures.rtd)],
    );
}

function labelTables(figures: LabelFigures): string[] {
    const { model, modelBiasMatched, rtd, rtdBiasMatched, confusion } = figures;
    const scores = namedMethods(figures);
    const areRotated = rtd.choice?.averaged !== undefined;
    const accuracies = table(
        ["", `accuracy of ${rtd.count}${areRotated ? ", all rotations" : ""}`, "gain", "macro-F1", "calibration error"],
        scores.map(({ name, score }) => [
            name,
            estimate(score.accuracy, score.interval),
            gain(score.gain),
            score.macroF1.toFixed(3),
            score.calibrationError === undefined ? "-" : score.calibrationError.toFixed(3),
        ]),
    );
    const { labels, counts } = confusion;
    const matrix = labels.map((label, i) => [label, ...(counts[i] as number[]).map(String)]);
    const choices = scores.flatMap(({ name, score: { choice } }): [string, ChoiceScore][] =>
        choice === undefined ? [] : [[name, choice]],
    );
    const [alone, merged] = [modelBiasMatched ?? model, rtdBiasMatched ?? rtd];
    return [
        accuracies,
        ...(choices.length > 0 ? choiceTables(choices, labels) : []),
        ...subjectTable(merged.bySubject, [
            ["model", ({ subject }) => accuracyOf(alone, subject)],
            ["rtd", ({ subject }) => accuracyOf(merged, subject)],
        ]),
        ...(labels.length > widestConfusion ? [] : [table(["rtd says:", ...labels], matrix)]),
        cost(figures),
    ];
}

/** More labels do not fit a terminal; --json has them all. */
const widestConfusion = 10;

function accuracyOf(score: LabelScore, subject: string): string {
    const figures = score.bySubject.find((other) => other.subject === subject);
    return figures === undefined ? "" : estimate(figures.accuracy, figures.interval);
}

function choiceTables(choices: readonly [string, ChoiceScore][], letters: readonly string[]): string[] {
    const averaged = choices.flatMap(([name, { averaged }]) =>
        averaged === undefined ? [] : [[name, estimate(averaged.accuracy, averaged.interval), gain(averaged.gain)]],
    );
    const { right } = (choices[0] as [string, ChoiceScore])[1].positions;
    const shown = letters.slice(0, widestConfusion);
    const shares = (values: readonly number[]) => shown.map((_, i) => percent(values[i] as number));
    const positions = choices.map(([name, { positions }]) => [name, percent(positions.spread), ...shares(positions.said)]);
    return [
        ...(averaged.length > 0 ? [table(["", "accuracy of the mean over rotations", "gain"], averaged)] : []),
        table(["share of answers", "spread", ...shown], [...positions, ["right answers", "", ...shares(right)]]),
    ];
}

function chatTables(figures: ChatFigures): string[] {
    const { model, rtd } = figures;
    const rows = namedAnswers(figures).map(({ name, score }) => [
        name,
        estimate(score.exactMatch, score.interval),
        gain(score.gain),
        estimate(score.f1, score.f1Interval),
        gain(score.f1Gain),
    ]);
    const matchOf = ({ bySubject }: ChatScore, subject: string): string => {
        const score = bySubject.find((other) => other.subject === subject);
        return score === undefined ? "" : estimate(score.exactMatch, score.interval);
    };
    return [
        table(["", `exact match of ${model.count}`, "gain", "F1", "F1 gain"], rows),
        ...subjectTable(rtd.bySubject, [
            ["model", ({ subject }) => matchOf(model, subject)],
            ["rtd", ({ subject }) => matchOf(rtd, subject)],
            ["F1, rtd", ({ f1, f1Interval }) => estimate(f1, f1Interval)],
        ]),
        cost(figures),
    ];
}

/** None where no row names its subject. */
function subjectTable<S extends { subject: string; count: number }>(
    subjects: readonly S[],
    columns: readonly [string, (subject: S) => string][],
): string[] {
    if (subjects.length === 0) return [];
    const rows = subjects.map((subject) => [subject.subject, String(subject.count), ...columns.map(([, text]) => text(subject))]);
    return [table(["subject", "count", ...columns.map(([name]) => name)], rows)];
}

function cost(figures: LabelFigures | ChatFigures): string {
    const tokens = examplesOf<ExamplesCost>(figures).map(({ name, examples }) => `${examples.promptTokens.toFixed(0)} ${name}`);
    return `${[`${figures.promptTokens.toFixed(0)} tokens a prompt`, ...tokens].join(", ")}; ${bytes(figures.storeBytes)} of datastore`;
}

const signed = (share: number): string => (share < 0 ? "" : "+") + percent(share);
const estimate = (value: number, interval: Interval): string => `${percent(value)} ${brackets(interval, percent)}`.trimEnd();
const gain = (gain: { value: number; interval: Interval } | undefined): string =>
    gain === undefined ? "" : `${signed(gain.value)} ${brackets(gain.interval, signed)}`;
const brackets = ([low, high]: Interval, text: (value: number) => string): string =>
    Number.isFinite(low) && Number.isFinite(high) ? `[${text(low)}, ${text(high)}]` : "";
