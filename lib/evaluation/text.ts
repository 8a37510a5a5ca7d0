/** Perplexity of a text, without and with the reference, in the windows that text datastores are built in. */
import { logProbabilities } from "../fusion.js";
import type { Passage } from "../recipes/passage.js";
import { withRecorder } from "../recipes/recording.js";
import { perplexity } from "./metrics.js";
import type { EvaluateOptions, Fusion } from "./options.js";

export interface Perplexity {
    perplexity: number;
    firstHalf: number;
    secondHalf: number;
    count: number;
}

export interface TextFigures {
    model: Perplexity;
    rtd: Perplexity;
}

export async function evaluateText(
    { store, model, threads, signal, onProgress }: EvaluateOptions,
    passages: readonly Passage[],
    fusion: Fusion,
): Promise<TextFigures> {
    const total = passages.reduce((sum, { values }) => sum + values.length, 0);
    const own = new Float64Array(total);
    const merged = new Float64Array(total);
    await withRecorder(model, passages, threads, async (recorder) => {
        let done = 0;
        for (const { tokens, from, values } of passages) {
            signal?.throwIfAborted();
            onProgress?.({ done, total, unit: "tokens" });
            const { hidden, logits } = await recorder.record(tokens, { from, logits: true });
            const vocabulary = logits.length / values.length;
            const next = Int32Array.from(values);
            own.set(logProbabilities(logits, vocabulary, next), done);
            await store.index.searchAndFuse(hidden, logits, { ...fusion, hits: false });
            merged.set(logProbabilities(logits, vocabulary, next), done);
            done += values.length;
        }
        onProgress?.({ done, total, unit: "tokens" });
    });
    return { model: figures(own), rtd: figures(merged) };
}

function figures(logs: Float64Array): Perplexity {
    const middle = Math.ceil(logs.length / 2);
    return {
        perplexity: perplexity(logs),
        firstHalf: perplexity(logs.subarray(0, middle)),
        secondHalf: perplexity(logs.subarray(middle)),
        count: logs.length,
    };
}
