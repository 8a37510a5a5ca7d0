/** Perplexity of a text, without and with the reference, in the windows that text datastores are built in. */
import type { Passage } from "../recipes/passage.js";
import { blockInterval, blockTokens, type Estimate, type Interval } from "./bootstrap.js";
import { mergeReference } from "./merge.js";
import { perplexity } from "./metrics.js";
import { runModel, type RunOptions } from "./model-run.js";
import type { EvaluateOptions, Fusion } from "./options.js";

export interface Perplexity {
    perplexity: number;
    /** By resampling blocks of 50 tokens: tokens that stand together are not independent. */
    interval: Interval;
    bitsPerByte: number;
    firstHalf: number;
    secondHalf: number;
    /** By which share the perplexity is above the model's (negative: below), block by block. */
    change: Estimate | undefined;
    count: number;
}

export interface TextFigures {
    model: Perplexity;
    rtd: Perplexity;
    /** How both go along the text. */
    course: Stretch[];
}

export interface Stretch {
    /** Its first token, from 0 on, and the first after it. */
    from: number;
    to: number;
    /** Perplexities. */
    model: number;
    rtd: number;
}

export async function evaluateText(
    options: EvaluateOptions & Pick<RunOptions, "cache" | "layer">,
    passages: readonly Passage[],
    fusion: Fusion,
): Promise<TextFigures> {
    const { store, model, signal } = options;
    const run = await runModel(passages, { ...options, unit: "tokens" });
    const tokens = passages.flatMap(({ values }) => values);
    const merged = await mergeReference(store.index, run, { fusion, tokens, signal });
    const bytes = passages.reduce((sum, { values }) => sum + Buffer.byteLength(model.detokenize(values)), 0);
    return {
        model: figures(run.logProbabilities, bytes),
        rtd: figures(merged, bytes, run.logProbabilities),
        course: courseOf(run.logProbabilities, merged),
    };
}

const mostStretches = 40;

/** Stretches of whole blocks, as many in each; the last takes what is left. */
export function courseOf(model: Float64Array, rtd: Float64Array): Stretch[] {
    const length = blockTokens * Math.max(1, Math.ceil(model.length / blockTokens / mostStretches));
    const count = Math.max(1, Math.floor(model.length / length));
    return Array.from({ length: count }, (_, i) => {
        const [from, to] = [i * length, i === count - 1 ? model.length : (i + 1) * length];
        return { from, to, model: perplexity(model.subarray(from, to)), rtd: perplexity(rtd.subarray(from, to)) };
    });
}

/** logs: of the tokens that come next, in the text's order; bytes: of the text they make. */
export function figures(logs: Float64Array, bytes: number, against?: Float64Array): Perplexity {
    const middle = Math.ceil(logs.length / 2);
    const sum = logs.reduce((total, log) => total + log, 0);
    return {
        perplexity: perplexity(logs),
        interval: blockInterval(logs, blockTokens, (mean) => Math.exp(-mean)),
        bitsPerByte: -sum / Math.LN2 / bytes,
        firstHalf: perplexity(logs.subarray(0, middle)),
        secondHalf: perplexity(logs.subarray(middle)),
        change: against && changeOf(logs, against),
        count: logs.length,
    };
}

/** By which share the perplexity is above another's (negative: below), block by block. */
export function changeOf(logs: Float64Array, against: Float64Array): Estimate {
    const gains = logs.map((log, i) => log - (against[i] as number));
    return { value: perplexity(gains) - 1, interval: blockInterval(gains, blockTokens, (mean) => Math.exp(-mean) - 1) };
}
