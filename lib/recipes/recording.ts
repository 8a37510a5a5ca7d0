import { createRecorder, type Recorder } from "../llama/record.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { longestPassage, type Passage } from "./passage.js";

export interface RecordingOptions {
    /** As of a recorder. */
    layer?: string | undefined;
    threads?: number | undefined;
}

/** Runs `work` with a recorder on a context of its own that is large enough for the passages. */
export async function withRecorder<T>(
    model: LlamaModel,
    passages: readonly Passage[],
    { layer, threads }: RecordingOptions,
    work: (recorder: Recorder) => Promise<T>,
): Promise<T> {
    const contextSize = longestPassage(model, passages) + 1;
    const context = await model.createContext({
        contextSize,
        batchSize: Math.min(contextSize, 512),
        ...(threads && { threads }),
    });
    try {
        return await work(await createRecorder(context, { layer }));
    } finally {
        await context.dispose();
    }
}
