/** rtd build */
import { readFile } from "node:fs/promises";
import { Command, Option } from "commander";

import { RtdError } from "../errors.js";
import { readError } from "../file-error.js";
import type { Layer } from "../llama/layer.js";
import type { LoraAdapter } from "../llama/lora.js";
import { buildDatastore, type BuildReport } from "../recipes/build.js";
import type { Cut } from "../recipes/cut.js";
import type { Task } from "../recipes/data.js";
import { poolings, type Pooling } from "../recipes/label.js";
import type { Spellings } from "../recipes/spelling.js";
import { counted } from "../report/units.js";
import type { FitMethod } from "../transform.js";
import type { Dtype, Metric } from "../types.js";
import { interruptible } from "./interrupt.js";
import {
    cutOptions,
    dataOption,
    gpuOption,
    jsonOption,
    layerOf,
    loraOption,
    modelOption,
    number,
    taskOption,
    threadsOption,
    unescape,
    wholeNumber,
} from "./options.js";
import { print, printJson } from "./output.js";
import { duration, progressLine } from "./progress.js";
import { withModel, type ModelFlags } from "./with-model.js";

interface BuildFlags extends ModelFlags, Cut {
    data: string[];
    task: Task;
    prompt?: string;
    rotate?: true;
    labels?: string;
    wholeLabels?: true;
    pooling?: Pooling;
    layer?: Layer;
    lora?: LoraAdapter[];
    pruneAbove?: number;
    shots?: number;
    shotSeed?: number;
    metric?: Metric;
    dtype?: Dtype;
    heads?: number;
    transform?: FitMethod | "none";
    shrinkage?: number;
}

const examples = `
Data:
  label  {"text": "an orange-flavored drink", "label": "food"}
         {"question": "Capital of France?", "options": ["Rome", "Paris"], "answer": 1}
  text   {"text": "..."}, or a .txt file
  chat   {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
         {"prompt": "Q: Capital of France?\\nA:", "completion": " Paris"}

Examples:
  $ rtd build animals.rtd --model model.gguf --task label --data train.jsonl
  $ rtd build animals.rtd --model model.gguf --task label --data all.jsonl --seed 1 --limit 2048 \\
        --prompt 'Categories: {labels}.\\nDefinition: {text}\\nCategory:'
  $ rtd build quiz.rtd --model model.gguf --task label --data questions.jsonl --rotate
  $ rtd build novel.rtd --model hf:user/repo:Q4_K_M --task text --data novel.txt --prune-above 0.1
  $ rtd build few.rtd --model model.gguf --task label --data train.jsonl --shots 5
  $ rtd build kinds.rtd --model model.gguf --task label --data train.jsonl --whole-labels --labels spellings.json

Ctrl-C stops at a good place; the same command goes on from there. Other data, given later, is appended.
`;

export function buildCommand(): Command {
    const command = new Command("build")
        .summary("build a datastore from data, or add to it")
        .description("Runs every example through the model once and keeps its hidden states as keys.")
        .argument("<store>", "directory of the datastore")
        .addOption(modelOption())
        .addOption(dataOption())
        .addOption(taskOption().makeOptionMandatory())
        .option("--prompt <template>", "task label: {labels} and {text}, or {question} and {options}, are filled in")
        .option("--rotate", "task label with options: store each question once per rotation of its options")
        .option(
            "--labels <file>",
            'task label: spellings of labels, a .json of {"animal": ["animal", "animals"], ...}; prompts have the first',
        )
        .option("--whole-labels", "task label: store every token of a label, not the first alone; labels may then begin alike")
        .addOption(
            new Option("--pooling <how>", "task label: keys are the mean over the text's tokens, not the prompt's end").choices(
                poolings,
            ),
        )
        .addOption(
            new Option("--layer <layer>", "keys are this block's output (12), or the states of this name (l_out-12)").argParser(
                layerOf,
            ),
        )
        .addOption(
            new Option(
                "--prune-above <p>",
                "leave out entries whose value the model alone says with a higher probability",
            ).argParser(number(0, 1)),
        )
        .addOption(
            new Option(
                "--shots <n>",
                "task label or chat: record the keys after so many in-context examples, which then stand before every prompt",
            ).argParser(wholeNumber(0)),
        )
        .addOption(new Option("--shot-seed <seed>", "which rows of the data those are (default: 1)").argParser(wholeNumber(0)))
        .addOption(new Option("--metric <metric>", "distance of keys (default: l2)").choices(["l2", "l2sq", "dot"]))
        .addOption(new Option("--dtype <dtype>", "how keys are kept (default: f32)").choices(["f32", "f16", "bf16"]))
        .addOption(new Option("--heads <n>", "slices of a key that search on their own (default: 1)").argParser(wholeNumber(1)))
        .addOption(
            new Option(
                "--transform <how>",
                "search keys through a map that is fitted to them: divided by their deviations, along principal axes, or projected on what tells labels apart",
            ).choices(["none", "standardise", "whiten", "project"]),
        )
        .addOption(new Option("--shrinkage <s>", "how far that draws variances towards their mean").argParser(number(0)))
        .addHelpText("after", examples);
    for (const option of [...cutOptions(), loraOption(), threadsOption(), gpuOption(), jsonOption()]) command.addOption(option);
    return command.action(run);
}

async function run(path: string, { model: name, gpu, json, prompt, labels: file, ...flags }: BuildFlags): Promise<void> {
    const labels = file === undefined ? undefined : await readSpellings(file);
    const report = await interruptible(
        (signal) =>
            withModel({ model: name, gpu, json, ...flags }, signal, async (model) => {
                const line = progressLine(`building ${path}`, { silent: json });
                try {
                    return await buildDatastore({
                        path,
                        model,
                        ...flags,
                        signal,
                        labels,
                        prompt: prompt === undefined ? undefined : unescape(prompt),
                        onProgress: (progress) => line.update(progress),
                    });
                } finally {
                    line.stop();
                }
            }),
        "interrupted; the same command goes on from here",
    );
    if (json) printJson(report);
    else print(sentence(report));
}

async function readSpellings(file: string): Promise<Spellings> {
    const text = await readFile(file, "utf8").catch((error: unknown) => {
        throw readError(file, error);
    });
    try {
        return JSON.parse(text) as Spellings; // which the recipe checks
    } catch (error) {
        throw new RtdError(
            "ERR_RTD_BAD_FORMAT",
            `${file}: cannot be read as JSON (${(error as Error).message}); expected spellings by label, as {"animal": ["animal", "animals"]}`,
        );
    }
}

function sentence({ path, added, entries, leftOut, examples, temperature, seconds }: BuildReport): string {
    const what =
        added > 0 ? `${counted(added)} entries added in ${duration(seconds)}` : "nothing to add, the data is there already";
    const pruned = leftOut > 0 ? ` (${counted(leftOut)} that the model says by itself are left out)` : "";
    return `${path}: ${what}; ${counted(entries)} entries of ${counted(examples)} examples${pruned}, temperature ${temperature?.toPrecision(3) ?? "not known"}`;
}
