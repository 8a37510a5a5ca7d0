/**
 * `npm run reproduce`: the figures of the README, at full size. Takes hours; interrupted, it goes on where
 * it was. Writes bench/reproduce.md and bench/reproduce.json, and keeps its stores and finished measurements in a working directory.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { Command } from "commander";

import { cacheDirectory } from "../cache-directory.js";
import { demoModelFile } from "../cli/demo-model.js";
import { exitCodes, report } from "../cli/exit.js";
import { interruptible } from "../cli/interrupt.js";
import { gpuOption, threadsOption } from "../cli/options.js";
import { print } from "../cli/output.js";
import { duration, progressLine } from "../cli/progress.js";
import { withModel } from "../cli/with-model.js";
import { packageRoot } from "../package-root.js";
import type { Progress } from "../recipes/build.js";
import { hashFile } from "../recipes/source.js";
import { tables, thinnedTable } from "./document.js";
import { demoModel } from "./fetch-model.js";
import { measure, storePath, type Measurement } from "./measure.js";
import { summary } from "./summary.js";
import { fullTasks } from "./tasks.js";
import { measureThinning, type Thinned } from "./thinning.js";

interface Flags {
    model?: string;
    work: string;
    out: string;
    threads?: number;
    gpu?: boolean;
}

const program = new Command("reproduce")
    .description("Measures what the README reports.")
    .option("-m, --model <model>", "another model than SmolLM2-135M-Instruct")
    .option("--work <dir>", "stores and finished measurements", join(cacheDirectory(), "reproduce"))
    .option("--out <dir>", "where the table goes", join(packageRoot, "bench"))
    .addOption(threadsOption())
    .addOption(gpuOption())
    .exitOverride();

async function run(flags: Flags): Promise<void> {
    const { out, threads } = flags;
    const tasks = fullTasks();
    const files = new Set(tasks.flatMap(({ references, tests }) => [references, ...tests].map(({ data }) => data)));
    const data = await Promise.all([...files].map(hashFile));
    // Other tasks, data or another model do not go on from what these have done.
    const directory = join(flags.work, hash({ tasks, data, model: flags.model ?? demoModel.sha256 }));
    await mkdir(directory, { recursive: true });
    const finished = join(directory, "measurements.json");
    const known = new Map(((await readList<Measurement>(finished)) ?? []).map((measurement) => [measurement.name, measurement]));
    const { measured: measurements, thinned } = await interruptible(async (signal) => {
        const measured: Measurement[] = [];
        const thinned: Thinned[] = [];
        const name = flags.model ?? (await demoModelFile(signal));
        await withModel({ ...flags, model: name }, signal, async (model) => {
            const line = progressLine("reproduce");
            const onProgress = (what: string, progress: Progress) => line.update(progress, what);
            try {
                for await (const measurement of measure(tasks, { model, directory, threads, signal, known, onProgress })) {
                    measured.push(measurement);
                    line.print(`${summary([measurement])}\n`);
                    known.set(measurement.name, measurement);
                    await writeFile(finished, JSON.stringify([...known.values()]));
                }
                for (const task of tasks.filter(({ isThinned }) => isThinned)) {
                    const file = join(directory, `${task.name}-thinned.json`);
                    const options = { model, cacheDirectory: join(directory, "runs"), threads, signal, onProgress };
                    const some =
                        (await readList<Thinned>(file)) ?? (await measureThinning(task, storePath(directory, task), options));
                    await writeFile(file, JSON.stringify(some));
                    thinned.push(...some);
                }
            } finally {
                line.stop();
            }
        });
        return { measured, thinned };
    }, "interrupted; npm run reproduce goes on from here");
    await mkdir(out, { recursive: true });
    const figures = JSON.stringify({ machine: machine(), measurements, thinned }, withoutAnswers, 2);
    await writeFile(join(out, "reproduce.json"), `${figures}\n`);
    await writeFile(join(out, "reproduce.md"), document(measurements, thinned));
    print(`${summary(measurements)}\n\nwritten to ${join(out, "reproduce.md")} and ${join(out, "reproduce.json")}`);
}

/** What was said to each question is kept in the working directory only. */
const withoutAnswers = (name: string, value: unknown): unknown => (name === "answers" ? undefined : value);

async function readList<T>(file: string): Promise<T[] | undefined> {
    try {
        return JSON.parse(await readFile(file, "utf8")) as T[];
    } catch {
        return undefined;
    }
}

const hash = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 12);

const machine = (): string =>
    `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores, Node ${process.versions.node}`;

function document(measurements: readonly Measurement[], thinned: readonly Thinned[]): string {
    const seconds = measurements.reduce((sum, { evaluation }) => sum + evaluation.seconds, 0);
    return `# Figures of \`npm run reproduce\`

SmolLM2-135M-Instruct (Q4_1). The recipes' own k, temperature and weight, unless tuned to the store's own examples; T is a multiple of the store's
median(d_64 - d_1), a the weight of the reference. *Matched bias*: one bias per label that makes the model's mean prediction over the unlabelled references
uniform. In brackets: 95% intervals, by resampling examples, of a text blocks of 50 tokens.

${tables(measurements)}

## Datastore size against quality: Moby Dick, the pages that follow

${thinnedTable(thinned)}

On ${machine()}; evaluation took ${duration(seconds)}.
`;
}

try {
    await run(program.parse().opts<Flags>());
    process.exitCode = exitCodes.ok;
} catch (error) {
    process.exitCode = report(error, false);
}
