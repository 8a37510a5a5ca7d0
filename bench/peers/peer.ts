/** What searches the same keys for the same queries: other engines, in this process or in one of their own. */
import type { Missing } from "../optional.js";
import type { KeySet } from "../sets/key-set.js";

/** By which peers compare: where neither is asked for, node-rtd is measured without them. */
export type PeerMetric = "l2sq" | "dot";

export interface PeerAnswer {
    /** [B, k] ids, nearest first. */
    ids: ArrayLike<number>;
    /** Of the engine's own call: what is done to queries and ids around it for our sake does not count. */
    milliseconds: number;
}

export interface OpenPeer {
    /** Bytes of keys that a search of so many queries has to read; null where unknown. */
    bytes(batch: number): number | null;
    /** Queries [first, first + B) of the set. */
    search(first: number, batch: number, k: number, threads: number): PeerAnswer | Promise<PeerAnswer>;
    close(): void | Promise<void>;
}

export interface Peer {
    name: string;
    version: string;
    /** Whether it finds all of the nearest; else its recall is printed. */
    isExact: boolean;
    /** Whether it keeps keys of its own, which take memory. */
    keepsKeys: boolean;
    /** The only number of threads that it searches on; undefined: any. */
    threads?: number;
    /** Rounding of its distances relative to |q|^2 + |x|^2: above 0 where they are taken from norms and products. */
    cancellation: number;
    open(set: KeySet, metric: PeerMetric): OpenPeer | Promise<OpenPeer>;
    close?(): void | Promise<void>;
}

/** Queries [first, first + B) as a copy: usearch's binding reads from the start of the buffer, whatever the array's offset. */
export const queriesOf = ({ queries, d }: KeySet, first: number, batch: number): Float32Array =>
    queries.slice(first * d, (first + batch) * d);

export const isMissing = (found: object): found is Missing => "install" in found;
