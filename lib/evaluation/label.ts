/**
 * Classification by the labels' tokens at the prompt's end: the model alone, with the matched bias, with the reference; and two yardsticks that see the same
 * keys, the nearest reference and a linear probe.
 */
import { RtdError } from "../errors.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import { shuffle } from "../recipes/cut.js";
import type { RecipeMetadata } from "../recipes/metadata.js";
import type { Passage } from "../recipes/passage.js";
import { firstTokens, valuesOfLabel, type Label } from "../recipes/spelling.js";
import { bootstrapInterval, meanOver, type Interval } from "./bootstrap.js";
import { fitLinearProbe, logSoftmax } from "./linear-probe.js";
import { biasOf } from "./matched-bias.js";
import { mergeReference } from "./merge.js";
import { argmax, calibrationError, confusionOf, macroF1 } from "./metrics.js";
import { runModel, type ModelRun, type RunOptions } from "./model-run.js";
import type { EvaluateOptions, Fusion } from "./options.js";
import { shotsOf } from "./shots.js";

export interface LabelScore {
    accuracy: number;
    /** Of the accuracy, by resampling examples. */
    interval: Interval;
    macroF1: number;
    /** Expected calibration error; undefined where there are no probabilities. */
    calibrationError: number | undefined;
    /** By how much the accuracy is better than the model's (that with the matched bias, if there is one), example by example. */
    gain: { value: number; interval: Interval } | undefined;
    count: number;
}

export interface LabelFigures {
    model: LabelScore;
    /** Undefined if the store keeps no logits of its references. */
    modelBiasMatched: LabelScore | undefined;
    rtd: LabelScore;
    rtdBiasMatched: LabelScore | undefined;
    nearest: LabelScore;
    /** Undefined where the store's entries are of one label alone. */
    linearProbe: LabelScore | undefined;
    /** With in-context examples, for each draw of them. The store's keys were recorded without. */
    shots: { count: number; seed: number; promptTokens: number; model: LabelScore; rtd: LabelScore }[];
    /** Tokens of a prompt without in-context examples, on average. */
    promptTokens: number;
    /** Bytes of the store on disk. */
    storeBytes: number;
    /** Of the reference, with the matched bias if there is one: rows are the right labels, columns what was said. */
    confusion: { labels: string[]; counts: number[][] };
}

export async function evaluateLabel(
    options: EvaluateOptions & Pick<RunOptions, "cache" | "layer">,
    metadata: RecipeMetadata,
    passages: readonly Passage[],
    fusion: Fusion,
    passagesAfter: (before: string) => Promise<Passage[]>,
): Promise<LabelFigures> {
    const { store, signal } = options;
    const names = metadata.labels ?? [];
    const tokens = names.map(({ token }) => token);
    const { shots: count = 0, shotSeeds = 2 } = options;
    const shown: { seed: number; passages: Passage[] }[] = [];
    for (let seed = 1; count > 0 && seed <= shotSeeds; seed++)
        shown.push({ seed, passages: await passagesAfter(await shotsOf(store, metadata, count, seed)) });
    for (const { passages } of shown) expectRoom(options.model, passages, count);
    const run = await runModel(passages, { ...options, labels: firstTokens(names), unit: "examples" });
    const sheet = new Sheet(names, passages);
    const bias = biasOf(metadata);
    const merge = (bias?: readonly number[]) => mergeReference(store.index, run, { fusion, tokens, bias, signal });

    const model = sheet.right(run.logProbabilities);
    const biased = bias && run.logProbabilities.map((value, i) => value + (bias[i % bias.length] as number));
    const baseline = biased === undefined ? model : sheet.right(biased);
    const [rtd, rtdBiased] = [await merge(), bias && (await merge(bias))];
    const probe = await probeOf(options, tokens, run);
    const score = (values: Float64Array, against?: Float64Array) => sheet.score(values, against);
    const shots: LabelFigures["shots"] = [];
    for (const { seed, passages } of shown) {
        const prompted = await runModel(passages, { ...options, labels: firstTokens(names), unit: "examples" });
        const withReference = await mergeReference(store.index, prompted, { fusion, tokens, signal });
        shots.push({
            count,
            seed,
            promptTokens: meanTokens(passages),
            model: score(prompted.logProbabilities, baseline),
            rtd: score(withReference, baseline),
        });
    }
    return {
        model: score(run.logProbabilities),
        modelBiasMatched: biased && score(biased, model),
        rtd: score(rtd, baseline),
        rtdBiasMatched: rtdBiased && score(rtdBiased, baseline),
        nearest: sheet.score(await nearestOf(options, tokens, run), baseline, false),
        linearProbe: probe && score(probe, baseline),
        shots,
        promptTokens: meanTokens(passages),
        storeBytes: store.manifest.segments.reduce((sum, { bytes }) => sum + bytes, 0),
        confusion: { labels: names.map(({ name }) => name), counts: sheet.confusion(rtdBiased ?? rtd) },
    };
}

