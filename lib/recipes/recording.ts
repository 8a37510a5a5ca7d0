import { createRecorder, type Recorded, type Recorder, type RecordOptions } from "../llama/record.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { createContext, type ContextSettings } from "./model.js";
import { longestPassage, type Passage } from "./passage.js";

export interface RecordingOptions extends ContextSettings {
    /** As of a recorder. */
    layer?: string | undefined;
}

/** Runs `work` with a recorder on a context of its own that is large enough for the passages. */
export async function withRecorder<T>(
    model: LlamaModel,
    passages: readonly Passage[],
    { layer, ...settings }: RecordingOptions,
    work: (recorder: Recorder) => Promise<T>,
): Promise<T> {
    const contextSize = longestPassage(model, passages) + 1;
    const context = await createContext(model, { ...settings, contextSize, batchSize: Math.min(contextSize, 512) });
    try {
        return await work(await createRecorder(context, { layer }));
    } finally {
        await context.dispose();
    }
}

type PassageOptions = Pick<RecordOptions, "reuseBeginning"> & { logits?: boolean };

/** The keys of a passage [values, dim] and, if they are wanted, the logits where they are asked [values, vocabulary]. */
export async function recordPassage(
    recorder: Recorder,
    passage: Passage,
    options: PassageOptions & { logits: true },
): Promise<Required<Recorded>>;
export async function recordPassage(recorder: Recorder, passage: Passage, options: PassageOptions): Promise<Recorded>;
export async function recordPassage(
    recorder: Recorder,
    { tokens, from, pooled }: Passage,
    { logits = false, reuseBeginning }: PassageOptions,
): Promise<Recorded> {
    if (pooled === undefined) return recorder.record(tokens, { from, logits, reuseBeginning });
    const recorded = await recorder.record(tokens, { from: pooled.begin, logits: logits && "last", reuseBeginning });
    const { embeddingSize } = recorder;
    return {
        ...recorded,
        hidden: meanRow(recorded.hidden.subarray(0, (pooled.end - pooled.begin) * embeddingSize), embeddingSize),
    };
}

/** The mean of rows [n, columns]: sums in float64, rounded once. */
export function meanRow(rows: Float32Array, columns: number): Float32Array {
    const sums = new Float64Array(columns);
    for (let i = 0; i < rows.length; i++) sums[i % columns]! += rows[i] as number;
    const count = rows.length / columns;
    return Float32Array.from(sums, (sum) => sum / count);
}
