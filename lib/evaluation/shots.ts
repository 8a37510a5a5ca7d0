/** In-context examples, the usual way to adapt a model without training: drawn from the store's own sources and put before each prompt. */
import { RtdError } from "../errors.js";
import type { Datastore } from "../datastore.js";
import { shuffle } from "../recipes/cut.js";
import type { LabelRow } from "../recipes/data.js";
import { answeredPrompt } from "../recipes/label.js";
import { labelRecipeOf, type RecipeMetadata } from "../recipes/metadata.js";
import { rowsOfSource } from "../recipes/source.js";

/** What comes before the prompts: `count` answered examples that a seed chooses. @throws RtdError `ERR_RTD_NOT_FOUND` where the sources have moved */
export async function shotsOf(store: Datastore, metadata: RecipeMetadata, count: number, seed: number): Promise<string> {
    const rows: LabelRow[] = [];
    for (const source of metadata.sources) rows.push(...(((await rowsOfSource(source, "label")) ?? []) as LabelRow[]));
    if (rows.length < count)
        throw new RtdError(
            "ERR_RTD_NOT_FOUND",
            `${store.path}: ${count} in-context examples are asked for, and of the data it was built from ${rows.length} are still there`,
        );
    const chosen = shuffle(rows, seed).slice(0, count);
    return chosen.map((row) => `${answeredPrompt(row, labelRecipeOf(metadata))}\n\n`).join("");
}
