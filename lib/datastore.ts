import { describe, expectObject, halfPair, invalid } from "./arguments.js";
import { bitsOf, cancellable, observed, plain } from "./calls.js";
import { RtdError } from "./errors.js";
import { expectModel, expectModelOptions, type MismatchField, type ModelFingerprint } from "./fingerprint.js";
import { asyncDispose, Handle } from "./handle.js";
import { native, type FileReport, type OpenedStore } from "./native.js";
import { expectOptions } from "./option-names.js";
import { ReferenceIndex } from "./reference-index.js";
import type { KeyTransform } from "./transform.js";
import type {
    AddOptions,
    BackendName,
    CallOptions,
    CascadeUse,
    Dtype,
    Ids,
    IndexOptions,
    KeyArray,
    Metric,
    SealOptions,
} from "./types.js";

/** What JSON can hold. */
export type JsonObject = Record<string, unknown>;

/** `manifest.json` of a store; `cpp/store/format.md` describes it. */
export interface StoreManifest {
    format: string;
    version: number;
    /** One more at every write. */
    generation: number;
    dim: number;
    metric: Metric;
    dtype: Dtype;
    heads: number;
    /** The default temperature, null before the first seal. */
    temperature: number | null;
    /** What made the keys; empty where the store's maker did not say. */
    model: Partial<ModelFingerprint>;
    metadata: JsonObject;
    segments: StoreFile[];
    /** The file of removed ids, once there is one. */
    removed: StoreFile | null;
    /** The file of the transform that keys are searched through; absent where there is none. Its entries are the dimensions it makes. */
    transform?: StoreFile & { kind: "scale" | "matrix" };
    /** Of all that stands before it. */
    checksum: string;
}

/** How the keys of a store are searched; what is left out stays as it is. */
export interface SearchSpace {
    /** Slices of a key that search and vote on their own. */
    heads?: number | undefined;
    /** A map that keys and queries go through; null takes it away. */
    transform?: KeyTransform | null | undefined;
}

export interface StoreFile {
    file: string;
    entries: number;
    bytes: number;
    checksum: string;
}

export interface CreateStoreOptions extends Omit<IndexOptions, "transform"> {
    /** What makes the keys. Default: not said, and then {@link Datastore.open} cannot check it. */
    model?: ModelFingerprint | undefined;
    /** What the application wants to keep with the store. */
    metadata?: JsonObject | undefined;
}

export interface OpenStoreOptions {
    /** Whether entries will be added or removed; one writer at a time (`ERR_RTD_LOCKED`). Default false. */
    writable?: boolean | undefined;
    /**
     * Whether all checksums are compared on opening, which reads every file once. Default true. To be able to end that: open with false, then call
     * {@link Datastore.verify} with a signal.
     */
    verify?: boolean | undefined;
    /** The model that will ask: must be the one that made the keys, else `ERR_RTD_MODEL_MISMATCH`. */
    model?: ModelFingerprint | undefined;
    /** Fields in which the two models may differ. */
    allowModelMismatch?: readonly MismatchField[] | undefined;
    backend?: BackendName | undefined;
    threads?: number | undefined;
    cascade?: CascadeUse | undefined;
}

export interface AppendOptions extends AddOptions {
    /** The example each key comes from, or one for all. Default 0. */
    examples?: Uint32Array | number | undefined;
    /** The position in its example. Default 0. */
    positions?: Uint32Array | undefined;
}

/**
 * Entries kept on disk: a directory of immutable safetensors segments under a manifest. What is appended is found at once and durable after
 * {@link seal}; a crash at any moment leaves the store as it was before or after. Disk work is done off the event loop, writing calls in the
 * order they were made. Search through {@link index}.
 */
export class Datastore implements AsyncDisposable {
    /** The store's directory, as it was given. */
    readonly path: string;
    readonly #handle: Handle;
    #index: ReferenceIndex;
    #manifest: StoreManifest;
    #writes: Promise<unknown> = Promise.resolve();
    #closing: Promise<void> | undefined;

