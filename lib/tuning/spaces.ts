/**
 * Spaces a store may be searched in, tried on its own entries: several heads, and transforms fitted to the keys. A transform that is fitted to labels
 * must not have seen those of the examples it is judged by, so it is fitted several times, each time without some of them.
 */
import type { Datastore } from "../datastore.js";
import { fitTo, liveEntries, type Entries } from "../fit-space.js";
import { createIndex, type ReferenceIndex } from "../reference-index.js";
import type { KeyTransform, FitMethod } from "../transform.js";
import type { SealOptions } from "../types.js";

/** What may be searched in; without `method` the keys as they are. */
export interface Space {
    name: string;
    heads: number;
    method?: FitMethod;
    shrinkage?: number;
}

/** Keys that are held in memory to try spaces with; a store of more is tuned in the space it has. */
const mostBytes = 2 ** 30;

const headCounts = [4, 16];
const projectionShrinkages = [0.03, 0.1, 0.3, 1, 3];

const adjectives = { standardise: "standardised", whiten: "whitened", project: "projected" } as const;
const shrinkages: Readonly<Record<FitMethod, number>> = { standardise: 0.01, whiten: 1, project: 0.3 };

/** A space by the name that people read. A matrix, to whiten or to project, takes one head. */
export function spaceOf(heads: number, method?: FitMethod, shrinkage = method && shrinkages[method]): Space {
    const slices = heads > 1 ? [`${heads} heads`] : [];
    if (method === undefined) return { name: slices[0] ?? "keys as they are", heads };
    const isUsual = shrinkage === shrinkages[method] && method !== "project";
    const name = [adjectives[method], ...slices, ...(isUsual ? [] : [`shrinkage ${shrinkage}`])].join(", ");
    return { name, heads, method, shrinkage: shrinkage as number };
}

/** The spaces that are tried, simpler ones first; projections where entries are of `classes`. Texts gain nothing by them (measured; see the README). */
export function spacesFor(store: Datastore, classes = Infinity): Space[] {
    const { index, dim } = store;
    if (classes < 2 || index.entries * dim * 4 > mostBytes) return [];
    const heads = headCounts.filter((count) => dim % count === 0);
    return [
        ...[1, ...heads].map((count) => spaceOf(count)),
        ...[1, ...heads].map((count) => spaceOf(count, "standardise")),
        spaceOf(1, "whiten"),
        ...(classes <= dim ? projectionShrinkages.map((shrinkage) => spaceOf(1, "project", shrinkage)) : []),
    ];
}

/** Searches the store in a space from now on: a transform is fitted to all of its entries. */
export async function setTo(store: Datastore, space: Space, options: Omit<SealOptions, "threads"> = {}): Promise<void> {
    const transform = space.method === undefined ? null : await fitTo(store, liveEntries(store), { ...space, ...options });
    await store.setSpace({ heads: space.heads, transform }, options);
}

/** Entries of a store under some space: hits are numbers of `ids`. */
export interface SearchedEntries {
    index: ReferenceIndex;
    /** The store's ids, by the index's own; undefined where they are the same. */
    ids?: Uint32Array;
}

/** What a part of the examples is asked: entries that know nothing of their labels. */
export interface Fold {
    searched: SearchedEntries;
    holds: (example: number) => boolean;
}

const folds = 4;

/** Tries a space: calls `ask` with one fold of all examples, or, where labels are fitted to, with several. */
export async function foldsIn(
    store: Datastore,
    space: Space,
    canonical: (example: number) => number,
    ask: (fold: Fold) => Promise<void>,
    signal?: AbortSignal,
): Promise<number> {
    const all = liveEntries(store);
    const transform = space.method && (await fitTo(store, all, { ...space, signal }));
    const whole = await indexOf(store, space, all, transform, signal);
    const unit = whole.temperature ?? 1;
    if (space.method !== "project") {
        await ask({ searched: { index: whole, ids: all.ids }, holds: () => true });
        whole.dispose();
        return unit;
    }
    whole.dispose();
    const { examples } = store.origins(all.ids);
    for (let fold = 0; fold < folds; fold++) {
        const holds = (example: number) => canonical(example) % folds === fold;
        const places = all.ids.map((_, i) => i).filter((i) => !holds(examples[i] as number));
        const others: Entries = {
            ids: places.map((i) => all.ids[i] as number),
            tokens: Int32Array.from(places, (i) => all.tokens[i] as number),
        };
        if (new Set(others.tokens).size < 2) continue;
        const fitted = await fitTo(store, others, { ...space, signal });
        const index = await indexOf(store, space, others, fitted, signal);
        await ask({ searched: { index, ids: others.ids }, holds });
        index.dispose();
    }
    return unit;
}

async function indexOf(
    store: Datastore,
    { heads }: Space,
    { ids, tokens }: Entries,
    transform: KeyTransform | undefined,
    signal?: AbortSignal,
): Promise<ReferenceIndex> {
    const { metric, dtype } = store.index;
    const index = createIndex({ dim: store.dim, metric, dtype, heads, transform });
    index.add(store.keysOf(ids), tokens);
    await index.seal({ signal });
    return index;
}
