/** In-context examples, the usual way to adapt a model without training: drawn from the store's own sources and put before each prompt. */
import type { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import type { Row } from "../recipes/data.js";
import { drawn } from "../recipes/in-context.js";
import type { RecipeMetadata } from "../recipes/metadata.js";
import type { Passage, Shots } from "../recipes/passage.js";
import { rowsOfSource } from "../recipes/source.js";
import type { EvaluateOptions } from "./options.js";

/** Passages after so many in-context examples. */
export interface Shown {
    count: number;
    passages: Passage[];
}

/** After those that a seed chose. */
export interface Draw extends Shown {
    seed: number;
}

/** The draws that the options ask for. passagesAfter: the passages that are evaluated, after the rows it is given. */
export async function shownPassages(
    { store, model, shots: count = 0, shotSeeds = 2 }: EvaluateOptions,
    metadata: RecipeMetadata,
    kind: Row["kind"],
    passagesAfter: (shots: Shots<Row>) => Promise<Passage[]>,
): Promise<Draw[]> {
    const shown: Draw[] = [];
    for (let seed = 1; count > 0 && seed <= shotSeeds; seed++) {
        const shots = await shotsOf(store, metadata, kind, count, seed);
        shown.push({ count, seed, passages: await passagesAfter(() => shots) });
    }
    for (const { passages } of shown) expectRoom(model, passages, count, "shots");
    return shown;
}

/** `count` rows of a kind that a seed chooses. @throws RtdError `ERR_RTD_NOT_FOUND` where the sources have moved */
async function shotsOf(
    store: Datastore,
    metadata: RecipeMetadata,
    kind: Row["kind"],
    count: number,
    seed: number,
): Promise<Row[]> {
    const sources: Row[][] = [];
    for (const source of metadata.sources) sources.push((await rowsOfSource(source, metadata.recipe)) ?? []);
    const rows = sources.flat();
    const usable = rows.filter((row) => row.kind === kind);
    if (usable.length < count)
        throw new RtdError(
            "ERR_RTD_NOT_FOUND",
            `${store.path}: ${count} in-context examples are asked for, and of the data it was built from ${usable.length} rows ` +
                `${usable.length < rows.length ? `are of the kind that is evaluated (${kind})` : "are still there"}`,
        );
    return drawn(usable, count, seed);
}

/** Throws where prompts do not fit. what: what there are `count` of in each, for the message. */
export function expectRoom(model: LlamaModel, passages: readonly Passage[], count: number, what: string): void {
    const longest = passages.reduce((most, { tokens }) => Math.max(most, tokens.length), 0);
    if (longest > model.trainContextSize)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `${count} in-context examples make prompts of up to ${longest} tokens; the model's context holds ${model.trainContextSize}: give fewer ${what}`,
        );
}
