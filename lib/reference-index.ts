import { bitsOf, cancellable, observed, plain } from "./calls.js";
import { dispose, Handle } from "./handle.js";
import { native, type HandleNumber } from "./native.js";
import { expectOptions, expectSearchOptions } from "./option-names.js";
import type { KeyTransform } from "./transform.js";
import type {
    AddOptions,
    CallOptions,
    EntryInfo,
    FloatArray,
    FuseResult,
    Hits,
    Ids,
    IndexInfo,
    IndexOptions,
    KeyArray,
    SealOptions,
    SearchAndFuseOptions,
    SearchOptions,
} from "./types.js";

/** A search's `k` at most. */
export const mostHits = 2048;
/** An index's own temperature is this multiple of median(d_64 - d_1) over its keys, the unit of temperature scales. */
export const ownTemperatureScale = 0.4;

let handleOfIndex: (index: ReferenceIndex) => Handle;
let isIndexOfOurs: (value: object) => boolean;

/**
 * Entries, each a key (a hidden state) and a token (what followed it), searched exactly. Made by {@link createIndex}, or a store's.
 *
 * Entries have dense ids in the order they were added, never reused. Searches see the entries that were there when they began and may run while
 * entries are added, removed or sealed. Results do not depend on back end, threads or sealing: same ids, same bits.
 *
 * The asynchronous calls work off the event loop on copies of queries and logits, and write logits back before they resolve; the `...Sync`
 * twins work in the caller's arrays and block. Arrays over resizable buffers are refused, shared ones copied. After {@link dispose} every call
 * is `ERR_RTD_CLOSED`; calls in progress finish.
 */
export class ReferenceIndex implements Disposable {
    /** Dimensions of a key as it is given. */
    readonly dim: number;
    readonly metric: IndexInfo["metric"];
    readonly dtype: IndexInfo["dtype"];
    readonly heads: number;
    /** The back end that serves. */
    readonly backend: IndexInfo["backend"];
    /** Threads of a search unless it says otherwise. */
    readonly threads: number;
    readonly #handle: Handle;

    static {
        handleOfIndex = (index) => index.#handle;
        isIndexOfOurs = (value) => #handle in value;
    }

    /** @internal Use {@link createIndex}. */
    constructor(number: HandleNumber) {
        this.#handle = new Handle(number);
        ({
            dim: this.dim,
            metric: this.metric,
            dtype: this.dtype,
            heads: this.heads,
            backend: this.backend,
            threads: this.threads,
        } = this.info());
    }

    /** Live entries. */
    get size(): number {
        return this.info().size;
    }

    /** Ids given so far, those of removed entries included: the next id. */
    get entries(): number {
        return this.info().entries;
    }

    /** The default temperature, which {@link seal} computes from the keys; undefined before. */
    get temperature(): number | undefined {
        return this.info().temperature;
    }

    info(): IndexInfo {
        return native().indexInfo(this.#handle.number);
    }

    /**
     * Adds keys [n, dim] with tokens [n], all or none.
     * @returns the first one's id; the others follow.
     * @throws RtdError `ERR_RTD_NOT_FINITE`, `ERR_RTD_TOKEN_RANGE` (a negative token), `ERR_RTD_READ_ONLY` (a store's index: append to the store)
     */
    add(keys: KeyArray, tokens: Int32Array, options?: AddOptions): number {
        expectOptions(options, "add");
        return native().addEntries(this.#handle.number, plain(keys), tokens, options, bitsOf(keys));
    }

    /**
     * Removes entries, all or none: they are never found again.
     * @throws RtdError `ERR_RTD_UNKNOWN_ID` (also for one that is removed already or given twice), `ERR_RTD_READ_ONLY`
     */
    remove(ids: Ids): void {
        native().removeEntries(this.#handle.number, ids);
    }

    /** Builds what makes searching fast over the entries added since the last time, and computes the default temperature. */
    async seal(options?: SealOptions): Promise<void> {
        expectOptions(options, "seal");
        return observed(options, (task) => native().seal(this.#handle.number, options, task));
    }

    /** {@link seal}, blocking. */
    sealSync(options?: Omit<CallOptions, "signal">): void {
        expectOptions(options, "call");
        native().sealSync(this.#handle.number, options);
    }

    /**
     * Finds the k nearest live entries of each of the queries [B, dim].
     * @throws RtdError `ERR_RTD_INVALID_ARGUMENT`, `ERR_RTD_NOT_FINITE`; the signal's reason when aborted
     */
    async search(queries: FloatArray, options?: SearchOptions): Promise<Hits> {
        expectSearchOptions(options);
        return cancellable(options?.signal, (task) => native().search(this.#handle.number, plain(queries), options, task));
    }

    /** {@link search}, blocking. */
    searchSync(queries: FloatArray, options?: Omit<SearchOptions, "signal">): Hits {
        expectSearchOptions(options);
        return native().searchSync(this.#handle.number, plain(queries), options);
    }

    /**
     * Searches for queries [B, dim] and merges what is found into the logits [B, vocabulary], in place. Leave the logits alone until it resolves:
     * if they are transferred meanwhile the call rejects.
     * @throws RtdError as {@link search}, `ERR_RTD_TOKEN_RANGE` (the index holds a token that is not below the vocabulary),
     * `ERR_RTD_NO_TEMPERATURE`; the logits are then as they were
     */
    async searchAndFuse(queries: FloatArray, logits: FloatArray, options?: SearchAndFuseOptions): Promise<FuseResult> {
        expectSearchOptions(options);
        return cancellable(options?.signal, (task) =>
            native().searchAndFuse(this.#handle.number, plain(queries), plain(logits), options, task),
        );
    }

    /** {@link searchAndFuse}, blocking. */
    searchAndFuseSync(queries: FloatArray, logits: FloatArray, options?: Omit<SearchAndFuseOptions, "signal">): FuseResult {
        expectSearchOptions(options);
        return native().searchAndFuseSync(this.#handle.number, plain(queries), plain(logits), options);
    }

    /** @throws RtdError `ERR_RTD_UNKNOWN_ID` for an id that was never given; a removed entry has `live` 0. */
    entriesOf(ids: Ids): EntryInfo {
        return native().entriesOf(this.#handle.number, ids);
    }

    /** The map that keys and queries go through; undefined where there is none. */
    get transform(): KeyTransform | undefined {
        return native().indexTransform(this.#handle.number);
    }

    /** Keys [n, searchedDim] of entries by id, as they are searched. */
    keysOf(ids: Ids): Float32Array {
        return native().keysOf(this.#handle.number, ids);
    }

    /** Frees the entries as soon as no call uses them. More than once is fine. */
    dispose(): void {
        this.#handle.release();
    }

    [dispose](): void {
        this.dispose();
    }
}

/**
 * Makes an empty index in memory.
 * @throws RtdError `ERR_RTD_INVALID_ARGUMENT`, `ERR_RTD_UNSUPPORTED` (a back end that this machine lacks)
 */
export function createIndex(options: IndexOptions): ReferenceIndex {
    expectOptions(options, "index");
    if (options?.transform !== undefined) expectOptions(options.transform, "transform", "transform");
    return new ReferenceIndex(native().createIndex(options));
}

/** @internal */
export function isIndex(value: unknown): value is ReferenceIndex {
    return typeof value === "object" && value !== null && isIndexOfOurs(value);
}

/** @internal For parts of this package that hand an index to the addon. */
export function handleOf(index: ReferenceIndex): Handle {
    return handleOfIndex(index);
}
