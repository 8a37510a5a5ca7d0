/** rtd eval */
import { join } from "node:path";
import { Command, Option } from "commander";

import { cacheDirectory } from "../cache-directory.js";
import { evaluate } from "../evaluation/index.js";
import type { Cut } from "../recipes/cut.js";
import { tasks, type Task } from "../recipes/data.js";
import { fusionDefaults } from "../recipes/metadata.js";
import { evaluationReport } from "../report/evaluation.js";
import { expectReportFile, writeReport } from "../report/file.js";
import { provenanceOf } from "../report/provenance.js";
import { describe } from "./evaluation-tables.js";
import { mismatchOption, withModelAndStore, type OpenFlags } from "./open-store.js";
import {
    cutOptions,
    dataOption,
    fusionOptions,
    gpuOption,
    jsonOption,
    loraOption,
    modelOption,
    reportOption,
    taskOption,
    threadsOption,
    wholeNumber,
    type FusionFlags,
} from "./options.js";
import { print, printJson } from "./output.js";
import type { ModelFlags } from "./with-model.js";

interface EvalFlags extends ModelFlags, OpenFlags, Cut, FusionFlags {
    data: string[];
    task?: Task;
    cache: boolean;
    rotations?: boolean;
    maxTokens?: number;
    shots?: number;
    shotSeeds?: number;
    retrieved?: number;
    report?: string;
}

function defaultsOf(task: Task): string {
    const { k, referenceWeight, temperatureScale } = fusionDefaults[task];
    return `  ${task.padEnd(5)}  k ${k}, weight ${referenceWeight}, temperature scale ${temperatureScale}`;
}

const examples = `
Figures:
  label  accuracy among the labels, macro-F1 and calibration error: of the model, of the model with the bias per
         label that makes its mean prediction over the store's references uniform, of both with the reference; and of
         two yardsticks that see the same keys: the nearest reference's label, and a linear probe (logistic
         regression). Gains are over the model, with its bias. Questions with options are asked in every rotation of
         them: besides the accuracy over all rotations that of the option whose mean probability over them is largest,
         and the share of answers that is each letter, with its spread (the position bias)
  text   perplexity and bits per byte
  chat   exact match of the greedy answer, and F1 of its words (as SQuAD counts them); --json has all answers

  Rows of label and chat data may have a "subject": then there are also figures by subject.

  In brackets: 95% intervals, by resampling examples (text: blocks of 50 tokens). What the model says of label and text
  data is kept in the user's cache, so that another evaluation of the same data takes seconds.

Defaults, unless the store was tuned:
${tasks.map(defaultsOf).join("\n")}

Examples:
  $ rtd eval animals.rtd --model model.gguf --data test.jsonl --shots 5
  $ rtd eval animals.rtd --model model.gguf --task label --data all.jsonl --seed 1 --offset 2048 --limit 1500
  $ rtd eval novel.rtd --model model.gguf --task text --data sequel.txt --limit 5000 --weight 0.15
  $ rtd eval quiz.rtd --model model.gguf --data questions.jsonl --limit 300
  $ rtd eval facts.rtd --model model.gguf --task chat --data questions.jsonl --json --report facts.html
  $ rtd eval facts.rtd --model model.gguf --data questions.jsonl --retrieved 3
`;

export function evalCommand(): Command {
    const command = new Command("eval")
        .summary("measure a model with and without a datastore")
        .description("Evaluates the model alone and the model with the reference on data of the datastore's kind.")
        .argument("<store>", "directory of the datastore")
        .addOption(modelOption())
        .addOption(dataOption())
        .addOption(taskOption())
        .option("--rotations", "task label with options: ask each question in every rotation of its options (default)")
        .option("--no-rotations", "task label with options: ask each question once, as it stands")
        .addOption(
            new Option("--max-tokens <n>", "task chat: tokens of an answer at most (default: 32 more than expected)").argParser(
                wholeNumber(1),
            ),
        )
        .addOption(
            new Option("--shots <n>", "task label or chat: also with so many in-context examples").argParser(
                wholeNumber(1, 1000),
            ),
        )
        .addOption(new Option("--shot-seeds <n>", "draws of those (default: 2)").argParser(wholeNumber(1, 100)))
        .addOption(
            new Option(
                "--retrieved <n>",
                "task label or chat: also with so many of the store's examples before each prompt, those nearest to it",
            ).argParser(wholeNumber(1, 1000)),
        )
        .option("--no-cache", "run the model, whatever is known of it on this data")
        .addHelpText("after", examples);
    for (const option of [
        ...fusionOptions(),
        ...cutOptions(),
        mismatchOption(),
        loraOption(),
        threadsOption(),
        gpuOption(),
        jsonOption(),
        reportOption(),
    ])
        command.addOption(option);
    return command.action(run);
}

async function run(
    path: string,
    { model: name, gpu, json, allowMismatch, weight, cache, report, ...flags }: EvalFlags,
): Promise<void> {
    if (report !== undefined) await expectReportFile(report);
    const opening = { model: name, gpu, json, allowMismatch, ...flags };
    const { evaluation, provenance } = await withModelAndStore(path, opening, "evaluating", async (opened) => ({
        evaluation: await evaluate({
            ...opened,
            ...flags,
            referenceWeight: weight,
            ...(cache && { cacheDirectory: join(cacheDirectory(), "evaluations") }),
        }),
        provenance: await provenanceOf(opened.store, opened.model, flags),
    }));
    if (json) printJson({ ...evaluation, provenance });
    else print(describe(evaluation));
    if (report !== undefined) await writeReport(report, evaluationReport(evaluation, provenance));
}
