/** Fits a store's k, temperature and weight to its own examples, and keeps them as its defaults. */
import type { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import { blockInterval, blockTokens, type Interval } from "../evaluation/bootstrap.js";
import { runModel } from "../evaluation/model-run.js";
import { RunCache } from "../evaluation/run-cache.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import type { Progress } from "../recipes/build.js";
import { fusionDefaults, recipeOf, type FusionDefaults, type RecipeMetadata } from "../recipes/metadata.js";
import { allTokens, firstTokens } from "../recipes/spelling.js";
import { hasNeighbours, meanOf, scoreOf, tryAll, type Tried } from "./grid.js";
import { neighboursOf, ownPassages } from "./validation.js";

export interface TuneOptions {
    /** Open for writing, unless `dryRun`. */
    store: Datastore;
    model: LlamaModel;
    /** Only says what it would keep. */
    dryRun?: boolean | undefined;
    /** A folder where runs of the model are kept. */
    cacheDirectory?: string | undefined;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
    onProgress?: ((progress: Progress) => void) | undefined;
}

export interface TuneReport {
    /** Rows that were asked: examples of a label store, tokens of a text. */
    rows: number;
    /** The mean log-probability of the right answers of the model alone. */
    model: number;
    /** What the store had before, what scored best, and what it has now. */
    before: Tried;
    best: Tried;
    chosen: Tried;
    /** By how much the best scores above what the store had before, with its interval: nothing is changed unless all of that is above 0. */
    gain: { value: number; interval: Interval };
    /** Whether fewer hits than the best setting's do as well, within noise, and were taken. */
    isSimpler: boolean;
    /** All settings that were tried. */
    tried: Tried[];
    seconds: number;
}

const mostNeighbours = 8 << 20;
/** Fewer examples or blocks say nothing about noise. */
const fewestUnits = 10;

/**
 * Label and text stores. Settings are compared by the log-probability of the right answer, over examples or blocks of tokens.
 * @throws RtdError `ERR_RTD_UNSUPPORTED` (chat stores, and those too small), `ERR_RTD_NOT_FOUND` (their data has moved), `ERR_RTD_NO_TEMPERATURE`
 */
export async function tune(options: TuneOptions): Promise<TuneReport> {
    const { store, model, dryRun = false, cacheDirectory, signal } = options;
    const started = performance.now();
    const metadata = recipeOf(store);
    if (metadata.recipe === "chat")
        throw new RtdError(
            "ERR_RTD_UNSUPPORTED",
            `${store.path}: only label and text stores are tuned; give k, T and weight of a chat store yourself`,
        );
    const own = store.index.temperature;
    if (own === undefined)
        throw new RtdError("ERR_RTD_NO_TEMPERATURE", `${store.path} is empty or was never sealed: build it first`);
    const unit = own / fusionDefaults.label.temperatureScale; // of every store: see the manifest's temperature
    const candidates = metadata.recipe === "label" ? candidatesOf(metadata) : undefined;
    const labels = candidates?.map(([token]) => token as Token);
    if (store.size === 0)
        throw new RtdError("ERR_RTD_UNSUPPORTED", `${store.path} has no entries left: there is nothing to tune`);
    const { passages, canonical } = await ownPassages(store, model, metadata);
    const cache = cacheDirectory === undefined ? undefined : new RunCache(cacheDirectory, await fingerprintModel(model));
    const unitOf = labels === undefined ? "tokens" : "examples";
    const run = await runModel(passages, { ...options, labels: candidates, cache, layer: metadata.layer, unit: unitOf });
    const values = passages.flatMap(({ values }) => values);
    const right = Int32Array.from(values, (value) => labels?.indexOf(value) ?? 0);
    const block = labels === undefined ? blockTokens : 1;
    const most = Math.max(1, Math.floor(mostNeighbours / (values.length * store.index.heads)));
    const k = Math.min(1024, store.size, most);
    const near = await neighboursOf(store, run, passages, { k, tokens: labels ?? values, canonical, signal });
    const asked = values.filter((_, row) => hasNeighbours(near, row)).length;
    if (asked < fewestUnits * block)
        throw new RtdError(
            "ERR_RTD_UNSUPPORTED",
            `${store.path}: ${asked} of its ${labels === undefined ? "tokens" : "examples"} have other entries to learn from, too few to tune on (${fewestUnits * block} at least); add data, or give k, T and weight yourself`,
        );

    const rowsOf = ({ k, temperatureScale, referenceWeight }: FusionDefaults) =>
        scoreOf(run, near, right, Math.min(k, near.k), temperatureScale * unit)(referenceWeight);
    const difference = (a: FusionDefaults, b: FusionDefaults) => compare(rowsOf(a), rowsOf(b), block);
    const tried = await tryAll(run, near, right, unit, signal);
    const best = bestOf(tried);
    const before: Tried = { ...metadata.defaults, score: meanOf(rowsOf(metadata.defaults)) };
    const gain = difference(best, before);
    const simplest = simplestAsGood(
        tried,
        best,
        (other) => difference(best, other).interval[0] <= 0 && difference(other, before).interval[0] > 0,
    );
    const isBetter = gain.interval[0] > 0;
    const chosen = isBetter ? simplest : before;
    if (isBetter && !dryRun) {
        const { k, temperatureScale, referenceWeight } = chosen;
        await store.setMetadata({ ...metadata, defaults: { k, temperatureScale, referenceWeight } });
    }
    return {
        rows: values.length,
        model: meanOf(rowsOf({ ...best, referenceWeight: 0 })),
        before,
        best,
        chosen,
        gain,
        isSimpler: isBetter && simplest !== best,
        tried,
        seconds: (performance.now() - started) / 1000,
    };
}

/** What a label store's rows are asked for: its labels, or of whole labels the tokens that any of them has. */
function candidatesOf({ labels = [], wholeLabels }: RecipeMetadata): Token[][] {
    return wholeLabels ? allTokens(labels).map((token) => [token]) : firstTokens(labels);
}

const bestOf = (tried: readonly Tried[]): Tried => tried.reduce((best, other) => (other.score > best.score ? other : best));

/** Of the best settings of every smaller k, the smallest that is as good: not told apart from the best of all, and better than what there was. */
export function simplestAsGood(tried: readonly Tried[], best: Tried, isAsGood: (other: Tried) => boolean): Tried {
    for (const k of [...new Set(tried.map(({ k }) => k))].filter((k) => k < best.k).sort((a, b) => a - b)) {
        const other = bestOf(tried.filter((one) => one.k === k));
        if (isAsGood(other)) return other;
    }
    return best;
}

/** The mean difference of rows' scores, over blocks of them. */
function compare(a: Float64Array, b: Float64Array, block: number): { value: number; interval: Interval } {
    const gains = a.map((score, row) => score - (b[row] as number));
    return { value: meanOf(gains), interval: blockInterval(gains, block, (mean) => mean) };
}
