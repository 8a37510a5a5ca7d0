/**
 * What a store is tuned on: some of its own examples, asked as if they were not in it. No entry of an example answers for itself, in whatever rotation; of
 * a text neither do the entries around a position.
 */
import type { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import type { ModelRun } from "../evaluation/model-run.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import { passagesOf } from "../recipes/build.js";
import { shuffle, type Cut } from "../recipes/cut.js";
import { askedBy, readRows, type Row } from "../recipes/data.js";
import type { RecipeMetadata } from "../recipes/metadata.js";
import type { Passage } from "../recipes/passage.js";
import { rowsOfSource } from "../recipes/source.js";
import { mostHits } from "../reference-index.js";
import type { Fold } from "./spaces.js";

/** Examples, or tokens of a text, that are asked: enough for differences of a few percent, few enough for a minute of the model's time. */
export const defaultSample = { label: 500, text: 4096 } as const;

/** Entries so near in a text do not answer: they have read the same words. */
const windowLeftOut = 512;

export interface OwnPassages {
    passages: Passage[];
    /** The first example with the same content as an example of the store: sources may overlap, and rows repeat. */
    canonical: (example: number) => number;
}

/**
 * A sample of the passages of the store's own sources, numbered as the store numbers examples.
 * @throws RtdError `ERR_RTD_NOT_FOUND` where none of the data is left
 */
export async function ownPassages(
    store: Datastore,
    model: LlamaModel,
    metadata: RecipeMetadata,
    sample: number = defaultSample[metadata.recipe === "text" ? "text" : "label"],
): Promise<OwnPassages> {
    const passages: Passage[] = [];
    const firstOf = new Map<string, number>();
    const canonical = new Map<number, number>();
    for (const source of metadata.sources) {
        const rows = await rowsOfSource(source, metadata.recipe);
        if (rows === undefined) continue;
        const cut = metadata.recipe === "text" ? { offset: source.offset, limit: source.limit } : {}; // others are cut already
        for (const passage of await passagesOf(model, { ...metadata, rotate: false }, rows, cut)) {
            const example = source.firstExample + passage.example;
            // A document is known by its files and its place in them, as windows of it differ; positions are those in the whole document.
            const content =
                metadata.recipe === "text"
                    ? JSON.stringify([source.files.map(({ sha256 }) => sha256), source.seed, passage.example])
                    : askedBy(rows[passage.example] as Row);
            if (!firstOf.has(content)) firstOf.set(content, example);
            canonical.set(example, firstOf.get(content) as number);
            passages.push({ ...passage, example });
        }
    }
    if (passages.length === 0)
        throw new RtdError(
            "ERR_RTD_NOT_FOUND",
            `${store.path}: the data it was built from has been moved or changed (${metadata.sources.flatMap(({ files }) => files.map(({ path }) => path)).join(", ")}); put it back to tune on it`,
        );
    return {
        passages: sampleOf(passages, sample),
        canonical: (example) => canonical.get(example) ?? example,
    };
}

/** Passages of other data. They are no examples of the store, so all of its entries answer. */
export async function otherPassages(
    data: readonly string[],
    model: LlamaModel,
    metadata: RecipeMetadata,
    cut: Cut,
): Promise<OwnPassages> {
    const rows = await readRows(data, metadata.recipe);
    const passages = await passagesOf(model, { ...metadata, rotate: false }, rows, cut);
    return {
        passages: passages.map((passage) => ({ ...passage, example: -1 - passage.example })),
        canonical: (example) => example,
    };
}

/** Passages by chance, always the same ones, until they have enough rows. */
export function sampleOf(passages: readonly Passage[], rows: number): Passage[] {
    const sample: Passage[] = [];
    let count = 0;
    for (const passage of shuffle(passages, 1)) {
        if (count >= rows) break;
        sample.push(passage);
        count += passage.values.length;
    }
    return sample;
}

/** Rows of the store's own passages that it has as entries: of a pruned one not all are. */
export function entriesOfRows(store: Datastore, passages: readonly Passage[]): { row: number; id: number; token: Token }[] {
    const ids = Uint32Array.from({ length: store.index.entries }, (_, id) => id);
    const { examples, positions } = store.origins(ids);
    const { live, tokens } = store.index.entriesOf(ids);
    const idAt = new Map(Array.from(ids, (id) => [`${examples[id]} ${positions[id]}`, id]));
    let row = 0;
    return passages.flatMap(({ example, position, values }) =>
        values.flatMap((_, i) => {
            const id = idAt.get(`${example} ${position + i}`);
            const at = row++;
            return id === undefined || live[id] !== 1 ? [] : [{ row: at, id, token: tokens[id] as Token }];
        }),
    );
}

/** The nearest entries that may answer, of each head of each row, nearest first. */
export interface Neighbours {
    k: number;
    heads: number;
    /** [rows * heads, k] */
    distances: Float32Array;
    /** The candidates of the row that they vote for, or `candidates` for another token: [rows * heads, k] */
    votes: Int32Array;
    /** Their own tokens, of the same shape. */
    tokens: Int32Array;
    /** [rows * heads] */
    counts: Uint32Array;
}

/** Entries that are left out at most: around a position, or rotations and repetitions of an example. */
const leftOut = { text: 2 * windowLeftOut + 1, label: 128 } as const;
const rowsAtOnce = 128;

interface NeighbourOptions extends Pick<OwnPassages, "canonical"> {
    /** How many at most; fewer where those left out leave fewer. */
    k: number;
    /** As of `mergeReference`. */
    tokens: readonly Token[];
    signal?: AbortSignal | undefined;
}

/** Of all rows, in the space that the store has. */
export async function neighboursOf(
    store: Datastore,
    run: ModelRun,
    passages: readonly Passage[],
    options: NeighbourOptions,
): Promise<Neighbours> {
    const found = noNeighbours(run.hidden.length / run.dim, store.index.heads, options.k);
    await findNeighbours(found, store, { searched: { index: store.index }, holds: () => true }, run, passages, options);
    return found;
}

export const noNeighbours = (rows: number, heads: number, k: number): Neighbours => ({
    k,
    heads,
    distances: new Float32Array(rows * heads * k).fill(Infinity),
    votes: new Int32Array(rows * heads * k).fill(-1),
    tokens: new Int32Array(rows * heads * k).fill(-1),
    counts: new Uint32Array(rows * heads),
});

/** Fills in the rows of a fold's examples. */
export async function findNeighbours(
    found: Neighbours,
    store: Datastore,
    { searched, holds }: Fold,
    run: ModelRun,
    passages: readonly Passage[],
    { tokens, canonical, signal }: NeighbourOptions,
): Promise<void> {
    const { k, heads } = found;
    const origins = passages.flatMap(({ example, position, values }) =>
        values.map((_, i) => ({ example: canonical(example), position: position + i })),
    );
    const isText = passages.some(({ values }) => values.length > 1);
    const most = Math.min(mostHits, k + leftOut[isText ? "text" : "label"]);
    const isShared = tokens.length === run.candidates;
    const rows = origins.flatMap(({ example }, row) => (holds(example) ? [row] : []));
    for (let begin = 0; begin < rows.length; begin += rowsAtOnce) {
        const some = rows.slice(begin, begin + rowsAtOnce);
        const queries = new Float32Array(some.length * run.dim);
        some.forEach((row, i) => queries.set(run.hidden.subarray(row * run.dim, (row + 1) * run.dim), i * run.dim));
        const hits = await searched.index.search(queries, { k: most, signal });
        for (const [place, row] of some.entries()) {
            const { example, position } = origins[row] as (typeof origins)[0];
            const own = isShared ? tokens : tokens.slice(row * run.candidates, (row + 1) * run.candidates);
            for (let head = 0; head < heads; head++) {
                const hit = (place * heads + head) * hits.k;
                const near = hits.ids.subarray(hit, hit + (hits.counts[place * heads + head] as number));
                const ids = searched.ids === undefined ? near : near.map((id) => (searched.ids as Uint32Array)[id] as number);
                const { examples, positions } = store.origins(ids);
                const to = row * heads + head;
                for (let i = 0; i < ids.length && (found.counts[to] as number) < k; i++) {
                    const isNear = !isText || Math.abs((positions[i] as number) - position) <= windowLeftOut;
                    if (isNear && canonical(examples[i] as number) === example) continue;
                    const candidate = own.indexOf(hits.tokens[hit + i] as Token);
                    const at = to * k + found.counts[to]!++;
                    found.distances[at] = hits.distances[hit + i] as number;
                    found.votes[at] = candidate >= 0 ? candidate : run.candidates;
                    found.tokens[at] = hits.tokens[hit + i] as number;
                }
            }
        }
    }
}
