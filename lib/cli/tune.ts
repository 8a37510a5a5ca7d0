/** rtd tune */
import { join } from "node:path";
import { Command, Option } from "commander";

import { cacheDirectory } from "../cache-directory.js";
import type { Layer } from "../llama/layer.js";
import type { Cut } from "../recipes/cut.js";
import { expectReportFile, writeReport } from "../report/file.js";
import { provenanceOf } from "../report/provenance.js";
import { tuningReport } from "../report/tuning.js";
import { counted } from "../report/units.js";
import { grid, type Tried } from "../tuning/grid.js";
import { layerOutcome, type LayerTrial } from "../tuning/layers.js";
import { gateOutcome, simpler, tune, type TuneReport } from "../tuning/tune.js";
import { defaultSample } from "../tuning/validation.js";
import { mismatchOption, withModelAndStore, type OpenFlags } from "./open-store.js";
import {
    cutOptions,
    gpuOption,
    jsonOption,
    layerOf,
    loraOption,
    modelOption,
    reportOption,
    threadsOption,
    wholeNumber,
} from "./options.js";
import { print, printJson, table } from "./output.js";
import { duration } from "./progress.js";
import type { ModelFlags } from "./with-model.js";

interface TuneFlags extends ModelFlags, OpenFlags, Cut {
    data?: string[];
    dryRun?: boolean;
    sample?: number;
    keepSpace?: boolean;
    layers?: Layer[];
    cache: boolean;
    report?: string;
}

const examples = `
Asks the store a sample of its own examples as if they were not in it: no entry of an example answers for itself, and
of a text none within 512 tokens. A larger sample takes longer, and makes smaller differences certain. Settings are compared by the
log-probability of the right answer. Label stores are also tried with several heads, and with keys
that are standardised, whitened or projected (projections are fitted to labels: never to those of the examples they
answer for). What the store has is kept unless another setting is better beyond noise (95%), and of those that are as
good as the best within noise the one in the simplest space, and there the one with the fewest hits, is taken.

Chat stores need other data (--data), as the same questions in other words: a fact that is left out is answered by
no other.

Attached contexts, rtd eval and rtd generate use what it writes.

Examples:
  $ rtd tune animals.rtd --model model.gguf
  $ rtd tune facts.rtd --model model.gguf --data the-same-in-other-words.jsonl --limit 100
  $ rtd tune novel.rtd --model model.gguf --layers 24 28
  $ rtd tune novel.rtd --model model.gguf --sample 16384
  $ rtd tune novel.rtd --model model.gguf --dry-run --json --report novel.html
`;

export function tuneCommand(): Command {
    const command = new Command("tune")
        .summary("fit k, temperature and weight of a datastore to its own examples")
        .description(
            "Finds the settings under which the datastore answers for its own examples best, and keeps them as its defaults.",
        )
        .argument("<store>", "directory of the datastore")
        .addOption(modelOption())
        .addOption(new Option("-d, --data <file...>", "ask the rows of other data, instead of the store's own examples"))
        .addOption(
            new Option(
                "--sample <n>",
                `ask so many of the store's own examples (default: ${defaultSample.label}), of a text so many tokens (default: ${counted(defaultSample.text)})`,
            ).argParser(wholeNumber(1)),
        )
        .option("--dry-run", "change nothing")
        .option("--keep-space", "fit k, temperature and weight alone: no other heads, no transform")
        .addOption(
            new Option(
                "--layers <layer...>",
                "label and text stores: also say whether keys of these layers would do better (12, or a name of states as l_out-12)",
            ).argParser((text: string, before: Layer[] = []) => [...before, layerOf(text)]),
        )
        .option("--no-cache", "run the model, whatever is known of it on this data")
        .addHelpText("after", examples);
    for (const option of [
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
    { model: name, gpu, json, allowMismatch, cache, report: file, ...flags }: TuneFlags,
): Promise<void> {
    if (file !== undefined) await expectReportFile(file);
    const opening = { model: name, gpu, json, allowMismatch, ...flags, writable: flags.dryRun !== true };
    const { report, provenance } = await withModelAndStore(path, opening, "tuning", async (opened) => ({
        report: await tune({
            ...opened,
            ...flags,
            ...(cache && { cacheDirectory: join(cacheDirectory(), "evaluations") }),
        }),
        provenance: await provenanceOf(opened.store, opened.model, { lora: flags.lora }),
    }));
    const isDryRun = flags.dryRun === true;
    if (json) printJson({ ...report, provenance });
    else print(describe(report, isDryRun));
    if (file !== undefined) await writeReport(file, tuningReport(report, provenance, { isDryRun }));
}

const inLayers = (trials: readonly LayerTrial[]): string =>
    table(
        ["keys of", "k", "temperature scale", "weight", "log-probability"],
        trials.map(({ layer = "the last norm", best }) => [
            layer,
            String(best.k),
            String(best.temperatureScale),
            String(best.referenceWeight),
            best.score.toFixed(4),
        ]),
    );

/** What was found, and the best of each k, temperature and weight: the curves about the best setting. */
export function describe(report: TuneReport, isDryRun: boolean): string {
    const { rows, model, before, best, chosen, gain, isSimpler, spaces, layers, tried, seconds } = report;
    const row = (name: string, one: Tried) => [
        name,
        one.space,
        String(one.k),
        String(one.temperatureScale),
        one.gate ? "gate" : String(one.referenceWeight),
        one.score.toFixed(4),
    ];
    const settings = table(
        ["", "space", "k", "temperature scale", "weight", "log-probability"],
        [["model alone", "", "", "", "", model.toFixed(4)], row("as it was", before), row("best", best), row("kept", chosen)],
    );
    const curve = <Name extends keyof typeof grid>(name: Name) =>
        grid[name].flatMap((value) => {
            const some = tried.filter((one) => one[name] === value);
            if (some.length === 0) return [];
            const top = some.reduce((a, b) => (b.score > a.score ? b : a));
            return [
                [
                    `${name} ${value}`,
                    top.space,
                    String(top.k),
                    String(top.temperatureScale),
                    String(top.referenceWeight),
                    top.score.toFixed(4),
                ],
            ];
        });
    const curves = (["k", "temperatureScale", "referenceWeight"] as const).map((name) =>
        table(["best with", "space", "k", "temperature scale", "weight", "log-probability"], curve(name)),
    );
    const inSpaces = table(
        ["best in", "k", "temperature scale", "weight", "log-probability"],
        spaces.map((one) => row("", one).slice(1)),
    );
    const [low, high] = gain.interval;
    const size = `${gain.value.toFixed(4)} (95%: ${low.toFixed(4)} to ${high.toFixed(4)})`;
    const gated = gateOutcome(report);
    const isChanged = low > 0 || report.gate?.isTaken === true;
    const found = [
        low > 0 ? `The best gains ${size}.` : `The best is within noise of what the store has: ${size} more.`,
        ...(isSimpler ? [simpler(report)] : []),
        ...(gated === undefined ? [] : [gated]),
        !isChanged ? "Nothing is changed." : isDryRun ? "A dry run: nothing is changed." : "The store keeps it as its defaults.",
    ].join(" ");
    return [
        ...curves,
        ...(spaces.length > 1 ? [inSpaces] : []),
        settings,
        found,
        ...(layers === undefined ? [] : [inLayers(layers), layerOutcome(layers)]),
        `by ${counted(rows)} rows, in ${duration(seconds)}`,
    ].join("\n\n");
}
