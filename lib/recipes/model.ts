/** Loading a model by node-llama-cpp, which is an optional peer dependency and therefore imported only when needed. */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type * as NodeLlamaCpp from "node-llama-cpp";

import { RtdError } from "../errors.js";
import { adapterOf, type LoraAdapter } from "../llama/lora.js";
import type { LlamaModel } from "../node-llama-cpp.js";

export interface LoadModelOptions {
    /** "auto" takes whatever GPU node-llama-cpp finds; false the CPU. */
    gpu?: "auto" | false;
    threads?: number;
    signal?: AbortSignal;
    onProgress?: (share: number) => void;
}

/** `nameOrPath`: a file, or a URI or name that node-llama-cpp's resolveModelFile takes (it downloads what is not there). */
export async function loadModel(
    nameOrPath: string,
    { gpu = "auto", threads, signal, onProgress }: LoadModelOptions = {},
): Promise<NodeLlamaCpp.LlamaModel> {
    const { getLlama, resolveModelFile, LlamaLogLevel } = await importNodeLlamaCpp();
    const modelPath = existsSync(nameOrPath) ? nameOrPath : await resolveName(resolveModelFile, nameOrPath);
    const llama = await getLlama({
        gpu,
        build: "never",
        progressLogs: false,
        logLevel: LlamaLogLevel.error,
        ...(threads !== undefined && { maxThreads: threads }),
    });
    // node-llama-cpp takes at least four threads. llama.cpp's wait for each other by spinning, so more of them than processors are ten times slower.
    if (threads === undefined && llama.maxThreads > availableParallelism()) llama.maxThreads = availableParallelism();
    try {
        return await llama.loadModel({
            modelPath,
            ...(signal && { loadSignal: signal }),
            ...(onProgress && { onLoadProgress: onProgress }),
        });
    } catch (cause) {
        if (signal?.aborted) throw cause;
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new RtdError(
            "ERR_RTD_BAD_FORMAT",
            `${modelPath}: llama.cpp cannot load it (${reason}); it takes whole GGUF files of the architectures it knows`,
            { cause },
        );
    }
}

async function importNodeLlamaCpp(): Promise<typeof NodeLlamaCpp> {
    try {
        return await import("node-llama-cpp");
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
        throw new RtdError("ERR_RTD_UNSUPPORTED", "running a model needs the package node-llama-cpp: npm install node-llama-cpp");
    }
}

async function resolveName(resolveModelFile: typeof NodeLlamaCpp.resolveModelFile, name: string): Promise<string> {
    try {
        return await resolveModelFile(name, { cli: false });
    } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        const isUri = /^\w{2,}:/.test(name); // hf:, https:, and no drive's letter
        throw new RtdError(
            "ERR_RTD_NOT_FOUND",
            isUri
                ? `${name}: node-llama-cpp does not resolve it (${reason})`
                : `${name}: no such file, nor one of this name in node-llama-cpp's folder of models; give a path, or hf:user/repo:quant`,
        );
    }
}

export interface ContextSettings {
    threads?: number | undefined;
    lora?: readonly LoraAdapter[] | undefined;
}

/**
 * A context of a model, with adapters.
 * @throws RtdError `ERR_RTD_BAD_FORMAT` where they are none for the model
 */
export async function createContext(
    model: LlamaModel,
    { threads, lora = [], ...sizes }: ContextSettings & { contextSize: number; batchSize?: number },
): Promise<NodeLlamaCpp.LlamaContext> {
    const adapters = lora.map(adapterOf).map(({ file, scale }) => ({ filePath: resolve(file), scale }));
    try {
        return await model.createContext({
            ...sizes,
            ...(threads && { threads }),
            ...(adapters.length > 0 && { lora: { adapters } }),
        });
    } catch (cause) {
        if (adapters.length === 0) throw cause;
        throw new RtdError(
            "ERR_RTD_BAD_FORMAT",
            `lora: llama.cpp cannot run ${model.filename ?? "the model"} with ${adapters.map(({ filePath }) => filePath).join(", ")} ` +
                `(${cause instanceof Error ? cause.message : String(cause)}); it takes GGUF files of LoRA adapters for this model`,
            { cause },
        );
    }
}

/** Frees the model, and the instance of llama.cpp that it has to itself, when the work is done. */
export async function usingModel<T>(model: LlamaModel, work: (model: LlamaModel) => Promise<T>): Promise<T> {
    try {
        return await work(model);
    } finally {
        const { llama } = model;
        await model.dispose();
        await llama.dispose();
    }
}
