/** What the cases of one run share: how much effort they take, the peers, and the keys and indexes at hand. */
import type { ProgressLine } from "../lib/cli/progress.js";
import { createIndex, type BackendName, type Dtype, type Metric, type ReferenceIndex } from "../lib/index.js";
import type { Effort } from "./engine.js";
import type { Figure, Group, LeftOut, Machine, Setting } from "./figures.js";
import type { Missing } from "./optional.js";
import type { OpenPeer, Peer, PeerMetric } from "./peers/peer.js";
import type { KeySet } from "./sets/key-set.js";
import { spreadOf, type Spread } from "./statistics.js";

/** A figure's own part; the workbench adds the machine's. */
export interface Measured {
    group: Group;
    way: string;
    version: string;
    setting: Setting;
    /** Milliseconds. */
    times: readonly number[];
    per?: Figure["per"];
    bytes?: number | null;
    survivors?: Figure["survivors"];
    check: string;
    recall?: number | null;
    ratios?: Record<string, Spread>;
}

export interface IndexKind {
    metric: Metric;
    dtype: Dtype;
    heads: number;
    backend: BackendName;
    cascade: "auto" | "off";
}

/** Keys that are added at a time: the addon keeps its own copy of them. */
const addedAtOnce = 65_536;

export class Workbench {
    readonly figures: Figure[] = [];
    readonly leftOut: LeftOut[] = [];
    readonly missing: Missing[] = [];
    /** The name of the case that runs. */
    case = "";
    #set: { name: string; set: KeySet } | undefined;
    #kind = "";
    readonly #indexes = new Map<IndexKind["cascade"], ReferenceIndex>();
    readonly #opened = new Map<string, { peer: Peer; open: OpenPeer }>();

    constructor(
        readonly effort: Effort,
        readonly machine: Machine,
        readonly peers: readonly Peer[],
        readonly versions: Record<string, string>,
        readonly signal: AbortSignal,
        /** Of what a case does before it measures. */
        readonly line: ProgressLine,
    ) {}

    /** Of this package's own figures. */
    get version(): string {
        return `node-rtd ${this.versions["node-rtd"]}`;
    }

    /** The set of that name; one is kept at a time, with what was made of it. */
    async set(name: string, make: () => KeySet | Promise<KeySet>): Promise<KeySet> {
        if (this.#set?.name !== name) {
            await this.clear();
            this.#set = { name, set: await make() };
        }
        return this.#set.set;
    }

    /** An index over the keys at hand, sealed. Those of one kind are kept, with a cascade and without, until others are asked for. */
    async index(set: KeySet, { cascade, ...kind }: IndexKind): Promise<ReferenceIndex> {
        if (JSON.stringify(kind) !== this.#kind) this.#dropIndexes();
        this.#kind = JSON.stringify(kind);
        const known = this.#indexes.get(cascade);
        if (known !== undefined) return known;
        const index = createIndex({ dim: set.d, ...kind, cascade });
        this.#indexes.set(cascade, index);
        for (let begin = 0; begin < set.n; begin += addedAtOnce) {
            const count = Math.min(addedAtOnce, set.n - begin);
            index.add(set.keys.subarray(begin * set.d, (begin + count) * set.d), tokensFor(begin, count));
        }
        await index.seal({ signal: this.signal });
        return index;
    }

    /** Some peers over the keys at hand. */
    async open(peers: readonly Peer[], set: KeySet, metric: PeerMetric): Promise<{ peer: Peer; open: OpenPeer }[]> {
        const found = [];
        for (const peer of peers) {
            const name = `${peer.name} ${metric}`;
            let opened = this.#opened.get(name);
            if (opened === undefined) this.#opened.set(name, (opened = { peer, open: await peer.open(set, metric) }));
            found.push(opened);
        }
        return found;
    }

    add(measured: Measured): Figure {
        const { group, way, version, setting, times, per = "call", bytes = null, survivors = null } = measured;
        const { check, recall = null, ratios = {} } = measured;
        const spread = spreadOf(times);
        const bandwidth = this.machine.bandwidth[setting.threads] ?? NaN;
        const figure: Figure = {
            name: `${this.case}${setting.n === null ? "" : ` of ${setting.n}`}: ${way}`,
            case: this.case,
            group,
            way,
            version,
            ...setting,
            per,
            ...spread,
            repeats: times.length,
            bytes,
            bandwidth,
            bandwidthShare: bytes === null ? null : bytes / spread.median / 1e6 / bandwidth,
            survivors,
            check,
            recall,
            ratios,
        };
        this.figures.push(figure);
        return figure;
    }

    async clear(): Promise<void> {
        this.#set = undefined;
        this.#dropIndexes();
        for (const { open } of this.#opened.values()) await open.close();
        this.#opened.clear();
    }

    #dropIndexes(): void {
        for (const index of this.#indexes.values()) index.dispose();
        this.#indexes.clear();
    }
}

/** Tokens below any vocabulary that is fused with; neighbours share some. */
function tokensFor(first: number, count: number): Int32Array {
    return Int32Array.from({ length: count }, (_, i) => ((first + i) * 31) % 10_007);
}
