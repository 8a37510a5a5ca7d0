/** rtd eval */
import { join } from "node:path";
import { Command, Option } from "commander";

import { cacheDirectory } from "../demo/fetch-model.js";
import type { Interval } from "../evaluation/bootstrap.js";
import { evaluate, type Evaluation } from "../evaluation/index.js";
import { namedScores, type LabelFigures } from "../evaluation/label.js";
import type { Perplexity } from "../evaluation/text.js";
import type { Cut } from "../recipes/cut.js";
import type { Task } from "../recipes/data.js";
import { evaluationReport } from "../report/evaluation.js";
import { expectReportFile, writeReport } from "../report/file.js";
import { provenanceOf } from "../report/provenance.js";
import { interruptible } from "./interrupt.js";
import {
    cutOptions,
    dataOption,
    fusionOptions,
    gpuOption,
    jsonOption,
    modelOption,
    reportOption,
    taskOption,
    threadsOption,
    wholeNumber,
    type FusionFlags,
} from "./options.js";
import { mismatchOption, withStore, type OpenFlags } from "./open-store.js";
import { bytes, percent, print, printJson, table } from "./output.js";
import { duration, progressLine } from "./progress.js";
import { withModel, type ModelFlags } from "./with-model.js";

interface EvalFlags extends ModelFlags, OpenFlags, Cut, FusionFlags {
    data: string[];
    task?: Task;
    cache: boolean;
    shots?: number;
    shotSeeds?: number;
    report?: string;
}

const examples = `
Figures:
  label  accuracy among the labels, macro-F1 and calibration error: of the model, of the model with the bias per
         label that makes its mean prediction over the store's references uniform, of both with the reference; and of
         two yardsticks that see the same keys: the nearest reference's label, and a linear probe (logistic
         regression). Gains are over the model, with its bias
  text   perplexity and bits per byte
  chat   exact match of the greedy answer

  In brackets: 95% intervals, by resampling examples (text: blocks of 50 tokens). What the model says of label and text
  data is kept in the user's cache, so that another evaluation of the same data takes seconds.

Defaults:
  label  k 16, weight 0.8, temperature scale 0.4
  text   k 1024, weight 0.1, temperature scale 0.4
  chat   k 4, weight 0.7, temperature scale 0.1

Examples:
  $ rtd eval animals.rtd --model model.gguf --data test.jsonl --shots 5
  $ rtd eval animals.rtd --model model.gguf --task label --data all.jsonl --seed 1 --offset 2048 --limit 1500
  $ rtd eval novel.rtd --model model.gguf --task text --data sequel.txt --limit 5000 --weight 0.15
  $ rtd eval facts.rtd --model model.gguf --task chat --data questions.jsonl --json --report facts.html
`;

export function evalCommand(): Command {
    const command = new Command("eval")
        .summary("measure a model with and without a datastore")
        .description("Evaluates the model alone and the model with the reference on data of the datastore's kind.")
        .argument("<store>", "directory of the datastore")
        .addOption(modelOption())
        .addOption(dataOption())
        .addOption(taskOption())
        .addOption(new Option("--shots <n>", "task label: also with so many in-context examples").argParser(wholeNumber(1, 1000)))
        .addOption(new Option("--shot-seeds <n>", "draws of those (default: 2)").argParser(wholeNumber(1, 100)))
        .option("--no-cache", "run the model, whatever is known of it on this data")
        .addHelpText("after", examples);
    for (const option of [
        ...fusionOptions(),
        ...cutOptions(),
        mismatchOption(),
        threadsOption(),
        gpuOption(),
        jsonOption(),
        reportOption(),
    ])
        command.addOption(option);
    return command.action(run);
}

