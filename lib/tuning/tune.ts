/** Fits a store's space, k, temperature and weight to its own examples, and keeps them. */
import { setImmediate } from "node:timers/promises";

import { expectFlag, expectWhole, invalid } from "../arguments.js";
import type { Datastore } from "../datastore.js";
import { defined } from "../defined.js";
import { RtdError } from "../errors.js";
import { blockInterval, blockTokens, type Interval } from "../evaluation/bootstrap.js";
import { labelReading } from "../evaluation/label-reading.js";
import { runModel } from "../evaluation/model-run.js";
import { RunCache } from "../evaluation/run-cache.js";
import { expectLlamaModel, fingerprintModel } from "../llama/fingerprint.js";
import type { Layer } from "../llama/layer.js";
import type { LoraAdapter } from "../llama/lora.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { expectGivenOptions } from "../option-names.js";
import type { Progress } from "../recipes/build.js";
import { expectCut, type Cut } from "../recipes/cut.js";
import { recipeOf, type RecipeMetadata } from "../recipes/metadata.js";
import type { Passage } from "../recipes/passage.js";
import { ownTemperatureScale } from "../reference-index.js";
import { crossFittedWeights, fitGate, gateWeights } from "./gate.js";
import { climb, gateRowsOf, grid, hasNeighbours, meanOf, scoreOf, tryAll, type Scored, type Tried } from "./grid.js";
import { expectLayers, tryLayers, type LayerTrial } from "./layers.js";
import { foldsIn, setTo, spaceOf, spacesFor, type Space } from "./spaces.js";
import { findNeighbours, neighboursOf, noNeighbours, otherPassages, ownPassages, type Neighbours } from "./validation.js";

export interface TuneOptions extends Cut {
    /** Open for writing, unless `dryRun`. */
    store: Datastore;
    model: LlamaModel;
    /**
     * What to tune on: data files of the rows that the store's task takes, none of which is to be in the store. Default: examples of the store's own, which
     * are asked as if they were not in it. Chat stores need it: a fact that is left out is answered by no other.
     */
    data?: readonly string[] | undefined;
    /**
     * How many of the store's own examples are asked (of a text: tokens), at least 1; all where it has fewer. More make smaller differences certain, and take
     * longer. Default: {@link defaultSample}.
     */
    sample?: number | undefined;
    /** Only says what it would keep. */
    dryRun?: boolean | undefined;
    /** Whether only k, temperature and weight are fitted, in the space that the store has. Default false. */
    keepSpace?: boolean | undefined;
    /**
     * Label and text stores, without other data: also says whether the states of these layers would be better keys, by a sample of the store's examples that is
     * recorded in each. Default: none.
     */
    layers?: readonly Layer[] | undefined;
    /** LoRA adapters that the model runs with; those that the store was built with. Default: none. */
    lora?: readonly LoraAdapter[] | undefined;
    /** A folder where runs of the model are kept. */
    cacheDirectory?: string | undefined;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
    onProgress?: ((progress: Progress) => void) | undefined;
}

export interface TuneReport {
    /** Rows that were asked: examples of a label store, tokens of a text or of answers. */
    rows: number;
    /** The mean log-probability of the right answers of the model alone. */
    model: number;
    /** What the store had before, what scored best, and what it has now. */
    before: Tried;
    best: Tried;
    chosen: Tried;
    /** By how much the best scores above what the store had before, with its interval: nothing is changed unless all of that is above 0. */
    gain: { value: number; interval: Interval };
    /** Whether a simpler space or fewer hits than the best setting's do as well, within noise, and were taken. */
    isSimpler: boolean;
    /** The best setting of each space, simpler spaces first. */
    spaces: Tried[];
    /**
     * Of text stores: the best gate in place of a fixed weight (judged by blocks it was not fitted to), by how much it scores above the fixed weight that would
     * have been chosen, and whether it was taken.
     */
    gate: (Tried & { gain: { value: number; interval: Interval }; isTaken: boolean }) | undefined;
    /** The store's own layer and those that were asked for; undefined where none were. */
    layers: LayerTrial[] | undefined;
    /** All settings that were tried. */
    tried: Tried[];
    seconds: number;
}

