import { Option } from "commander";

import { Datastore } from "../datastore.js";
import type { MismatchField } from "../fingerprint.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import type { LoraAdapter } from "../llama/lora.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import type { Progress } from "../recipes/build.js";
import { interruptible } from "./interrupt.js";
import { progressLine } from "./progress.js";
import { withModel, type ModelFlags } from "./with-model.js";

export interface OpenFlags {
    allowMismatch?: MismatchField[] | undefined;
    threads?: number | undefined;
    lora?: LoraAdapter[] | undefined;
}

export const mismatchOption = () =>
    new Option(
        "--allow-mismatch <field...>",
        "use a datastore of another model that differs in these fields of its fingerprint only",
    );

/** Opens a store for a model that will ask it, and closes it afterwards. */
export async function withStore<T>(
    path: string,
    model: LlamaModel,
    { allowMismatch, threads, lora, writable }: OpenFlags & { writable?: boolean },
    work: (store: Datastore) => Promise<T>,
): Promise<T> {
    await using store = await Datastore.open(path, {
        writable,
        model: await fingerprintModel(model, { lora }),
        allowModelMismatch: allowMismatch,
        threads,
    });
    return await work(store);
}

/** What a command's work on a store is given. */
export interface Opened {
    store: Datastore;
    model: LlamaModel;
    signal: AbortSignal;
    onProgress: (progress: Progress) => void;
}

/** Runs a command's work on a store with the model that it names, until it is interrupted. A line says how far it is, after what is being `done`. */
export async function withModelAndStore<T>(
    path: string,
    flags: ModelFlags & OpenFlags & { writable?: boolean },
    done: string,
    work: (opened: Opened) => Promise<T>,
): Promise<T> {
    return interruptible((signal) =>
        withModel(flags, signal, async (model) => {
            const line = progressLine(`${done} ${path}`, { silent: flags.json });
            try {
                return await withStore(path, model, flags, (store) =>
                    work({ store, model, signal, onProgress: (progress) => line.update(progress) }),
                );
            } finally {
                line.stop();
            }
        }),
    );
}
