/** rtd bench */
import { Command, InvalidArgumentError, Option } from "commander";

import { compareResults, describeComparison, difference, readResults } from "../../bench/compare.js";
import { thisMachine } from "../../bench/machine.js";
import { plan } from "../../bench/plan.js";
import { runSuite } from "../../bench/suite.js";
import { describeResults } from "../../bench/tables.js";
import { RtdError } from "../errors.js";
import { Failed } from "./exit.js";
import { interruptible } from "./interrupt.js";
import { jsonOption, wholeNumber } from "./options.js";
import { print, printJson } from "./output.js";
import { progressLine } from "./progress.js";

interface BenchFlags {
    filter?: RegExp;
    list?: true;
    quick?: boolean;
    compare?: string;
    hdf5?: string[];
    model?: string;
    threads?: number;
    out: string;
    json?: boolean;
}

const examples = `
With a datastore: times searches of its keys, beside those peers that are installed, and advises k, back end and threads.
Without: the whole suite, on hidden states that are recorded once and kept in the user's cache, and on made keys.
Answers are checked before they are timed; a wrong one ends the run.

Examples:
  $ rtd bench animals.rtd
  $ rtd bench --quick
  $ rtd bench --filter targets
  $ rtd bench --filter '^search/.*/k64/' --compare rtd-bench/results.json --out later
  $ rtd bench --hdf5 glove-100-angular.hdf5 --filter hdf5
`;

export function benchCommand(): Command {
    return new Command("bench")
        .summary("measure searches, on a datastore of yours or the standard sets")
        .argument("[store]", "directory of a datastore")
        .addOption(new Option("--filter <pattern>", "only cases whose names match this regular expression").argParser(pattern))
        .option("--list", "print the names of the cases and measure nothing")
        .option("--quick", "small sets and few repeats: less than two minutes")
        .option("--compare <results.json>", "fail if a figure is slower than in an earlier run, beyond the noise of both")
        .option("--hdf5 <file...>", "sets of ann-benchmarks (train, test, neighbors)")
        .addOption(new Option("-m, --model <model>", "a GGUF file to record and decode with, instead of SmolLM2-135M-Instruct"))
        .addOption(
            new Option(
                "--threads <n>",
                "threads where they are not what varies (default: all processors, 2 for the targets)",
            ).argParser(wholeNumber(1, 1024)),
        )
        .addOption(new Option("--out <dir>", "where results.json and the plots go").default("rtd-bench"))
        .addOption(jsonOption())
        .addHelpText("after", examples)
        .action(run);
}

function pattern(text: string): RegExp {
    try {
        return new RegExp(text);
    } catch {
        throw new InvalidArgumentError("Expected a regular expression.");
    }
}

async function run(
    store: string | undefined,
    { quick = false, filter, hdf5 = [], model, threads, out, ...flags }: BenchFlags,
): Promise<void> {
    const before = flags.compare === undefined ? undefined : await readResults(flags.compare);
    const other = before && difference(before, { machine: thisMachine(), quick });
    if (other !== undefined)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `${flags.compare} cannot be compared with, it is of ${other}; make one here, the same way`,
        );
    await interruptible(async (signal) => {
        const options = { quick, store, hdf5, model, threads, signal };
        const all = await plan(options);
        const cases = all.filter(({ name }) => filter?.test(name) ?? true);
        if (cases.length === 0)
            throw new RtdError(
                "ERR_RTD_INVALID_ARGUMENT",
                `no case matches ${String(filter)}; rtd bench --list prints the names of all ${all.length}`,
            );
        if (flags.list) return print(cases.map(({ name }) => name).join("\n"));
        const line = progressLine("bench", { silent: flags.json });
        let results;
        try {
            results = await runSuite(cases, { ...options, filter: filter?.source, out }, line);
        } finally {
            line.stop();
        }
        const comparison = before && compareResults(before, results);
        if (flags.json) printJson(comparison === undefined ? results : { ...results, comparison });
        else {
            print(`${describeResults(results)}\n\nwritten to ${out}`);
            if (comparison !== undefined) print(`\n${describeComparison(comparison)}`);
        }
        if (comparison !== undefined && comparison.slower.length > 0) throw new Failed();
    });
}