async function run(path: string, { model: name, gpu, weight, cache, report, ...flags }: EvalFlags): Promise<void> {
    if (report !== undefined) await expectReportFile(report);
    const { evaluation, provenance } = await interruptible((signal) =>
        withModel({ model: name, ...flags, ...(gpu !== undefined && { gpu }) }, signal, async (model) => {
            const line = progressLine(`evaluating ${path}`, { silent: flags.json });
            try {
                return await withStore(path, model, flags, async (store) => ({
                    evaluation: await evaluate({
                        store,
                        model,
                        ...flags,
                        referenceWeight: weight,
                        ...(cache && { cacheDirectory: join(cacheDirectory(), "evaluations") }),
                        signal,
                        onProgress: (progress) => line.update(progress),
                    }),
                    provenance: await provenanceOf(store, model, flags),
                }));
            } finally {
                line.stop();
            }
        }),
    );
    if (flags.json) printJson({ ...evaluation, provenance });
    else print(describe(evaluation));
    if (report !== undefined) await writeReport(report, evaluationReport(evaluation, provenance));
}

/** The figures as a table, and what they were measured with. */
export function describe(evaluation: Evaluation): string {
    const { k, temperature, referenceWeight, seconds } = evaluation;
    const settings = `k ${k}, temperature ${temperature.toPrecision(3)}, weight ${referenceWeight}, in ${duration(seconds)}`;
    return `${figures(evaluation)}\n\n${settings}`;
}

function figures(evaluation: Evaluation): string {
    switch (evaluation.task) {
        case "label":
            return labelTable(evaluation);
        case "text": {
            const row = (name: string, score: Perplexity) => [
                name,
                `${score.perplexity.toFixed(2)} ${brackets(score.interval, (value) => value.toFixed(2))}`,
                score.change === undefined ? "" : `${signed(score.change.value)} ${brackets(score.change.interval, signed)}`,
                score.bitsPerByte.toFixed(3),
                score.firstHalf.toFixed(2),
                score.secondHalf.toFixed(2),
            ];
            return table(
                ["", `perplexity of ${evaluation.rtd.count}`, "change", "bits per byte", "first half", "second half"],
                [row("model", evaluation.model), row("rtd", evaluation.rtd)],
            );
        }
        case "chat":
            return table(
                ["", `exact match of ${evaluation.model.count}`],
                [
                    ["model", percent(evaluation.model.exactMatch)],
                    ["rtd", percent(evaluation.rtd.exactMatch)],
                ],
            );
    }
}

function labelTable(figures: LabelFigures): string {
    const { rtd, shots, confusion } = figures;
    const rows = namedScores(figures).map(({ name, score }) => [
        name,
        `${percent(score.accuracy)} ${brackets(score.interval, percent)}`,
        score.gain === undefined ? "" : `${signed(score.gain.value)} ${brackets(score.gain.interval, signed)}`,
        score.macroF1.toFixed(3),
        score.calibrationError === undefined ? "-" : score.calibrationError.toFixed(3),
    ]);
    const { labels, counts } = confusion;
    const matrix = labels.map((label, i) => [label, ...(counts[i] as number[]).map(String)]);
    const tokens = shots.map(({ count, seed, promptTokens }) => `${promptTokens.toFixed(0)} ${count}-shot, seed ${seed}`);
    const cost = `${[`${figures.promptTokens.toFixed(0)} tokens a prompt`, ...tokens].join(", ")}; ${bytes(figures.storeBytes)} of datastore`;
    const all = table(["", `accuracy of ${rtd.count}`, "gain", "macro-F1", "calibration error"], rows);
    return [all, ...(labels.length > widestConfusion ? [] : [table(["rtd says:", ...labels], matrix)]), cost].join("\n\n");
}

/** More labels do not fit a terminal; --json has them all. */
const widestConfusion = 10;

const signed = (share: number): string => (share < 0 ? "" : "+") + percent(share);
const brackets = ([low, high]: Interval, text: (value: number) => string): string =>
    Number.isFinite(low) && Number.isFinite(high) ? `[${text(low)}, ${text(high)}]` : "";
