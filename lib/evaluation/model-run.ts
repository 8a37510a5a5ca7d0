/**
 * What the model says of the passages of an evaluation, in the few numbers that any setting of the reference needs: so one run of the model serves
 * them all, and the next evaluation of the same data needs none.
 */
import { fuseSync, logProbabilities } from "../fusion.js";
import type { LoraAdapter } from "../llama/lora.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import type { Progress } from "../recipes/build.js";
import { logSumExp } from "../recipes/label-logits.js";
import type { Passage } from "../recipes/passage.js";
import { recordPassage, withRecorder } from "../recipes/recording.js";
import type { RunCache } from "./run-cache.js";

/** Rows are the passages' values, in order. */
export interface ModelRun {
    dim: number;
    /** [rows, dim] */
    hidden: Float32Array;
    /** Candidates of a row: the labels, or the one token that comes next. */
    candidates: number;
    /** Of the model alone, over its whole vocabulary: [rows, candidates]. */
    logProbabilities: Float64Array;
    /** Of the model's distribution, nats: [rows]. */
    entropy: Float64Array;
}

export interface RunOptions {
    model: LlamaModel;
    /**
     * Label evaluations: candidates of every row, each the tokens whose probabilities it is the sum of. Without them a row's candidate is its value.
     */
    labels?: readonly (readonly Token[])[] | undefined;
    /** As of a recorder. */
    layer?: string | undefined;
    lora?: readonly LoraAdapter[] | undefined;
    unit: Progress["unit"];
    cache?: RunCache | undefined;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
    onProgress?: ((progress: Progress) => void) | undefined;
}

export async function runModel(passages: readonly Passage[], options: RunOptions): Promise<ModelRun> {
    const { cache, layer, labels = [] } = options;
    const known = await cache?.read(passages, labels, layer);
    if (known !== undefined) return known;
    const run = await record(passages, options);
    await cache?.write(passages, labels, run, layer).catch(() => undefined); // where nothing can be kept, the next evaluation runs the model again
    return run;
}

async function record(passages: readonly Passage[], options: RunOptions): Promise<ModelRun> {
    const { model, labels, unit, layer, lora, threads, signal, onProgress } = options;
    const dim = model.embeddingVectorSize;
    const candidates = labels?.length ?? 1;
    const rows = passages.reduce((sum, { values }) => sum + values.length, 0);
    const run = {
        dim,
        candidates,
        hidden: new Float32Array(rows * dim),
        logProbabilities: new Float64Array(rows * candidates),
        entropy: new Float64Array(rows),
    };
    await withRecorder(model, passages, { layer, threads, lora }, async (recorder) => {
        let row = 0;
        for (const passage of passages) {
            const { values } = passage;
            signal?.throwIfAborted();
            onProgress?.({ done: row, total: rows, unit });
            const reuseBeginning = labels !== undefined; // prompts of labels begin alike
            const { hidden, logits } = await recordPassage(recorder, passage, { logits: true, reuseBeginning });
            const vocabulary = logits.length / values.length;
            run.hidden.set(hidden, row * dim);
            run.logProbabilities.set(
                labels === undefined
                    ? logProbabilities(logits, vocabulary, Int32Array.from(values))
                    : sumsOf(logits, vocabulary, labels),
                row * candidates,
            );
            run.entropy.set(entropiesOf(logits, values.length), row);
            row += values.length;
        }
        onProgress?.({ done: rows, total: rows, unit });
    });
    return run;
}

/** Of rows of logits, by the core: what it says of them where nothing is merged. */
function entropiesOf(logits: Float32Array, rows: number): Float64Array {
    const none = { k: 1, distances: new Float32Array(rows), tokens: new Int32Array(rows), counts: new Uint32Array(rows) };
    const { figures } = fuseSync(none, logits, { temperature: 1, referenceWeight: 1, figures: true });
    return (figures as NonNullable<typeof figures>).modelEntropy;
}

/** Log-probabilities of candidates in rows of logits, each the sum of its tokens': [rows, candidates]. */
function sumsOf(logits: Float32Array, vocabulary: number, candidates: readonly (readonly Token[])[]): Float64Array {
    const tokens = candidates.flat();
    const rows = logits.length / vocabulary;
    const asked = Int32Array.from({ length: rows * tokens.length }, (_, i) => tokens[i % tokens.length] as Token);
    const all = logProbabilities(logits, vocabulary, asked, tokens.length);
    const sums = new Float64Array(rows * candidates.length);
    let at = 0;
    for (let i = 0; i < sums.length; i++) {
        const own = candidates[i % candidates.length] as readonly Token[];
        sums[i] = logSumExp([...all.subarray(at, at + own.length)]);
        at += own.length;
    }
    return sums;
}