const mostNeighbours = 20 << 20; // 12 bytes each
/** Fewer examples or blocks say nothing about noise. */
const fewestUnits = 10;

/**
 * Settings are compared by the log-probability of the right answer, over examples or blocks of tokens. Label and chat stores are also searched in other
 * spaces: with several heads, and through transforms fitted to their keys ({@link Datastore.setSpace}).
 * @throws RtdError `ERR_RTD_UNSUPPORTED` (chat stores without other data, and what is too little), `ERR_RTD_NOT_FOUND` (their data has moved), `ERR_RTD_NO_TEMPERATURE`
 */
export async function tune(options: TuneOptions): Promise<TuneReport> {
    const started = performance.now();
    expectGivenOptions(options, "tune");
    const { store, model, data, sample, dryRun = false, keepSpace = false, layers, cacheDirectory, signal, onProgress } = options;
    expectCut(options);
    expectFlag(dryRun, "dryRun");
    expectFlag(keepSpace, "keepSpace");
    expectLayers(layers);
    const metadata = recipeOf(store);
    expectLlamaModel(model);
    if (metadata.recipe === "chat" && data === undefined)
        throw new RtdError(
            "ERR_RTD_UNSUPPORTED",
            `${store.path}: an example of a chat store that is left out is answered by no other; give other data to tune on, as the same questions in other words`,
        );
    if (layers !== undefined && data !== undefined)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            "layers are compared by the store's own examples: leave out layers, or data; chat stores cannot be asked so",
        );
    expectSizes(options);
    const own = store.index.temperature;
    if (own === undefined)
        throw new RtdError("ERR_RTD_NO_TEMPERATURE", `${store.path} is empty or was never sealed: build it first`);
    const reading = metadata.recipe === "label" ? labelReading(metadata) : undefined;
    const labels = reading?.tokens;
    if (store.size === 0)
        throw new RtdError("ERR_RTD_UNSUPPORTED", `${store.path} has no entries left: there is nothing to tune`);
    const { passages, canonical } =
        data === undefined
            ? await ownPassages(store, model, metadata, sample)
            : await otherPassages(data, model, metadata, options);
    const cache = cacheDirectory === undefined ? undefined : new RunCache(cacheDirectory, await fingerprintModel(model, options));
    const progressUnit = reading === undefined ? "tokens" : "examples";
    const asking = { ...options, labels: reading?.candidates, cache, unit: progressUnit } as const;
    const run = await runModel(passages, { ...asking, layer: metadata.layer });
    const values = passages.flatMap(({ values }) => values);
    const right = Int32Array.from(values, (value) => labels?.indexOf(value) ?? 0);
    const block = metadata.recipe === "text" ? blockTokens : 1;
    // An answer is right as a whole, and so is a label.
    const inUnits =
        metadata.recipe === "chat" || metadata.wholeLabels
            ? (rows: Float64Array) => sumsOver(passages, rows)
            : (rows: Float64Array) => rows;
    const inSpace = { tokens: labels ?? values, canonical, signal };
    const mostHits = (heads: number) =>
        Math.min(1024, store.size, Math.max(1, Math.floor(mostNeighbours / (values.length * heads))));

    const present = presentSpace(store, metadata);
    const others = keepSpace || metadata.recipe === "text" ? [] : spacesFor(store, labels?.length);
    const spaces = others.some(({ name }) => name === present.name) ? others : [present, ...others];
    const tried: Tried[] = [];
    const bests: Scored[][] = [];
    let before: Scored | undefined;
    for (const [done, space] of spaces.entries()) {
        onProgress?.({ done, total: spaces.length, unit: "spaces" });
        const { near, unit } = await neighboursIn(space);
        if (space.name === present.name) {
            expectEnough(near);
            const { k, temperatureScale, referenceWeight, gate } = metadata.defaults;
            const [most, temperature] = [Math.min(k, near.k), temperatureScale * unit];
            const weight = gate ? gateWeights(gate, gateRowsOf(run, near, right, most, temperature)) : referenceWeight;
            const rows = inUnits(scoreOf(run, near, right, most, temperature)(weight));
            before = { ...metadata.defaults, space: present.name, score: meanOf(rows), rows };
        }
        const trial = await tryAll(run, near, right, { space: space.name, unit, inUnits, signal });
        tried.push(...trial.tried);
        bests.push(trial.bestOfEach);
    }
    onProgress?.({ done: spaces.length, total: spaces.length, unit: "spaces" });
    const was = before as Scored;
    const difference = (a: Scored, b: Scored) => compare(a.rows, b.rows, block);
    const best = bestOf(bests.flat());
    const gain = difference(best, was);
    const isBetter = gain.interval[0] > 0;
    const simplest = simplestAsGood(
        bests,
        best,
        (other) => difference(best, other).interval[0] <= 0 && difference(other, was).interval[0] > 0,
    );
    const fixed = isBetter ? simplest : was;
    const gated = metadata.recipe === "text" ? await bestGate(bestOf(bests[0] as Scored[])) : undefined;
    const gateGain = gated && difference(gated, fixed);
    const isGated = gateGain !== undefined && gateGain.interval[0] > 0;
    const chosen = isGated ? (gated as Scored) : fixed;
    const layerTrials =
        layers &&
        (await tryLayers({
            ...asking,
            ...inSpace,
            own: metadata.layer,
            layers,
            passages,
            right,
            k: mostHits(1),
            inUnits,
            compare: difference,
        }));
    if ((isBetter || isGated) && !dryRun) {
        const { k, temperatureScale, referenceWeight, gate } = chosen;
        const space = spaces.find(({ name }) => name === chosen.space) as Space;
        if (space.name !== present.name) await setTo(store, space, { signal });
        await store.setMetadata({ ...metadata, space, defaults: { k, temperatureScale, referenceWeight, ...defined({ gate }) } });
    }
    return {
        rows: values.length,
        model: meanOf(
            inUnits(run.logProbabilities.filter((_, i) => i % run.candidates === right[Math.floor(i / run.candidates)])),
        ),
        before: withoutRows(was),
        best: withoutRows(best),
        chosen: withoutRows(chosen),
        gain,
        isSimpler: isBetter && simplest !== best,
        gate: gated && { ...withoutRows(gated), gain: gateGain as NonNullable<typeof gateGain>, isTaken: isGated },
        layers: layerTrials,
        spaces: bests.map((some) => withoutRows(bestOf(some))),
        tried,
        seconds: (performance.now() - started) / 1000,
    };

    async function neighboursIn(space: Space): Promise<{ near: Neighbours; unit: number }> {
        const options = { ...inSpace, k: mostHits(space.heads) };
        if (!others.includes(space))
            return { near: await neighboursOf(store, run, passages, options), unit: (own as number) / ownTemperatureScale };
        const near = noNeighbours(values.length, space.heads, options.k);
        const temperature = await foldsIn(
            store,
            space,
            canonical,
            (fold) => findNeighbours(near, store, fold, run, passages, options),
            signal,
        );
        return { near, unit: temperature / ownTemperatureScale };
    }

    /** From the best setting with a fixed weight to the next k and temperature, as long as that is better. */
    async function bestGate(fixed: Scored): Promise<Scored> {
        const { near, unit } = await neighboursIn(present);
        const ks = grid.k.filter((k) => k <= near.k);
        const gateAt = async (k: number, temperatureScale: number): Promise<Scored> => {
            await setImmediate();
            signal?.throwIfAborted();
            const temperature = temperatureScale * unit;
            const rows = gateRowsOf(run, near, right, k, temperature);
            const weights = crossFittedWeights(rows, (row) => Math.floor(row / block) % gateParts, gateParts);
            const scores = scoreOf(run, near, right, k, temperature)(weights);
            return { ...fixed, k, temperatureScale, gate: fitGate(rows), score: meanOf(scores), rows: scores };
        };
        return climb(ks, grid.temperatureScale, fixed, gateAt);
    }

    function expectEnough(near: Neighbours): void {
        const rows = Float64Array.from(values, (_, row) => (hasNeighbours(near, row) ? 1 : 0));
        const asked = inUnits(rows).filter((count) => count > 0).length;
        if (asked < fewestUnits * block)
            throw new RtdError(
                "ERR_RTD_UNSUPPORTED",
                `${store.path}: ${asked} of the ${metadata.recipe === "text" ? "tokens" : "examples"} have other entries to learn from, too few to tune on (${fewestUnits * block} at least); add data, or give k, T and weight yourself`,
            );
    }
}