    private constructor(path: string, opened: OpenedStore) {
        this.path = path;
        this.#handle = new Handle(opened.store);
        this.#index = new ReferenceIndex(opened.index);
        this.#manifest = JSON.parse(opened.manifest) as StoreManifest;
    }

    /**
     * Makes an empty store, open for writing, at a path that does not exist or is an empty directory.
     * @throws RtdError `ERR_RTD_EXISTS`, `ERR_RTD_PERMISSION`, `ERR_RTD_NO_SPACE`, `ERR_RTD_IO`, and as {@link createIndex}
     */
    static async create(path: string, options: CreateStoreOptions): Promise<Datastore> {
        expectOptions(options, "createStore");
        const { model = {}, metadata = {} } = options ?? {};
        return new Datastore(
            path,
            await native().storeCreate(path, options, toJson(model, "model"), toJson(metadata, "metadata")),
        );
    }

    /**
     * Opens a store, for reading unless told otherwise.
     * @throws RtdError `ERR_RTD_NOT_FOUND`, `ERR_RTD_LOCKED`, `ERR_RTD_PERMISSION`, `ERR_RTD_BAD_FORMAT`, `ERR_RTD_TRUNCATED`,
     * `ERR_RTD_CHECKSUM` (each names the file), `ERR_RTD_MODEL_MISMATCH` (says what differs)
     */
    static async open(path: string, options: OpenStoreOptions = {}): Promise<Datastore> {
        expectOptions(options, "openStore");
        expectModelOptions(options.model, options.allowModelMismatch);
        const store = new Datastore(path, await native().storeOpen(path, options));
        try {
            if (options.model !== undefined)
                expectModel(path, store.manifest.model, options.model, options.allowModelMismatch ?? []);
            return store;
        } catch (error) {
            await store.close();
            throw error;
        }
    }

    /**
     * {@link verify} for a store that is not open, and perhaps cannot be opened.
     * @throws RtdError `ERR_RTD_NOT_FOUND` where no store is
     */
    static async verify(path: string, options?: Pick<CallOptions, "signal">): Promise<FileReport[]> {
        if (typeof path !== "string") invalid(`path: expected a string, got ${describe(path)}`);
        expectOptions(options, "verifyStore");
        return cancellable(options?.signal, (task) => native().storeVerify(path, task));
    }

    /** The entries. Read-only: append and remove go through the store. {@link setSpace} puts another one in its place. */
    get index(): ReferenceIndex {
        return this.#index;
    }

    /** The manifest as it is on disk. */
    get manifest(): StoreManifest {
        return this.#manifest;
    }

    /** What the application keeps with the store. */
    get metadata(): JsonObject {
        return this.#manifest.metadata;
    }

    /** Dimensions of a key. */
    get dim(): number {
        return this.index.dim;
    }

    /** Live entries, those appended and not yet sealed included. */
    get size(): number {
        return this.index.size;
    }

