import { defined } from "../defined.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { loadModel, usingModel } from "../recipes/model.js";
import { progressLine } from "./progress.js";

export interface ModelFlags {
    model: string;
    gpu?: boolean | undefined;
    threads?: number | undefined;
    json?: boolean | undefined;
}

/** Loads the model that a command names, and frees it afterwards. */
export async function withModel<T>(
    { model: name, gpu = true, threads, json }: ModelFlags,
    signal: AbortSignal,
    work: (model: LlamaModel) => Promise<T>,
): Promise<T> {
    const line = progressLine("loading the model", { silent: json });
    let model: LlamaModel;
    try {
        model = await loadModel(name, {
            gpu: gpu ? "auto" : false,
            signal,
            onProgress: (share) => line.note(`${Math.floor(100 * share)}%`),
            ...defined({ threads }),
        });
    } finally {
        line.stop();
    }
    return usingModel(model, work);
}