/** Own examples are sampled, other data is cut. */
function expectSizes({ data, sample, seed, offset, limit }: TuneOptions): void {
    expectWhole(sample, "sample", 1);
    if (data !== undefined && sample !== undefined)
        invalid("sample is of the store's own examples: leave it out, or data; other data is cut by seed, offset and limit");
    const cut = Object.entries({ seed, offset, limit }).find(([, value]) => value !== undefined);
    if (data === undefined && cut !== undefined)
        invalid(
            `${cut[0]} is of other data: give data, or leave it out; of the store's own examples, sample says how many are asked`,
        );
}

/** Parts of a text, of alternating blocks, that a gate is fitted without in turn. */
const gateParts = 4;

/** What a store is searched in now, by the name it has among those that are tried. */
function presentSpace({ index }: Datastore, { space }: RecipeMetadata): Space {
    if (space !== undefined && space.heads === index.heads && (space.method === undefined) === (index.transform === undefined))
        return space;
    if (index.transform !== undefined) return { name: "a transform of its own", heads: index.heads };
    return spaceOf(index.heads);
}

function withoutRows({ space, k, temperatureScale, referenceWeight, gate, score }: Scored): Tried {
    return { space, k, temperatureScale, referenceWeight, ...defined({ gate }), score };
}

const bestOf = <T extends Tried>(tried: readonly T[]): T =>
    tried.reduce((best, other) => (other.score > best.score ? other : best));