    /**
     * Appends keys [n, dim] with tokens [n], all or none. In memory until {@link seal}; while one runs, for the next.
     * Waits for no seal, but for a {@link setSpace} that runs: until it is done the event loop stands still.
     * @returns the first one's id; the others follow.
     * @throws RtdError as {@link ReferenceIndex.add}; `ERR_RTD_READ_ONLY` where the store was opened for reading
     */
    append(keys: KeyArray, tokens: Int32Array, options?: AppendOptions): number {
        this.#expectOpen();
        expectOptions(options, "append");
        return native().storeAppend(this.#handle.number, plain(keys), tokens, options, bitsOf(keys));
    }

    /** Makes all that was appended durable, as one new segment, and computes the default temperature. */
    async seal(options?: Omit<SealOptions, "threads">): Promise<void> {
        expectOptions(options, "sealStore");
        await this.#write(() => observed(options, (task) => native().storeSeal(this.#handle.number, task)));
    }

    /**
     * Removes entries, all or none; durable when it resolves.
     * @throws RtdError `ERR_RTD_UNKNOWN_ID`, `ERR_RTD_READ_ONLY`
     */
    async remove(ids: Ids): Promise<void> {
        const copy = ArrayBuffer.isView(ids) ? ids.slice() : ids; // what was asked for, whatever becomes of the array while waiting
        await this.#write(() => native().storeRemove(this.#handle.number, copy));
    }

    /** Replaces the metadata; durable when it resolves. */
    async setMetadata(metadata: JsonObject): Promise<void> {
        const json = toJson(metadata, "metadata");
        await this.#write(() => native().storeSetMetadata(this.#handle.number, json));
    }

    /**
     * Sets how keys are searched: the number of heads, and a transform fitted to them ({@link fitTransform}). Seals what is pending and makes anew what
     * is derived from the keys, which are kept as they were appended; durable when it resolves. {@link index} is then another one: contexts attached
     * before go on with the old one, and with the entries of then, until they are attached anew. {@link append} blocks meanwhile:
     * what is appended must be searched for in one space or the other. Await this before appending more.
     * @throws RtdError `ERR_RTD_INVALID_ARGUMENT` (dimensions, a matrix with several heads), `ERR_RTD_NOT_FINITE` (a key whose image the store's dtype
     * cannot hold), and as {@link seal}; the store is then as it was, or sealed
     */
    async setSpace(space: SearchSpace, options?: Omit<SealOptions, "threads">): Promise<void> {
        expectObject(space, "space");
        expectOptions(space, "space", "space");
        expectOptions(options, "sealStore");
        if (space.transform !== undefined && space.transform !== null) expectOptions(space.transform, "transform", "transform");
        await this.#write(async () => {
            const { heads, transform = this.#index.transform } = space;
            const manifest = await observed(options, (task) =>
                native().storeSetSpace(this.#handle.number, { heads, transform }, task),
            );
            this.#index = new ReferenceIndex(native().storeIndex(this.#handle.number));
            return manifest;
        });
    }

    /** Keys [n, dim] of entries by id, as they were appended. */
    keysOf(ids: Ids): Float32Array {
        this.#expectOpen();
        return native().storeKeys(this.#handle.number, ids);
    }

    /** Reads every file through and compares lengths, headers and checksums: one report for each, also for good ones. */
    async verify(options?: Pick<CallOptions, "signal">): Promise<FileReport[]> {
        this.#expectOpen();
        expectOptions(options, "verifyStore");
        return cancellable(options?.signal, (task) => native().storeVerify(this.#handle.number, task));
    }

    /** Where entries come from: the example and the position in it that {@link append} was given. */
    origins(ids: Ids): { examples: Uint32Array; positions: Uint32Array } {
        return native().storeOrigins(this.#handle.number, ids);
    }

    /** Waits for writing calls, drops what was not sealed, and gives up the lock; the index is disposed. More than once is fine. */
    close(): Promise<void> {
        this.#closing ??= this.#writes.then(() => {
            this.#index.dispose();
            return native().storeClose(this.#handle.detach());
        });
        return this.#closing;
    }

    [asyncDispose](): Promise<void> {
        return this.close();
    }

    /** Runs a writing call after those before it, and keeps the manifest it gives. */
    async #write(call: () => Promise<string>): Promise<void> {
        this.#expectOpen();
        const done = this.#writes.then(call);
        this.#writes = done.catch(() => undefined); // one that fails does not fail those after it
        this.#manifest = JSON.parse(await done) as StoreManifest;
    }

    #expectOpen(): void {
        if (this.#closing !== undefined)
            throw new RtdError("ERR_RTD_CLOSED", `${this.path}: the store was closed; it cannot be used any more`);
    }
}

function toJson(value: object, name: string): string {
    if (Array.isArray(value)) invalid(`${name}: expected an object, got ${describe(value)}`);
    expectObject(value, name);
    try {
        return JSON.stringify(value, (key, inner: unknown) => {
            for (const text of [key, inner])
                if (typeof text === "string" && halfPair.test(text))
                    throw new Error(`${describe(text)} holds half of a surrogate pair`);
            return inner;
        });
    } catch (cause) {
        throw new RtdError("ERR_RTD_INVALID_ARGUMENT", `${name}: not an object that JSON can hold (${String(cause)})`, { cause });
    }
}
