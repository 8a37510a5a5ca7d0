/**
 * Accuracy over labels, by the logits of the label tokens at the prompt's end: of the model alone, of the model with the matched bias, and
 * of the model with the reference.
 */
import type { Token } from "../node-llama-cpp.js";
import { LabelLogits, labelLogitsOf } from "../recipes/label-logits.js";
import type { RecipeMetadata } from "../recipes/metadata.js";
import type { Passage } from "../recipes/passage.js";
import { withRecorder } from "../recipes/recording.js";
import { matchedBias } from "./matched-bias.js";
import { argmax } from "./metrics.js";
import type { EvaluateOptions, Fusion } from "./options.js";

export interface Accuracy {
    accuracy: number;
    count: number;
}

export interface LabelFigures {
    model: Accuracy;
    /** Undefined if the store keeps no logits of its references. */
    modelBiasMatched: Accuracy | undefined;
    rtd: Accuracy;
}

export async function evaluateLabel(
    { store, model, threads, signal, onProgress }: EvaluateOptions,
    metadata: RecipeMetadata,
    passages: readonly Passage[],
    fusion: Fusion,
): Promise<LabelFigures> {
    const tokens = (metadata.labels ?? []).map(({ token }) => token);
    const references = new LabelLogits(tokens.length, metadata.labelLogits);
    const bias =
        references.rows > 0 ? matchedBias(Array.from({ length: references.rows }, (_, i) => references.row(i))) : undefined;
    const right = { model: 0, biased: 0, rtd: 0 };
    await withRecorder(model, passages, threads, async (recorder) => {
        for (const [done, { tokens: prompt, from, values, openLabels }] of passages.entries()) {
            signal?.throwIfAborted();
            onProgress?.({ done, total: passages.length, unit: "examples" });
            const { hidden, logits } = await recorder.record(prompt, { from, logits: true, reuseBeginning: true });
            const answer = tokens.indexOf(values[0] as Token);
            const own = labelLogitsOf(logits, tokens, openLabels);
            if (argmax(own) === answer) right.model++;
            if (bias !== undefined && argmax(own.map((logit, i) => logit + (bias[i] as number))) === answer) right.biased++;
            await store.index.searchAndFuse(hidden, logits, { ...fusion, hits: false });
            if (argmax(labelLogitsOf(logits, tokens, openLabels)) === answer) right.rtd++;
        }
        onProgress?.({ done: passages.length, total: passages.length, unit: "examples" });
    });
    const accuracy = (hits: number): Accuracy => ({ accuracy: hits / passages.length, count: passages.length });
    return { model: accuracy(right.model), modelBiasMatched: bias && accuracy(right.biased), rtd: accuracy(right.rtd) };
}
