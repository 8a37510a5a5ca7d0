/** What a measurement was made of, so that it can be made again: store, model, data, versions and machine. */
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { dirname } from "node:path";

import type { Datastore } from "../datastore.js";
import { defined } from "../defined.js";
import type { ModelFingerprint } from "../fingerprint.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import type { LoraAdapter } from "../llama/lora.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import { findRoot, packageRoot, versionIn } from "../package-root.js";
import type { Cut } from "../recipes/cut.js";
import type { Task } from "../recipes/data.js";
import { recipeOf } from "../recipes/metadata.js";
import { hashFile } from "../recipes/source.js";
import type { Metric } from "../types.js";

export interface Provenance {
    /** ISO 8601, in UTC. */
    measuredAt: string;
    task: Task;
    store: {
        /** As it was given. */
        path: string;
        entries: number;
        /** Of its segments on disk. */
        bytes: number;
        metric: Metric;
        heads: number;
        backend: string;
    };
    model: Pick<ModelFingerprint, "file" | "sha256" | "bytes" | "architecture" | "quantization" | "lora">;
    /** Empty where the store's own examples were asked. */
    data: { path: string; sha256: string }[];
    cut: Cut;
    versions: { rtd: string; nodeLlamaCpp: string | undefined; node: string };
    /** Processor and operating system. */
    machine: string;
}

/** Of a measurement that was made just now. Reads the data files through, for their hashes. */
export async function provenanceOf(
    store: Datastore,
    model: LlamaModel,
    {
        data = [],
        seed,
        offset,
        limit,
        lora: adapters,
    }: Cut & { data?: readonly string[]; lora?: readonly LoraAdapter[] | undefined } = {},
): Promise<Provenance> {
    const { file, sha256, bytes, architecture, quantization, lora } = await fingerprintModel(model, { lora: adapters });
    const { metric, heads, backend } = store.index;
    return {
        measuredAt: new Date().toISOString(),
        task: recipeOf(store).recipe,
        store: {
            path: store.path,
            entries: store.size,
            bytes: store.manifest.segments.reduce((sum, segment) => sum + segment.bytes, 0),
            metric,
            heads,
            backend,
        },
        model: { file, sha256, bytes, architecture, quantization, ...defined({ lora }) },
        data: await Promise.all(data.map(async (path) => ({ path, sha256: await hashFile(path) }))),
        cut: { seed, offset, limit },
        versions: { rtd: versionIn(packageRoot), nodeLlamaCpp: nodeLlamaCppVersion(), node: process.versions.node },
        machine: `${cpus()[0]?.model ?? "unknown processor"}, ${process.platform} ${process.arch}`,
    };
}

/** The one that is found from here; undefined where an application has it somewhere else. */
function nodeLlamaCppVersion(): string | undefined {
    try {
        return versionIn(findRoot(dirname(createRequire(import.meta.url).resolve("node-llama-cpp"))));
    } catch {
        return undefined;
    }
}
