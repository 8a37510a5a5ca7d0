/** What `npm run reproduce` found, as tables in Markdown. */
import { percent, table } from "../cli/output.js";
import type { Interval } from "../evaluation/bootstrap.js";
import type { ChatFigures } from "../evaluation/chat.js";
import type { Evaluation } from "../evaluation/index.js";
import type { LabelFigures, LabelScore } from "../evaluation/label.js";
import { examplesOf, namedAnswers, namedMethods, type ExamplesCost, type Named } from "../evaluation/names.js";
import type { TextFigures } from "../evaluation/text.js";
import type { Times } from "../evaluation/times.js";
import { bytes, counted } from "../report/units.js";
import type { Measurement } from "./measure.js";
import type { Thinned } from "./thinning.js";

type Of<Figures> = Measurement & { evaluation: Evaluation & Figures };

/** All tables, each under its own heading. */
export function tables(measurements: readonly Measurement[]): string {
    const labels = measurements.filter((one): one is Of<LabelFigures> => one.evaluation.task === "label");
    const answers = measurements.filter((one): one is Of<ChatFigures> => one.evaluation.task === "chat");
    const texts = measurements.filter((one): one is Of<TextFigures> => one.evaluation.task === "text");
    const isChoice = ({ evaluation }: Of<LabelFigures>) => evaluation.model.choice !== undefined;
    const hasExamples = ({ evaluation, shots }: Of<LabelFigures> | Of<ChatFigures>) =>
        shots > 0 || examplesOf<ExamplesCost>(evaluation).length > 0;
    const without = <M extends Of<LabelFigures> | Of<ChatFigures>>(all: readonly M[]) => all.filter((one) => !hasExamples(one));
    const sections: [string, string | undefined][] = [
        ["Labels: accuracy", labelTable(without(labels).filter((one) => !isChoice(one)))],
        ["In-context examples beside references", examplesTable([...labels, ...answers].filter(hasExamples))],
        ["Multiple choice, every question in all rotations of its options", choiceTable(labels.filter(isChoice))],
        ["Text: perplexity", textTable(texts)],
        ["Facts: the greedy answer", answerTable(without(answers))],
        ["Facts by subject: exact match", subjectTable(without(answers))],
    ];
    return sections.flatMap(([title, rows]) => (rows === undefined ? [] : [`## ${title}\n\n${rows}`])).join("\n\n");
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string | undefined {
    return rows.length === 0 ? undefined : table(head, rows, { markdown: true });
}

const settings = ({ variant, settings: { space, k, temperatureScale, referenceWeight, gate } }: Measurement): string =>
    `${variant.endsWith("tuned") ? `${variant}: ${space}` : variant}, k ${k}, T ${temperatureScale}, ${gate ? "a gate" : `a ${referenceWeight}`}`;

const share = (value: number, interval: Interval): string => `${percent(value)} [${interval.map(percent).join(", ")}]`;
const accuracyOf = (score: LabelScore | undefined): string => (score === undefined ? "-" : percent(score.accuracy));

/** Tokens of a prompt, and the time it takes to read them, alone and with the reference. */
function promptCosts({ promptTokens, milliseconds }: { promptTokens: number; milliseconds: Times }): string[] {
    const { promptToken, reference } = milliseconds;
    const alone = promptTokens * promptToken;
    return [promptTokens.toFixed(0), alone.toFixed(1), (alone + reference).toFixed(1)];
}

function labelTable(measurements: readonly Of<LabelFigures>[]): string | undefined {
    return markdown(
        [
            "set",
            "searched",
            "entries",
            "tests",
            "model",
            "matched bias",
            "rtd",
            "rtd, matched bias",
            "nearest",
            "linear probe",
            "tokens of a prompt",
            "ms of a prompt, model",
            "ms, rtd",
            "store",
        ],
        measurements.map((one) => {
            const { evaluation } = one;
            const { model, modelBiasMatched, rtd, rtdBiasMatched, nearest, linearProbe, storeBytes } = evaluation;
            return [
                one.title,
                settings(one),
                counted(one.entries),
                counted(model.count),
                accuracyOf(model),
                accuracyOf(modelBiasMatched),
                share(rtd.accuracy, rtd.interval),
                accuracyOf(rtdBiasMatched),
                accuracyOf(nearest),
                accuracyOf(linearProbe),
                ...promptCosts(evaluation),
                bytes(storeBytes),
            ];
        }),
    );
}

type Answered = Pick<LabelScore, "count" | "interval"> & { value: number };

/** The accuracy of each method, or the exact match of its answers. */
function scoresOf(figures: LabelFigures | ChatFigures): Named<Answered>[] {
    return "answers" in figures
        ? namedAnswers(figures).map((one) => ({ ...one, score: { ...one.score, value: one.score.exactMatch } }))
        : namedMethods(figures).map((one) => ({ ...one, score: { ...one.score, value: one.score.accuracy } }));
}

function examplesTable(measurements: readonly (Of<LabelFigures> | Of<ChatFigures>)[]): string | undefined {
    const rows = measurements.flatMap(({ title, evaluation, shots }) => {
        const { milliseconds, promptTokens, storeBytes } = evaluation;
        const scores = scoresOf(evaluation);
        const tokensOf = new Map(examplesOf<ExamplesCost>(evaluation).map(({ name, examples }) => [name, examples.promptTokens]));
        return scores.flatMap(({ name, score, hasReference }) => {
            if (["nearest reference", "linear probe"].includes(name)) return [];
            const tokens = tokensOf.get(name.replace(", and rtd", "")) ?? promptTokens;
            const [read, alone, merged] = promptCosts({ promptTokens: tokens, milliseconds }) as [string, string, string];
            const costs = [read, hasReference ? merged : alone, hasReference ? bytes(storeBytes) : "-"];
            const shown = shots > 0 ? `${shots}-shot, ${name}` : name;
            return [[title, counted(score.count), shown, share(score.value, score.interval), ...costs]];
        });
    });
    const head = ["set", "tests", "", "accuracy or exact match", "tokens of a prompt", "ms of a prompt", "store"];
    return markdown(head, rows);
}

function choiceTable(measurements: readonly Of<LabelFigures>[]): string | undefined {
    const rows = measurements.flatMap((one) => {
        const { model, modelBiasMatched, rtd, rtdBiasMatched, nearest, linearProbe } = one.evaluation;
        const scores: [string, LabelScore | undefined][] = [
            ["model", model],
            ["model, matched bias", modelBiasMatched],
            ["rtd", rtd],
            ["rtd, matched bias", rtdBiasMatched],
            ["nearest reference", nearest],
            ["linear probe", linearProbe],
        ];
        return scores.flatMap(([name, score]) => {
            if (score?.choice === undefined) return [];
            const { averaged, positions } = score.choice;
            return [
                [
                    one.title,
                    settings(one),
                    counted(one.entries),
                    counted(score.count),
                    name,
                    share(score.accuracy, score.interval),
                    averaged === undefined ? "-" : share(averaged.accuracy, averaged.interval),
                    percent(positions.spread),
                ],
            ];
        });
    });
    return markdown(
        ["set", "searched", "entries", "questions", "", "accuracy", "of the mean over rotations", "spread of letters"],
        rows,
    );
}

function textTable(measurements: readonly Of<TextFigures>[]): string | undefined {
    return markdown(
        [
            "text",
            "searched",
            "entries",
            "tokens",
            "model",
            "rtd",
            "change",
            "first half",
            "second half",
            "ms a token, model",
            "ms, reference",
        ],
        measurements.map((one) => {
            const { model, rtd, milliseconds } = one.evaluation;
            const { change } = rtd;
            return [
                one.title,
                settings(one),
                counted(one.entries),
                counted(rtd.count),
                model.perplexity.toFixed(2),
                rtd.perplexity.toFixed(2),
                change === undefined ? "-" : share(change.value, change.interval),
                percent(rtd.firstHalf / model.firstHalf - 1),
                percent(rtd.secondHalf / model.secondHalf - 1),
                milliseconds.promptToken.toFixed(2),
                milliseconds.reference.toFixed(2),
            ];
        }),
    );
}

function answerTable(measurements: readonly Of<ChatFigures>[]): string | undefined {
    return markdown(
        [
            "facts",
            "searched",
            "entries",
            "questions",
            "exact match, model",
            "exact match, rtd",
            "F1, model",
            "F1, rtd",
            "tokens of a prompt",
            "ms of a prompt, model",
            "ms, rtd",
            "store",
        ],
        measurements.map((one) => {
            const { evaluation } = one;
            const { model, rtd, storeBytes } = evaluation;
            return [
                one.title,
                settings(one),
                counted(one.entries),
                counted(rtd.count),
                percent(model.exactMatch),
                share(rtd.exactMatch, rtd.interval),
                model.f1.toFixed(3),
                rtd.f1.toFixed(3),
                ...promptCosts(evaluation),
                bytes(storeBytes),
            ];
        }),
    );
}

function subjectTable(measurements: readonly Of<ChatFigures>[]): string | undefined {
    const rows = measurements.flatMap((one) =>
        one.evaluation.rtd.bySubject.map(({ subject, count: asked, exactMatch, interval }) => [
            one.title,
            settings(one),
            subject,
            counted(asked),
            share(exactMatch, interval),
        ]),
    );
    return markdown(["facts", "searched", "subject", "questions", "exact match, rtd"], rows);
}

export function thinnedTable(thinned: readonly Thinned[]): string | undefined {
    return markdown(
        ["entries that stay", "entries", "perplexity", "change", "above as many by chance"],
        thinned.map(({ way, entries, perplexity, change, againstChance }) => [
            way,
            counted(entries),
            perplexity.toFixed(2),
            share(change.value, change.interval),
            againstChance === undefined ? "-" : share(againstChance.value, againstChance.interval),
        ]),
    );
}
