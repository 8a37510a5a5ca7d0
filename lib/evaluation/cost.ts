/** What a way of adapting a model costs whoever uses it. */
import type { Datastore } from "../datastore.js";
import type { Passage } from "../recipes/passage.js";

export interface Cost {
    /** Tokens of a prompt without in-context examples, on average. */
    promptTokens: number;
    /** Bytes of the store on disk. */
    storeBytes: number;
}

export function costOf(store: Datastore, passages: readonly Passage[]): Cost {
    const storeBytes = store.manifest.segments.reduce((sum, { bytes }) => sum + bytes, 0);
    return { promptTokens: promptTokens(passages), storeBytes };
}

/** Tokens of a prompt, on average. */
export const promptTokens = (passages: readonly Passage[]): number =>
    passages.reduce((sum, { from }) => sum + from + 1, 0) / passages.length;
