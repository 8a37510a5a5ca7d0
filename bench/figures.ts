/**
 * What a run of the suite leaves in `results.json`: one {@link Results}. This file is the description of its members.
 */
import type { SearchStats } from "../lib/types.js";
import type { Missing } from "./optional.js";
import type { Spread } from "./statistics.js";

export const groups = ["search", "targets", "fuse", "hdf5", "store", "disk", "calls", "decode", "record"] as const;
export type Group = (typeof groups)[number];

/** What was asked; null where it has no meaning for the figure. */
export interface Setting {
    /** The keys: a name of `bench/sets`, a store's or an HDF5 file's path, or the model for decoding and recording. */
    set: string;
    /** Keys, and numbers in each. */
    n: number | null;
    d: number | null;
    metric: string | null;
    dtype: string | null;
    heads: number | null;
    k: number | null;
    /** Queries in one call: B. */
    batch: number | null;
    /** The back end that served; null for what is not node-rtd. */
    backend: string | null;
    threads: number;
}

export interface Figure extends Setting, Spread {
    /** Names the figure within a run, and is the same from run to run: what `--compare` goes by. */
    name: string;
    /** The case it is of, as `--list` prints it: figures of one case were measured in the same rounds. */
    case: string;
    group: Group;
    /** What was timed: `rtd`, `rtd scan`, a peer, or a state of the decoder. */
    way: string;
    /** The version of what was timed. */
    version: string;
    /** `median` and `quartiles` are milliseconds for one of these. */
    per: "call" | "token" | "entry";
    /** Timed rounds, or samples. */
    repeats: number;
    /** Bytes of keys, or of keys and cascade, that the work had to read, those that serve several queries at once counted once; null where unknown. */
    bytes: number | null;
    /** GB/s that as many threads read of memory on this machine, measured in this run. */
    bandwidth: number;
    /** `bytes` in `median`, as a share of `bandwidth`; above 1 where caches helped. */
    bandwidthShare: number | null;
    /** Pairs of key and query that each level of the search looked at, a call's mean; null where nobody counts. */
    survivors: Omit<SearchStats, "bytes"> | null;
    /** How the answer was checked before it counted. */
    check: string;
    /** Share of the true nearest that it found, where it need not find all. */
    recall: number | null;
    /** Time of other ways over this one's, by way, round by round: above 1, this one is faster. */
    ratios: Record<string, Spread>;
}

export interface Machine {
    cpu: string;
    cores: number;
    memory: number;
    platform: string;
    /** GB/s by number of threads. */
    bandwidth: Record<string, number>;
}

export interface LeftOut {
    name: string;
    reason: string;
}

export interface Results {
    format: "node-rtd-bench";
    /** Counts changes of these members. */
    version: 1;
    date: string;
    options: { quick: boolean; filter: string | null; store: string | null; hdf5: string[] };
    machine: Machine;
    /** Of node-rtd, Node and every peer that was found. */
    versions: Record<string, string>;
    /** Peers and tools that are not installed. */
    missing: Missing[];
    /** What was to be measured and was not, and why. */
    leftOut: LeftOut[];
    figures: Figure[];
    /** For a user's own store: what to choose, and the figures that say so. */
    advice: string[];
}
