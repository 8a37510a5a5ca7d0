/** rtd classify */
import { Command, InvalidArgumentError, Option } from "commander";

import { classify, type Classification } from "../evaluation/classify.js";
import { readQueries, type LabelQuery } from "../recipes/data.js";
import { mismatchOption, withModelAndStore, type OpenFlags } from "./open-store.js";
import {
    fusionOptions,
    gpuOption,
    jsonOption,
    loraOption,
    modelOption,
    threadsOption,
    wholeNumber,
    type FusionFlags,
} from "./options.js";
import { percent, print, printJson } from "./output.js";
import type { ModelFlags } from "./with-model.js";

interface ClassifyFlags extends ModelFlags, OpenFlags, FusionFlags {
    text?: string[];
    data?: string[];
    matchedBias: boolean;
    references: number;
}

const examples = `
Examples:
  $ rtd classify animals.rtd --model model.gguf --text "a small songbird of the pine woods" "a flightless bird"
  $ rtd classify animals.rtd --model model.gguf --data unlabelled.jsonl --json
`;

export function classifyCommand(): Command {
    const command = new Command("classify")
        .summary("label texts by a label datastore")
        .description("The most probable label of each text, the labels' probabilities, and the references that weighed most.")
        .argument("<store>", "directory of the datastore")
        .addOption(modelOption())
        .addOption(new Option("--text <text...>", "what to label").argParser(texts))
        .addOption(new Option("-d, --data <file...>", '.jsonl of {"text"} or {"question","options"}, or .txt with a text a line'))
        .option("--no-matched-bias", "leave the model its prior over the labels")
        .addOption(
            new Option("--references <n>", "describe the n references that weighed most").argParser(wholeNumber(0)).default(3),
        )
        .addHelpText("after", examples);
    for (const option of [...fusionOptions(), mismatchOption(), loraOption(), threadsOption(), gpuOption(), jsonOption()])
        command.addOption(option);
    return command.action(run);
}

function texts(text: string, before: string[] | undefined): string[] {
    if (text === "") throw new InvalidArgumentError("Expected some text.");
    return [...(before ?? []), text];
}

async function run(path: string, options: ClassifyFlags, command: Command): Promise<void> {
    const { model: name, gpu, weight, text = [], data = [], ...flags } = options;
    const queries: LabelQuery[] = [
        ...text.map((one): LabelQuery => ({ kind: "labelled", text: one })),
        ...(await readQueries(data)),
    ];
    if (queries.length === 0) command.error("error: nothing to label; give --text, or --data with rows in it");
    const { k, temperature, temperatureScale, matchedBias, references, threads, lora } = flags;
    const found = await withModelAndStore(path, { model: name, gpu, ...flags }, "labelling by", (opened) =>
        classify({
            ...opened,
            texts: queries.map((query) => (query.kind === "labelled" ? query.text : query)),
            k,
            temperature,
            temperatureScale,
            referenceWeight: weight,
            matchedBias,
            references,
            threads,
            lora,
        }),
    );
    if (flags.json) printJson(found);
    else print(found.map((one, i) => describe(queries[i] as LabelQuery, one)).join("\n"));
}

const shownLabels = 3;

/** A text, its label with those that come next, and the references under it. */
export function describe(query: LabelQuery, { label, probabilities, references }: Classification): string {
    const rivals = Object.entries(probabilities)
        .sort(([, a], [, b]) => b - a)
        .filter(([name]) => name !== label)
        .slice(0, shownLabels - 1)
        .map(([name, probability]) => `${name} ${percent(probability)}`);
    const text = query.kind === "labelled" ? query.text : query.question;
    const said = [`${label} ${percent(probabilities[label] ?? 0)}`, ...rivals].join(", ");
    const lines = references.map(
        ({ share, distance, origin, example, label, before }) =>
            `    ${percent(share).padStart(6)}  distance ${distance.toFixed(2)}  ${origin ?? `example ${example}`}  ${before}[${label ?? "?"}]`,
    );
    return [`${said}   ${JSON.stringify(text)}`, ...lines].join("\n");
}
