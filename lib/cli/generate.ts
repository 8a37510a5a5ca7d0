/** rtd generate */
import { Command, InvalidArgumentError, Option } from "commander";

import { RtdError } from "../errors.js";
import { generate, type GeneratedToken } from "../evaluation/generate.js";
import { fusionOf } from "../evaluation/options.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import { chatWrapperOf, completedPrompts, earlierTurns, plainPrompt, templatedPrompt } from "../recipes/chat.js";
import type { ChatRow, LabelRow } from "../recipes/data.js";
import { answeredPrompts } from "../recipes/label.js";
import { labelRecipeOf, recipeOf, type RecipeMetadata } from "../recipes/metadata.js";
import { interruptible } from "./interrupt.js";
import { mismatchOption, withStore, type OpenFlags } from "./open-store.js";
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
        withModel({ model: name, gpu, ...flags }, signal, async (model) => {
            await withStore(path, model, flags, async (store) => {
                const metadata = recipeOf(store);
                const fusion = fusionOf(store, metadata, { ...flags, referenceWeight: weight });
                const { samplingTemperature, maxTokens, matchedBias, threads, lora, references = false, json = false } = flags;
                const tokens = await generate({
                    model,
                    store,
                    fusion,
                    prompt: await promptTokens(model, metadata, flags.prompt, flags.chat ?? false),
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

/** The prompt's, after the store's own in-context examples if its keys were recorded after some. */
async function promptTokens(model: LlamaModel, metadata: RecipeMetadata, prompt: string, chat: boolean): Promise<Token[]> {
    const shots = metadata.shots?.rows ?? [];
    const [first] = shots;
    if (first !== undefined && chat !== (first.kind === "conversation"))
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `the in-context examples of the store are ${chat ? "no conversations: leave out --chat" : "conversations: give --chat"}`,
        );
    if (chat) {
        const turns = [...earlierTurns(shots as ChatRow[]), { role: "user" as const, content: prompt }];
        return templatedPrompt(model, await chatWrapperOf(model), turns);
    }
    const before =
        metadata.recipe === "label"
            ? answeredPrompts(shots as LabelRow[], labelRecipeOf(metadata))
            : completedPrompts(shots as ChatRow[]);
    return plainPrompt(model, before + prompt);
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
