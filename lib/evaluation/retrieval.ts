/** Retrieved context, as of retrieval-augmented generation: the store's own examples that its search finds nearest to a prompt, put before it. */
import type { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import { cutRows } from "../recipes/cut.js";
import { askedBy, type Row } from "../recipes/data.js";
import type { RecipeMetadata } from "../recipes/metadata.js";
import type { Passage, Shots } from "../recipes/passage.js";
import { rowsOfSource } from "../recipes/source.js";
import { mostHits } from "../reference-index.js";
import type { EvaluateOptions, Fusion } from "./options.js";
import { expectRoom, type Draw, type Shown } from "./shots.js";
import { votesByEntry } from "./votes.js";

/** Puts before each of the passages that are evaluated the examples nearest to it. states: what the model makes of their prompts, [passages, dim]. */
export type Retrieve = (states: Float32Array) => Promise<Shown>;

/** Passages after in-context examples: those that were drawn, and those that each prompt retrieves, if it is to. */
export interface InContext {
    draws: readonly Draw[];
    retrieve: Retrieve | undefined;
}

/** What {@link retrieval} goes by: the data's rows, and the passages of those that are evaluated. */
export interface Asked {
    rows: readonly Row[];
    passages: readonly Passage[];
    fusion: Fusion;
    passagesAfter: (shots: Shots<Row>) => Promise<Passage[]>;
}

/**
 * Retrieval by the store's own search, if the options ask for it: the examples whose references weigh most at a prompt's end, of one head the nearest ones. An
 * example that asks the same as the row is the row's own, and left out. The nearest stands last, next to the prompt; each as its row has it, whichever rotation of
 * it was found.
 * @throws RtdError `ERR_RTD_NOT_FOUND` where the store's data have moved, or too few examples are found
 */
export async function retrieval(
    options: EvaluateOptions,
    metadata: RecipeMetadata,
    { rows, passages, fusion, passagesAfter }: Asked,
): Promise<Retrieve | undefined> {
    const { store, model, signal, retrieved: count = 0 } = options;
    if (count === 0) return undefined;
    const stored = await storedRows(store, metadata);
    const asked = cutRows(rows, options);
    return async (states) => {
        const firstOf = new Map<number, number>();
        const found: Row[][] = [];
        for (const [i, { example, origin }] of passages.entries()) {
            if (!firstOf.has(example)) firstOf.set(example, i);
            const row = asked[example] as Row;
            const own = askedBy(row);
            const isOther = (other: number) => {
                const candidate = stored[other];
                return candidate !== undefined && candidate.kind === row.kind && askedBy(candidate) !== own;
            };
            const query = states.subarray(i * store.dim, (i + 1) * store.dim);
            const nearest = await nearestExamples(store, query, { count, isOther, fusion, signal });
            if (nearest.length < count)
                throw new RtdError(
                    "ERR_RTD_NOT_FOUND",
                    `${origin}: ${count} examples are to be retrieved, and among the nearest ${Math.min(mostHits, store.size)} references in ` +
                        `${store.path} are ${nearest.length} other ones of its kind (${row.kind}): retrieve fewer`,
                );
            found.push(nearest.map((other) => stored[other] as Row).reverse());
        }
        const shown = await passagesAfter((example, nth) => found[(firstOf.get(example) as number) + nth] as Row[]);
        expectRoom(model, shown, count, "retrieved ones");
        return { count, passages: shown };
    };
}

interface NearestOptions {
    count: number;
    isOther: (example: number) => boolean;
    fusion: Fusion;
    signal?: AbortSignal | undefined;
}

/** Numbers of the examples that weigh most, first the one that does; fewer than `count` if the search finds no more. An example may have many entries. */
async function nearestExamples(
    store: Datastore,
    query: Float32Array,
    { count, isOther, fusion, signal }: NearestOptions,
): Promise<number[]> {
    for (let k = Math.max(fusion.k, 2 * count); ; k *= 2) {
        const hits = await store.index.search(query, { k: Math.min(k, mostHits), signal });
        const { examples } = store.origins(votesByEntry(hits, fusion.temperature).map(({ id }) => id));
        const others = [...new Set(examples)].filter(isOther);
        if (others.length >= count || k >= Math.min(store.size, mostHits)) return others.slice(0, count);
    }
}

/** The rows that a store was built from, by their numbers as examples. */
async function storedRows(store: Datastore, metadata: RecipeMetadata): Promise<readonly Row[]> {
    const stored: Row[] = [];
    for (const source of metadata.sources) {
        const rows = await rowsOfSource(source, metadata.recipe);
        if (rows === undefined)
            throw new RtdError(
                "ERR_RTD_NOT_FOUND",
                `${store.path}: examples are to be retrieved, and data it was built from have been moved or changed ` +
                    `(${source.files.map(({ path }) => path).join(", ")}): put them back`,
            );
        rows.forEach((row, i) => (stored[source.firstExample + i] = row));
    }
    return stored;
}
