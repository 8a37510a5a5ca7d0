/** Builds a task's store and evaluates its tests, one after the other. */
import { join } from "node:path";

import { Datastore } from "../datastore.js";
import { evaluate, type Evaluation } from "../evaluation/index.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { buildDatastore, type Progress } from "../recipes/build.js";
import type { MeasuredTask, Part } from "./tasks.js";

export interface Measurement {
    name: string;
    title: string;
    /** Entries of the store. */
    entries: number;
    evaluation: Evaluation;
}

export interface MeasureOptions {
    model: LlamaModel;
    /** Where stores are kept. */
    directory: string;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
    onProgress?: ((what: string, progress: Progress) => void) | undefined;
    /** Measurements that an earlier run made, by name. */
    known?: ReadonlyMap<string, Measurement>;
}

export const storePath = (directory: string, task: MeasuredTask): string => join(directory, `${task.name}.rtd`);

/** Yields each measurement when it is there. */
export async function* measure(tasks: readonly MeasuredTask[], options: MeasureOptions): AsyncGenerator<Measurement> {
    for (const task of tasks) {
        const names = task.tests.map((test) => `${task.name}/${test.name}`);
        const known = names.map((name) => options.known?.get(name));
        if (known.every((measurement) => measurement !== undefined)) yield* known;
        else yield* measureTask(task, options);
    }
}

async function* measureTask(
    task: MeasuredTask,
    { model, directory, threads, signal, onProgress }: MeasureOptions,
): AsyncGenerator<Measurement> {
    const path = storePath(directory, task);
    const common = { model, task: task.task, threads, signal };
    const cut = ({ data, seed, offset, limit }: Part) => ({ data: [data], seed, offset, limit });
    const { entries } = await buildDatastore({
        path,
        ...common,
        prompt: task.prompt,
        ...cut(task.references),
        onProgress: (progress) => onProgress?.(`${task.title}, building`, progress),
    });
    const store = await Datastore.open(path, { model: await fingerprintModel(model), threads });
    try {
        for (const test of task.tests) {
            const evaluation = await evaluate({
                store,
                ...common,
                ...cut(test),
                onProgress: (progress) => onProgress?.(`${task.title}, ${test.title}`, progress),
            });
            yield { name: `${task.name}/${test.name}`, title: `${task.title}, ${test.title}`, entries, evaluation };
        }
    } finally {
        await store.close();
    }
}
