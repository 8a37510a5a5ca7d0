/**
 * Data as a retrieval-augmented application has it: each text stands after those of a store's examples that are nearest to it, with their labels. Its own store is then
 * built of such texts, and asked such texts.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { Datastore } from "../datastore.js";
import { runModel } from "../evaluation/model-run.js";
import { RunCache } from "../evaluation/run-cache.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { passagesOf } from "../recipes/build.js";
import { cutRows } from "../recipes/cut.js";
import { askedBy, readRows, type LabelRow } from "../recipes/data.js";
import { recipeOf } from "../recipes/metadata.js";
import { firstTokens } from "../recipes/spelling.js";
import type { Part } from "./tasks.js";

export interface RetrievedContext {
    /** The task whose store retrieves; its references are those of this one. */
    from: string;
    count: number;
    /** What stands between a text and its label, and between a label and the next text. */
    beforeLabel: string;
    beforeText: string;
}

interface Options {
    model: LlamaModel;
    directory: string;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
}

/** Writes the rows of a part of label data after their context, the nearest last, as a file. store: of the same references. @returns the file's path */
export async function writeWithContext(
    name: string,
    { count, beforeLabel, beforeText }: RetrievedContext,
    store: string,
    part: Part & { references: Part },
    { model, directory, threads, signal }: Options,
): Promise<string> {
    const rowsOf = async ({ data, ...cut }: Part) => cutRows(await readRows([data], "label"), cut).filter(isLabelled);
    const [rows, references] = [await rowsOf(part), await rowsOf(part.references)];
    const fingerprint = await fingerprintModel(model);
    const opened = await Datastore.open(store, { model: fingerprint, threads });
    try {
        const metadata = recipeOf(opened, "label");
        const passages = await passagesOf(model, metadata, rows, {});
        const cache = new RunCache(join(directory, "runs"), fingerprint);
        const labels = firstTokens(metadata.labels ?? []);
        const { hidden } = await runModel(passages, { model, labels, cache, threads, signal, unit: "examples" });
        // A row that is stored itself is among its own nearest.
        const hits = await opened.index.search(hidden, { k: 4 * count + 4, signal });
        const lines = rows.map((row, i) => {
            const ids = hits.ids.subarray(i * hits.k, i * hits.k + (hits.counts[i] as number));
            const nearest = [...new Set(opened.origins(ids).examples)]
                .map((example) => references[example] as (typeof references)[0])
                .filter((other) => askedBy(other) !== askedBy(row))
                .slice(0, count)
                .reverse();
            const context = nearest.map((other) => other.text + beforeLabel + other.label + beforeText).join("");
            return JSON.stringify({ text: context + row.text, label: row.label });
        });
        const file = join(directory, `${name}.jsonl`);
        await writeFile(file, `${lines.join("\n")}\n`);
        return file;
    } finally {
        await opened.close();
    }
}

const isLabelled = (row: LabelRow) => row.kind === "labelled";
