/** rtd eval */
import { Command } from "commander";

import { evaluate, type Evaluation } from "../evaluation/index.js";
import type { Cut } from "../recipes/cut.js";
import type { Task } from "../recipes/data.js";
import { interruptible } from "./interrupt.js";
import {
    cutOptions,
    dataOption,
    fusionOptions,
    gpuOption,
    jsonOption,
    modelOption,
    taskOption,
    threadsOption,
    type FusionFlags,
} from "./options.js";
import { mismatchOption, withStore, type OpenFlags } from "./open-store.js";
import { percent, print, printJson, table } from "./output.js";
import { duration, progressLine } from "./progress.js";
import { withModel, type ModelFlags } from "./with-model.js";

interface EvalFlags extends ModelFlags, OpenFlags, Cut, FusionFlags {
    data: string[];
    task?: Task;
}

const examples = `
Figures:
  label  accuracy among the labels: of the model, of the model with the bias per label that makes its mean
         prediction over the store's references uniform, and of the model with the reference
  text   perplexity
  chat   exact match of the greedy answer

Defaults:
  label  k 16, weight 0.8, temperature scale 0.4
  text   k 1024, weight 0.1, temperature scale 0.4
  chat   k 4, weight 0.7, temperature scale 0.1

Examples:
  $ rtd eval animals.rtd --model model.gguf --task label --data all.jsonl --seed 1 --offset 2048 --limit 1500
  $ rtd eval novel.rtd --model model.gguf --task text --data sequel.txt --limit 5000 --weight 0.15
  $ rtd eval facts.rtd --model model.gguf --task chat --data questions.jsonl --json
`;

export function evalCommand(): Command {
    const command = new Command("eval")
        .summary("measure a model with and without a datastore")
        .description("Evaluates the model alone and the model with the reference on data of the datastore's kind.")
        .argument("<store>", "directory of the datastore")
        .addOption(modelOption())
        .addOption(dataOption())
        .addOption(taskOption())
        .addHelpText("after", examples);
    for (const option of [...fusionOptions(), ...cutOptions(), mismatchOption(), threadsOption(), gpuOption(), jsonOption()])
        command.addOption(option);
    return command.action(run);
}

async function run(path: string, { model: name, gpu, weight, ...flags }: EvalFlags): Promise<void> {
    const evaluation = await interruptible((signal) =>
        withModel({ model: name, ...flags, ...(gpu !== undefined && { gpu }) }, signal, async (model) => {
            const line = progressLine(`evaluating ${path}`, { silent: flags.json });
            try {
                return await withStore(path, model, flags, (store) =>
                    evaluate({
                        store,
                        model,
                        ...flags,
                        referenceWeight: weight,
                        signal,
                        onProgress: (progress) => line.update(progress),
                    }),
                );
            } finally {
                line.stop();
            }
        }),
    );
    if (flags.json) printJson(evaluation);
    else print(describe(evaluation));
}

/** The figures as a table, and what they were measured with. */
export function describe(evaluation: Evaluation): string {
    const { k, temperature, referenceWeight, seconds } = evaluation;
    const settings = `k ${k}, temperature ${temperature.toPrecision(3)}, weight ${referenceWeight}, in ${duration(seconds)}`;
    return `${figures(evaluation)}\n\n${settings}`;
}

function figures(evaluation: Evaluation): string {
    const { model, rtd } = evaluation;
    switch (evaluation.task) {
        case "label": {
            const { model, modelBiasMatched, rtd } = evaluation;
            const rows = [
                ["model", percent(model.accuracy)],
                modelBiasMatched && ["model, matched bias", percent(modelBiasMatched.accuracy)],
                ["rtd", percent(rtd.accuracy)],
            ];
            return table(
                ["", `accuracy of ${rtd.count}`],
                rows.filter((row) => row !== undefined),
            );
        }
        case "text": {
            const row = (name: string, { perplexity, firstHalf, secondHalf }: typeof evaluation.rtd) => [
                name,
                ...[perplexity, firstHalf, secondHalf].map((value) => value.toFixed(2)),
            ];
            return table(
                ["", `perplexity of ${rtd.count}`, "first half", "second half"],
                [row("model", evaluation.model), row("rtd", evaluation.rtd)],
            );
        }
        case "chat":
            return table(
                ["", `exact match of ${model.count}`],
                [
                    ["model", percent(evaluation.model.exactMatch)],
                    ["rtd", percent(evaluation.rtd.exactMatch)],
                ],
            );
    }
}
