import type { KeyTransform } from "./transform.js";

/**
 * How near two vectors are: `"l2"` the Euclidean distance, `"l2sq"` its square, `"dot"` the negative dot product. Temperatures of one metric do
 * not carry over to another.
 */
export type Metric = "l2" | "l2sq" | "dot";

/** How keys are kept: IEEE float32, IEEE float16 or bfloat16. Given keys are rounded to it once, to nearest even. */
export type Dtype = "f32" | "f16" | "bf16";

/** Results have the same bits on all of them. `"auto"` takes the environment's `RTD_BACKEND`, else the fastest. */
export type BackendName = "auto" | "serial" | "avx2" | "avx512" | "neon" | "cuda";

/**
 * Whether sealing builds a cascade of certified bounds, which spares searches most of the keys' bytes. `"auto"` takes the environment's
 * `RTD_CASCADE`, else builds one from 4,096 entries on, and searches go back to scanning where that is cheaper; `"off"` always scans; `"always"`
 * uses it for any number of entries wherever a bound holds, to test and to measure. Hits are the same to the bit.
 */
export type CascadeUse = "auto" | "off" | "always";

/** `Float16Array` by its shape: not every runtime, nor every version of TypeScript's library, has it. */
export interface Float16ArrayLike {
    readonly [Symbol.toStringTag]: "Float16Array";
    readonly BYTES_PER_ELEMENT: number;
    readonly buffer: ArrayBufferLike;
    readonly byteOffset: number;
    readonly length: number;
}

/** Keys, row by row. A `Uint16Array` holds the bits of numbers in the index's own dtype (f16 or bf16). */
export type KeyArray = Float32Array | Uint16Array | Float16ArrayLike;

/** Queries or logits, row by row. A `Uint16Array` holds the bits of float16 numbers. */
export type FloatArray = Float32Array | Uint16Array | Float16ArrayLike;

/** Ids of entries. */
export type Ids = Uint32Array | readonly number[];

export interface Backend {
    name: Exclude<BackendName, "auto">;
    /** Whether an index can be created with it on this machine. */
    usable: boolean;
    /** Whether `"auto"` takes it. */
    default: boolean;
    /** Why it is not usable, or what it runs on. */
    reason: string;
}

export interface IndexOptions {
    /** Dimensions of a key, 1 to 65,536; a multiple of `heads`. */
    dim: number;
    /** Default `"l2"`. */
    metric?: Metric | undefined;
    /** Default `"f32"`. */
    dtype?: Dtype | undefined;
    /** Slices of `dim / heads` numbers that search and vote on their own. Default 1. */
    heads?: number | undefined;
    /** Default `"auto"`. A back end that cannot be used here is `ERR_RTD_UNSUPPORTED`. */
    backend?: BackendName | undefined;
    /** Threads of a search, 1 to 1,024. Default: the environment's `RTD_THREADS`, else the processors this process may use. */
    threads?: number | undefined;
    /** Default `"auto"`. */
    cascade?: CascadeUse | undefined;
    /** A map that keys and queries go through before they are compared; see {@link fitTransform}. Keys are kept as it makes them. Default: none. */
    transform?: KeyTransform | undefined;
}

export interface IndexInfo {
    /** Of keys and queries as they are given. */
    dim: number;
    /** Of keys as they are searched: `dim`, or what the transform makes of it. */
    searchedDim: number;
    metric: Metric;
    dtype: Dtype;
    heads: number;
    backend: Exclude<BackendName, "auto">;
    threads: number;
    /** Ids given so far, those of removed entries included: the next id. */
    entries: number;
    /** Live entries. */
    size: number;
    /** Ids below this are sealed. */
    sealed: number;
    /** Entries that have a cascade; the others are scanned. */
    cascaded: number;
    /** Bytes of memory and mapped files that hold the entries and their cascades. */
    bytes: number;
    /** The largest token ever added. */
    maxToken: number | undefined;
    /** The default temperature, computed when last sealed. */
    temperature: number | undefined;
}

/** What a query wants of a search. */
export interface RowOptions {
    /** Hits for each head, 1 to 2,048. Default 16. */
    k?: number | undefined;
    /** Hits beyond it are neither returned nor vote. Default: none is beyond it. */
    maxDistance?: number | undefined;
    /** Namespaces that are accepted, at most 64; an empty list accepts nothing. Default: all. */
    namespaces?: readonly number[] | Uint32Array | undefined;
    /**
     * Ids expected among the nearest, such as those that follow the last step's hits; at most 2,048. A hint that lets a device rule out the
     * rest early: results never depend on it, and ids that no entry has are passed over.
     */
    seeds?: readonly number[] | Uint32Array | undefined;
}

/** What a row of logits wants of fusing. */
export interface FuseRowOptions {
    /** T of the vote softmax(-distance / T), above 0. Default: the index's own, which sealing computes. */
    temperature?: number | undefined;
    /** a of p' = (1 - a) p + a r, 0 to 1: 0 leaves the logits alone, 1 leaves nothing of the model. Default 0.5. */
    referenceWeight?: number | undefined;
    /** Whether a retrieved token whose logit is -Infinity may come back although `referenceWeight` is below 1. Default false. */
    unmask?: boolean | undefined;
    /** Added to the model's logits before the reference is merged, and only where it is. Default: none; empty lists take one back. */
    bias?: TokenBias | undefined;
    /**
     * A weight by row instead of `referenceWeight`. Options of a row, or given later, that name only a `referenceWeight` take it back.
     */
    gate?: Gate | undefined;
}

/**
 * A weight by how sure the reference and the model are: `maxWeight / (1 + exp(-z))` with `z = bias + hitEntropy H(r) + largestVote max r_v +
 * modelEntropy H(p)`, entropies in nats, see {@link RowFigures}. Numbers are rounded to float32.
 */
