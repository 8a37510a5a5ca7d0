import { Option } from "commander";

import { Datastore } from "../datastore.js";
import type { MismatchField } from "../fingerprint.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import type { LlamaModel } from "../node-llama-cpp.js";

export interface OpenFlags {
    allowMismatch?: MismatchField[] | undefined;
    threads?: number | undefined;
    lora?: string[] | undefined;
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
    flags: OpenFlags,
    work: (store: Datastore) => Promise<T>,
): Promise<T> {
    const store = await Datastore.open(path, {
        model: await fingerprintModel(model, flags),
        allowModelMismatch: flags.allowMismatch,
        threads: flags.threads,
    });
    try {
        return await work(store);
    } finally {
        await store.close();
    }
}