export const meanTokens = (passages: readonly Passage[]): number =>
    passages.reduce((sum, { tokens }) => sum + tokens.length, 0) / passages.length;

/** 1 for the label of the nearest entry, 0 for the others. */
async function nearestOf({ store, signal }: EvaluateOptions, tokens: readonly Token[], run: ModelRun): Promise<Float64Array> {
    const { tokens: found, k, heads } = await store.index.search(run.hidden, { k: 1, signal });
    const values = new Float64Array((run.hidden.length / run.dim) * tokens.length);
    for (let hit = 0; hit < found.length; hit += k) {
        const label = tokens.indexOf(found[hit] as Token);
        if (label >= 0) values[Math.floor(hit / k / heads) * tokens.length + label]! += 1 / heads;
    }
    return values;
}

/** Of more than these a sample is taken: it costs minutes, and they add little. */
const mostProbed = 4096;

async function probeOf(
    { store, signal }: EvaluateOptions,
    tokens: readonly Token[],
    run: ModelRun,
): Promise<Float64Array | undefined> {
    const ids = Uint32Array.from({ length: store.index.entries }, (_, i) => i);
    const entries = store.index.entriesOf(ids);
    const usable = ids.filter((id) => entries.live[id] === 1 && tokens.includes(entries.tokens[id] as Token));
    const kept = Uint32Array.from(shuffle([...usable], 1).slice(0, mostProbed));
    const labels = Int32Array.from(kept, (id) => tokens.indexOf(entries.tokens[id] as Token));
    if (new Set(labels).size < 2) return undefined;
    const probe = await fitLinearProbe(store.index.keysOf(kept), labels, run.dim, tokens.length, signal);
    return probe.predict(run.hidden);
}

export function expectRoom(model: LlamaModel, passages: readonly Passage[], shots: number): void {
    const longest = passages.reduce((most, { tokens }) => Math.max(most, tokens.length), 0);
    if (longest > model.trainContextSize)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `${shots} in-context examples make prompts of up to ${longest} tokens; the model's context holds ${model.trainContextSize}: give fewer shots`,
        );
}

/** The right answers, and how values are held against them. */
export class Sheet {
    private readonly answers: number[];
    private readonly open: number[];

    constructor(
        private readonly labels: readonly Label[],
        passages: readonly Passage[],
    ) {
        this.answers = passages.map(({ values }) => labels.findIndex((label) => valuesOfLabel(label).join() === values.join()));
        this.open = passages.map(({ openLabels = labels.length }) => openLabels);
    }

    /** values: [rows, labels], of which the largest among those open to a row is its answer. 1 where that is right. */
    right(values: Float64Array): Float64Array {
        const predicted = this.predicted(values);
        return Float64Array.from(this.answers, (answer, row) => (predicted[row] === answer ? 1 : 0));
    }

    /** -1 where all labels look alike: nothing is known. */
    private predicted(values: Float64Array): number[] {
        return this.answers.map((_, row) => {
            const own = this.rowOf(values, row);
            return own.length > 1 && own.every((value) => value === own[0]) ? -1 : argmax(own);
        });
    }

    score(values: Float64Array, against?: Float64Array, areLogarithms = true): LabelScore {
        const count = this.answers.length;
        const right = this.right(values);
        const accuracy = right.reduce((sum, one) => sum + one, 0) / count;
        const confidences = this.answers.map((_, row) => Math.exp(Math.max(...logSoftmax(this.rowOf(values, row)))));
        const gains = against && right.map((one, row) => one - (against[row] as number));
        return {
            accuracy,
            interval: bootstrapInterval(count, meanOver(right)),
            macroF1: macroF1(this.confusion(values)),
            calibrationError: areLogarithms ? calibrationError(confidences, right) : undefined,
            gain: gains && {
                value: gains.reduce((sum, gain) => sum + gain, 0) / count,
                interval: bootstrapInterval(count, meanOver(gains)),
            },
            count,
        };
    }

    confusion(values: Float64Array): number[][] {
        return confusionOf(this.answers, this.predicted(values), this.labels.length);
    }

    private rowOf(values: Float64Array, row: number): Float64Array {
        const first = row * this.labels.length;
        return values.subarray(first, first + (this.open[row] as number));
    }
}