export interface Gate {
    bias: number;
    hitEntropy: number;
    largestVote: number;
    modelEntropy: number;
    /** 0 to 1. */
    maxWeight: number;
}

/** What a row of logits is weighed by. */
export interface RowFigures {
    /** The smallest finite distance of a hit, of all heads; Infinity without one. */
    nearest: number;
    /** Entropy of the reference distribution r, in nats; 0 without a vote. */
    hitEntropy: number;
    /** The largest r_v; 0 without a vote. */
    largestVote: number;
    /** Entropy of the model's own distribution, its bias included, in nats; NaN for a row that cannot be merged, or is skipped. */
    modelEntropy: number;
    /** The weight a: 0 unless the row is merged. */
    referenceWeight: number;
    /** T; 0 for a row that is skipped. */
    temperature: number;
}

export interface FiguresOptions {
    /** Whether the result has the rows' {@link RowFigures}. Rows of weight 0 are then searched and looked at, too. Default false. */
    figures?: boolean | undefined;
}

/**
 * Numbers to add to the logits of some tokens. A row that is not merged (weight 0, no hit, skipped, unmergeable) stays as it was, to the bit: the
 * bias corrects the model for the reference's sake. What is merged with weight 1 has nothing of it.
 */
export interface TokenBias {
    /** Each once, below the vocabulary's size. */
    tokens: Int32Array | readonly number[];
    /** One for each of `tokens`, finite; rounded to float32, as the sum is. */
    values: Float32Array | readonly number[];
}

/** What every asynchronous call takes. */
export interface CallOptions {
    /** Threads of this call. Default: as the index was created. */
    threads?: number | undefined;
    /** Ends the call soon; it then rejects with the signal's reason and has changed nothing. */
    signal?: AbortSignal | undefined;
}

export interface SealOptions extends CallOptions {
    /** Told now and then what share is done, from above 0 to 1. What it throws is an uncaught exception, as of any timer. */
    onProgress?: ((share: number) => void) | undefined;
}

/** What a search looked at, in pairs of a key and a row (query x head): how far each level of a cascade got, which the next one had to look at. */
export interface SearchStats {
    /** Distances taken by a scan. */
    scanned: number;
    /** Bounds of a cascade's levels, the second of which may have two parts. */
    level1: number;
    level2: number;
    level2b: number;
    level3: number;
    /** Distances taken of keys that no level ruled out. */
    exact: number;
    /** Bytes of keys and levels that were read for all that; those that serve several rows at once count once. */
    bytes: number;
}

export interface StatsOptions {
    /** Whether the result says what the search looked at; all zero on a GPU, where nobody counts. Default false. */
    stats?: boolean | undefined;
}

export interface SearchOptions extends RowOptions, CallOptions, StatsOptions {
    /** One for each query; what it leaves out is taken from the options around it. */
    rows?: readonly RowOptions[] | undefined;
}

export interface SearchAndFuseOptions extends RowOptions, FuseRowOptions, CallOptions, StatsOptions, FiguresOptions {
    /** One for each query; what it leaves out is taken from the options around it. `skip` leaves a row as it is, without a search. */
    rows?: readonly (RowOptions & FuseRowOptions & { skip?: boolean | undefined })[] | undefined;
    /** Whether hits are returned. Default true. */
    hits?: boolean | undefined;
}

export interface FuseOptions extends FuseRowOptions, FiguresOptions, Pick<CallOptions, "signal"> {
    /** Must be given: hits that come from elsewhere bring no default. */
    temperature?: number | undefined;
    /** One for each row; what it leaves out is taken from the options around it. */
    rows?: readonly (FuseRowOptions & { skip?: boolean | undefined })[] | undefined;
}

/**
 * Hits of B queries: rows of `k`, row `b * heads + h` for head h of query b, nearest first (ties by the smaller id). A row with fewer hits is
 * padded with id 0xFFFFFFFF, token -1 and distance Infinity; `counts` has the hits before the padding.
 */
export interface Hits {
    /** [B * heads, k] */
    ids: Uint32Array;
    /** [B * heads, k], by the index's metric. */
    distances: Float32Array;
    /** [B * heads, k] */
    tokens: Int32Array;
    /** [B * heads] */
    counts: Uint32Array;
    /** The largest k of the call's rows. */
    k: number;
    heads: number;
    /** Where `search` was asked for it. */
    stats?: SearchStats;
}

/** Hits that came from elsewhere: as {@link Hits}, ids not needed. */
export interface ForeignHits {
    distances: Float32Array;
    tokens: Int32Array;
    counts: Uint32Array;
    k: number;
    /** Default 1. */
    heads?: number | undefined;
}

/**
 * What became of a row of logits: rewritten; left alone (weight 0, no hit, skipped); or left alone because NaN, Infinity or nothing but
 * -Infinity was found in it.
 */
export type RowStatus = "merged" | "unchanged" | "unmergeable";

export interface FuseResult {
    /** One for each row of logits. */
    statuses: RowStatus[];
    hits?: Hits;
    /** [rows] of each figure, where they were asked for. */
    figures?: { [figure in keyof RowFigures]: Float64Array };
    /** Where `searchAndFuse` was asked for it. */
    stats?: SearchStats;
}

/** What is known of entries by id, in the order asked for. */
export interface EntryInfo {
    tokens: Int32Array;
    namespaces: Uint32Array;
    /** 1, or 0 for a removed entry. */
    live: Uint8Array;
}

export interface AddOptions {
    /** A namespace for each key, or one for all. Default 0. */
    namespaces?: Uint32Array | number | undefined;
}
