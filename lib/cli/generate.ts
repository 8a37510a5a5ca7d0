/** rtd generate */
import { Command, InvalidArgumentError, Option } from "commander";

import { fusionOf } from "../evaluation/options.js";
import { generate, type GeneratedToken } from "../evaluation/generate.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import { chatWrapperOf, plainPrompt, templatedPrompt } from "../recipes/chat.js";
import { recipeOf } from "../recipes/metadata.js";
import { interruptible } from "./interrupt.js";
import {
    fusionOptions,
    gpuOption,
    jsonOption,
    loraOption,
    modelOption,
    number,
    threadsOption,
    unescape,
    wholeNumber,
    type FusionFlags,
} from "./options.js";
import { mismatchOption, withStore, type OpenFlags } from "./open-store.js";
import { percent, print, printJson } from "./output.js";
import { withModel, type ModelFlags } from "./with-model.js";

interface GenerateFlags extends ModelFlags, OpenFlags, FusionFlags {
    prompt: string;
    chat?: true;
    maxTokens: number;
    samplingTemperature: number;
    references?: true;
    matchedBias: boolean;
}

const examples = `
Examples:
  $ rtd generate facts.rtd --model model.gguf --prompt 'Question: What is the IATA code of Idre Airport?\\nAnswer:'
  $ rtd generate support.rtd --model model.gguf --chat --prompt "How do I reset it?" --references
  $ rtd generate novel.rtd --model model.gguf --prompt "Call me" --weight 1 --max-tokens 40
`;

export function generateCommand(): Command {
    const command = new Command("generate")
        .summary("let the model write with a datastore at its side")
        .argument("<store>", "directory of the datastore")
        .addOption(modelOption())
        .addOption(new Option("-p, --prompt <text>", "what to go on from").argParser(prompt).makeOptionMandatory())
        .option("--chat", "put the prompt under the model's chat template")
        .option(
            "--references",
            "list for each token the stored examples that moved it; parts of a character show as bytes, <0xF0>",
        )
        .option("--no-matched-bias", "label stores: leave the model's prior over the labels as it is")
        .addOption(new Option("--max-tokens <n>", "stop after n tokens").argParser(wholeNumber(1)).default(128))
        .addOption(new Option("--sampling-temperature <t>", "0 takes the most probable token").argParser(number(0)).default(0))
        .addHelpText("after", examples);
    for (const option of [...fusionOptions(), mismatchOption(), loraOption(), threadsOption(), gpuOption(), jsonOption()])
        command.addOption(option);
    return command.action(run);
}

function prompt(text: string): string {
    if (text === "") throw new InvalidArgumentError("Expected some text.");
    return unescape(text);
}

async function run(path: string, { model: name, gpu, weight, ...flags }: GenerateFlags): Promise<void> {
    await interruptible((signal) =>
        withModel({ model: name, ...flags, ...(gpu !== undefined && { gpu }) }, signal, async (model) => {
            await withStore(path, model, flags, async (store) => {
                const fusion = fusionOf(store, recipeOf(store), { ...flags, referenceWeight: weight });
                const { samplingTemperature, maxTokens, matchedBias, threads, lora, references = false, json = false } = flags;
                const tokens = await generate({
                    model,
                    store,
                    fusion,
                    prompt: await promptTokens(model, flags.prompt, flags.chat ?? false),
                    maxTokens,
                    samplingTemperature,
                    references,
                    matchedBias,
                    signal,
                    onText: json ? undefined : (text) => process.stdout.write(text),
                    threads,
                    lora,
                });
                if (json) printJson({ text: tokens.map(({ text }) => text).join(""), ...fusion, tokens });
                else print(references ? `\n\n${listReferences(tokens)}` : "");
            });
        }),
    );
}

async function promptTokens(model: LlamaModel, prompt: string, chat: boolean): Promise<Token[]> {
    return chat
        ? templatedPrompt(model, await chatWrapperOf(model), [{ role: "user", content: prompt }])
        : plainPrompt(model, prompt);
}

const shown = 3;

/** Token by token: the share of the vote that it got, and the nearest of the hits that gave it. */
export function listReferences(tokens: readonly GeneratedToken[]): string {
    return tokens
        .map(({ piece, vote, references }) => {
            if (references.length === 0) return `${JSON.stringify(piece)}   the model's own`;
            const lines = references.slice(0, shown).map(({ distance, share, origin, example, before, value, after }) => {
                const where = origin ?? `example ${example}`;
                return `    ${percent(share).padStart(6)}  distance ${distance.toFixed(2)}  ${where}  ${oneLine(`${before}[${value}]${after}`)}`;
            });
            const more = references.length > shown ? [`            and ${references.length - shown} more`] : [];
            return [`${JSON.stringify(piece)}   ${percent(vote)} of the vote`, ...lines, ...more].join("\n");
        })
        .join("\n");
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();
