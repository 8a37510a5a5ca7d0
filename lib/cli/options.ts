/** Options that several commands share, and the parsers of their values. */
import { InvalidArgumentError, Option } from "commander";

import type { Layer } from "../llama/layer.js";
import type { LoraAdapter } from "../llama/lora.js";
import { tasks } from "../recipes/data.js";

export const modelOption = () =>
    new Option(
        "-m, --model <model>",
        "GGUF file, or what node-llama-cpp resolves: hf:user/repo:quant, a URL, a name",
    ).makeOptionMandatory();

export const dataOption = () => new Option("-d, --data <file...>", ".jsonl rows, or .txt for task text").makeOptionMandatory();

export const taskOption = () => new Option("-t, --task <task>", "what the rows are").choices([...tasks]);

export const jsonOption = () => new Option("--json", "print one JSON object, and no progress");

export const reportOption = () => new Option("--report <file>", "also write an HTML report, one file that works offline");

export const threadsOption = () =>
    new Option("--threads <n>", "threads of the model and the search").argParser(wholeNumber(1, 1024));

/** A block by its number, or states by their name. */
export const layerOf = (text: string): Layer => (/^\d+$/.test(text) ? Number(text) : text);

export const gpuOption = () => new Option("--no-gpu", "run the model on the CPU");

export const loraOption = () =>
    new Option(
        "--lora <file...>",
        "LoRA adapters, in GGUF files, that the model runs with; adapter.gguf@0.5 is half of one. A datastore is bound to them",
    ).argParser((text: string, before: LoraAdapter[] = []) => [...before, adapterOf(text)]);

function adapterOf(text: string): LoraAdapter {
    const [, file, scale] = /^(.+)@(-?\d*\.?\d+)$/.exec(text) ?? [];
    return file === undefined ? text : { file, scale: Number(scale) };
}

export const cutOptions = () => [
    new Option("--seed <n>", "shuffle the rows; the same seed always gives the same order").argParser(
        wholeNumber(0, 2 ** 32 - 1),
    ),
    new Option("--offset <n>", "skip n rows (task text: tokens)").argParser(wholeNumber(0)),
    new Option("--limit <n>", "take n rows at most (task text: tokens)").argParser(wholeNumber(1)),
];

export const fusionOptions = () => [
    new Option("-k, --k <n>", "hits a token").argParser(wholeNumber(1, 2048)),
    new Option("-w, --weight <a>", "share of the reference, 0 to 1").argParser(number(0, 1)),
    new Option("-T, --temperature <T>", "temperature of the reference, in units of distance").argParser(number(Number.MIN_VALUE)),
    new Option("--temperature-scale <s>", "the same as a multiple of the store's median(d_64 - d_1)")
        .argParser(number(Number.MIN_VALUE))
        .conflicts("temperature"),
];

export interface FusionFlags {
    k?: number;
    weight?: number;
    temperature?: number;
    temperatureScale?: number;
}

export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
    return (text) => {
        const value = /^\d+$/.test(text) ? Number(text) : NaN;
        if (value >= least && value <= most) return value;
        throw new InvalidArgumentError(`Expected a whole number ${range(least, most)}.`);
    };
}

export function number(least: number, most = Number.MAX_VALUE): (text: string) => number {
    return (text) => {
        const value = text.trim() === "" ? NaN : Number(text);
        if (value >= least && value <= most) return value;
        throw new InvalidArgumentError(
            least === Number.MIN_VALUE ? "Expected a number above 0." : `Expected a number ${range(least, most)}.`,
        );
    };
}

const range = (least: number, most: number) =>
    most >= Number.MAX_SAFE_INTEGER ? `not below ${least}` : `from ${least} to ${most}`;

/** A shell gives "\n" as two characters; prompts hardly ever want those. */
export function unescape(text: string): string {
    return text.replaceAll("\\n", "\n").replaceAll("\\t", "\t");
}
