import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";

import { cacheDirectory } from "../cache-directory.js";
import { defined } from "../defined.js";
import { RtdError } from "../errors.js";
import { readError } from "../file-error.js";
import type { ModelFingerprint } from "../fingerprint.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { adapterOf, type LoraAdapter } from "./lora.js";

export interface FingerprintOptions {
    /** The LoRA adapters that the context is created with: they change the hidden states. */
    lora?: readonly LoraAdapter[] | undefined;
}

/**
 * What a model is told by, for a store's manifest. The file is read through once to hash it; the hash is kept in the user's cache folder under the file's
 * path, length and time of change.
 */
export async function fingerprintModel(model: LlamaModel, options: FingerprintOptions = {}): Promise<ModelFingerprint> {
    const files = modelFiles(modelPath(model));
    const hashed = await Promise.all(files.map(hashFile));
    const { general, tokenizer } = model.fileInfo.metadata;
    const template = tokenizer.chat_template;
    return {
        file: path.basename(files[0] ?? ""),
        sha256:
            hashed.length === 1 && hashed[0] !== undefined
                ? hashed[0].sha256
                : sha256(hashed.map((part) => part.sha256).join("\n")),
        bytes: hashed.reduce((sum, part) => sum + part.bytes, 0),
        embeddingSize: model.embeddingVectorSize,
        vocabulary: tokenizer.ggml.tokens.length,
        ...defined({
            architecture: general.architecture,
            // llama.cpp describes a model by architecture, size and quantisation, which it may have had to guess from the tensors.
            quantization: /^\S+ \S+ (?:\(guessed\) )?(.+)$/.exec(model.typeDescription)?.[1],
            tokenizer: [tokenizer.ggml.model, tokenizer.ggml.pre].filter((name) => name !== undefined).join("/"),
            chatTemplate: template === undefined ? undefined : sha256(template),
            lora: options.lora?.length ? await Promise.all(options.lora.map(describeAdapter)) : undefined,
        }),
    };
}

/** @throws RtdError `ERR_RTD_INVALID_ARGUMENT` where it is none of node-llama-cpp */
export function expectLlamaModel(model: LlamaModel): void {
    modelPath(model);
}

function modelPath(model: LlamaModel): string {
    const found = (model as unknown as { _modelPath?: unknown } | null | undefined)?._modelPath;
    if (typeof found !== "string")
        throw new RtdError("ERR_RTD_INVALID_ARGUMENT", "model: expected a LlamaModel of node-llama-cpp");
    return found;
}

/** All parts of a model that is split into `...-00001-of-00003.gguf` and so on. */
function modelFiles(first: string): string[] {
    const split = /^(.*-)\d{5}-of-(\d{5})\.gguf$/.exec(first);
    if (split === null) return [first];
    const [, stem, total = ""] = split;
    return Array.from({ length: Number(total) }, (_, i) => `${stem}${String(i + 1).padStart(5, "0")}-of-${total}.gguf`);
}

/** Scale 1 is not said, as it was not by stores that knew no other. */
async function describeAdapter(adapter: LoraAdapter): Promise<{ file: string; scale?: number; sha256: string }> {
    const { file, scale } = adapterOf(adapter);
    try {
        const { sha256 } = await hashFile(path.resolve(file));
        return { file: path.basename(file), ...(scale !== 1 && { scale }), sha256 };
    } catch (error) {
        throw readError(`lora: ${file}`, error);
    }
}

/** Hashes by path, each with what tells whether it still holds. */
type Cache = Record<string, { bytes: number; modified: number; sha256: string } | undefined>;

async function hashFile(file: string): Promise<{ bytes: number; sha256: string }> {
    const { size: bytes, mtimeMs: modified } = await stat(file);
    const known = (await readCache())[file];
    if (known?.bytes === bytes && known.modified === modified) return { bytes, sha256: known.sha256 };
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
    const digest = hash.digest("hex");
    await writeCache({ ...(await readCache()), [file]: { bytes, modified, sha256: digest } });
    return { bytes, sha256: digest };
}

const cacheFile = (): string => path.join(cacheDirectory(), "models.json");

async function readCache(): Promise<Cache> {
    try {
        return JSON.parse(await readFile(cacheFile(), "utf8")) as Cache;
    } catch {
        return {}; // not there yet, or not readable: it only saves time
    }
}

async function writeCache(cache: Cache): Promise<void> {
    const file = cacheFile();
    const draft = `${file}.${process.pid}`;
    try {
        await mkdir(path.dirname(file), { recursive: true });
        await writeFile(draft, JSON.stringify(cache));
        await rename(draft, file); // whole or not at all, also with several processes
    } catch {
        await rm(draft, { force: true }).catch(() => undefined);
    }
}

function sha256(text: string): string {
    return createHash("sha256").update(text).digest("hex");
}
