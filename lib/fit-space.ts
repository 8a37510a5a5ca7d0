/** Transforms fitted to the keys that a store holds. */
import { describe, invalid } from "./arguments.js";
import { Datastore, type SearchSpace } from "./datastore.js";
import { RtdError } from "./errors.js";
import { expectOptions } from "./option-names.js";
import { fitTransform, type FitMethod, type KeyTransform } from "./transform.js";
import type { SealOptions } from "./types.js";

export interface FitSpaceOptions extends Omit<SealOptions, "threads"> {
    /** Default `"whiten"`. `"project"` takes the values for classes: it is for label stores. */
    method?: FitMethod | undefined;
    /** How far variances are drawn towards their mean, 0 and up. Default 1. */
    shrinkage?: number | undefined;
}

/** Keys that a transform is fitted to, at most: a covariance of some thousand dimensions needs no more. */
const mostFitted = 16_384;

/**
 * Fits a transform to a store's live entries and sets it: {@link Datastore.setSpace} says what that does. A matrix (to whiten, to project) takes one
 * head, so heads are given up for it.
 * @throws RtdError as {@link fitTransform} and {@link Datastore.setSpace}; `ERR_RTD_UNSUPPORTED` where the store has no entries
 */
export async function fitSpace(store: Datastore, options: FitSpaceOptions = {}): Promise<KeyTransform> {
    expectOptions(options, "fitSpace");
    if (!(store instanceof Datastore)) invalid(`store: expected a store (Datastore.open), got ${describe(store)}`);
    const { method = "whiten", shrinkage, signal, onProgress } = options;
    const transform = await fitTo(store, liveEntries(store), { method, shrinkage, signal });
    const space: SearchSpace = method === "standardise" ? { transform } : { heads: 1, transform };
    await store.setSpace(space, { signal, onProgress });
    return transform;
}

export interface Entries {
    ids: Uint32Array;
    /** [ids] */
    tokens: Int32Array;
}

export function liveEntries(store: Datastore): Entries {
    const all = Uint32Array.from({ length: store.index.entries }, (_, id) => id);
    const { tokens, live } = store.index.entriesOf(all);
    const ids = all.filter((id) => live[id] === 1);
    return { ids, tokens: Int32Array.from(ids, (id) => tokens[id] as number) };
}

/** A transform fitted to some of a store's entries, evenly spaced where there are many. */
export async function fitTo(
    store: Datastore,
    { ids, tokens }: Entries,
    { method, shrinkage, signal }: FitSpaceOptions,
): Promise<KeyTransform> {
    if (ids.length === 0)
        throw new RtdError("ERR_RTD_UNSUPPORTED", `${store.path} has no entries: build it before its keys are transformed`);
    const count = Math.min(ids.length, mostFitted);
    const places = Array.from({ length: count }, (_, i) => Math.floor((i * ids.length) / count));
    const classOf = new Map<number, number>();
    const classes = Int32Array.from(places, (place) => {
        const token = tokens[place] as number;
        if (!classOf.has(token)) classOf.set(token, classOf.size);
        return classOf.get(token) as number;
    });
    const keys = store.keysOf(Uint32Array.from(places, (place) => ids[place] as number));
    return await fitTransform(keys, { dim: store.dim, method, shrinkage, signal, ...(method === "project" && { classes }) });
}