/**
 * The simplest setting that is as good: in the first space (simpler ones come first) that has one, that with the fewest hits. bests: of each space the best of each k,
 * k ascending.
 */
export function simplestAsGood<T extends Tried>(bests: readonly (readonly T[])[], best: T, isAsGood: (other: T) => boolean): T {
    for (const some of bests) {
        const top = bestOf(some);
        if (top === best || isAsGood(top)) return some.find((other) => other === top || isAsGood(other)) as T;
    }
    return best;
}

/** Says what came of a gate, where one was tried. */
export function gateOutcome({ gate }: Pick<TuneReport, "gate">): string | undefined {
    if (gate === undefined) return undefined;
    const { value, interval } = gate.gain;
    const size = `${value.toFixed(4)} (95%: ${interval.map((end) => end.toFixed(4)).join(" to ")})`;
    return gate.isTaken
        ? `A gate (k ${gate.k}, temperature scale ${gate.temperatureScale}) scores ${size} above the fixed weight, and is taken.`
        : `A gate scores ${size} above the fixed weight, within noise or worse: the weight stays fixed.`;
}

/** Says what is as good as the best, and taken. */
export function simpler({ best, chosen }: Pick<TuneReport, "best" | "chosen">): string {
    const isSame = chosen.space === best.space;
    const [taken, top] = isSame
        ? [`k ${chosen.k}`, String(best.k)]
        : [`${chosen.space}, k ${chosen.k}`, `${best.space}, k ${best.k}`];
    return `As good as the best within noise, and taken: ${taken} for ${top}.`;
}

/** The sums of rows over each passage. */
function sumsOver(passages: readonly Passage[], rows: Float64Array): Float64Array {
    let row = 0;
    return Float64Array.from(passages, ({ values }) => values.reduce((sum) => sum + (rows[row++] as number), 0));
}

/** The mean difference of rows' scores, over blocks of them. */
function compare(a: Float64Array, b: Float64Array, block: number): { value: number; interval: Interval } {
    const gains = a.map((score, row) => score - (b[row] as number));
    return { value: meanOf(gains), interval: blockInterval(gains, block, (mean) => mean) };
}
