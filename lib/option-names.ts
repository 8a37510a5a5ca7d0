/**
 * The names of all options, which the compiler compares with their types: JavaScript would pass over one that is misspelt, and the call would do
 * something else than was asked for.
 */
import { expectObject, invalid } from "./arguments.js";
import type { AppendOptions, CreateStoreOptions, OpenStoreOptions } from "./datastore.js";
import type { ClassifyOptions } from "./evaluation/classify.js";
import type { AttachOptions, ReferenceOptions } from "./llama/attach.js";
import type { RecorderOptions, RecordOptions } from "./llama/record.js";
import type {
    AddOptions,
    CallOptions,
    FuseOptions,
    FuseRowOptions,
    IndexOptions,
    RowOptions,
    SealOptions,
    SearchAndFuseOptions,
    SearchOptions,
} from "./types.js";

type Names<T> = Record<keyof T, true>;

const row: Names<RowOptions> = { k: true, maxDistance: true, namespaces: true, seeds: true };
const fuseRow: Names<FuseRowOptions> = { temperature: true, referenceWeight: true, unmask: true };
const add: Names<AddOptions> = { namespaces: true };
const call: Names<CallOptions> = { threads: true, signal: true };
const seal: Names<SealOptions> = { ...call, onProgress: true };
const sealStore: Names<Omit<SealOptions, "threads">> = { signal: true, onProgress: true };
const index: Names<IndexOptions> = {
    dim: true,
    metric: true,
    dtype: true,
    heads: true,
    backend: true,
    threads: true,
    cascade: true,
};
/** One object may serve `search`, `fuse` and `searchAndFuse`, which takes all that the others do. */
const search: Names<SearchAndFuseOptions & SearchOptions & FuseOptions> = {
    ...row,
    ...fuseRow,
    ...call,
    rows: true,
    hits: true,
    stats: true,
};
const searchRow: Names<NonNullable<SearchAndFuseOptions["rows"]>[number]> = { ...row, ...fuseRow, skip: true };
const createStore: Names<CreateStoreOptions> = { ...index, model: true, metadata: true };
const openStore: Names<OpenStoreOptions> = {
    writable: true,
    verify: true,
    model: true,
    allowModelMismatch: true,
    backend: true,
    threads: true,
    cascade: true,
};
const append: Names<AppendOptions> = { ...add, examples: true, positions: true };
const reference: Names<ReferenceOptions> = { ...row, ...fuseRow, enabled: true };
const attach: Names<AttachOptions> = { ...reference, onStep: true, onError: true, threads: true, layer: true };
const classify: Names<ClassifyOptions> = {
    store: true,
    model: true,
    texts: true,
    k: true,
    temperature: true,
    temperatureScale: true,
    referenceWeight: true,
    matchedBias: true,
    references: true,
    cacheDirectory: true,
    threads: true,
    signal: true,
    onProgress: true,
};
const recorder: Names<RecorderOptions> = { layer: true };
const record: Names<RecordOptions> = { from: true, logits: true, reuseBeginning: true, signal: true };

const known = {
    add,
    call,
    seal,
    sealStore,
    index,
    search,
    searchRow,
    createStore,
    openStore,
    append,
    reference,
    attach,
    recorder,
    record,
    classify,
};

/** Throws unless options are an object without other names, or left out; what is undefined is as if left out. */
export function expectOptions(options: unknown, kind: keyof typeof known, name = "options"): void {
    if (options === undefined) return;
    expectObject(options, name);
    for (const key of Object.keys(options))
        if (!Object.hasOwn(known[kind], key) && (options as Record<string, unknown>)[key] !== undefined)
            invalid(`${name}: there is no option ${JSON.stringify(key)} here; known are ${Object.keys(known[kind]).join(", ")}`);
}

/** The same of a search's options, and of those that its rows have of their own. */
export function expectSearchOptions(options: SearchAndFuseOptions | SearchOptions | FuseOptions | undefined): void {
    expectOptions(options, "search");
    if (Array.isArray(options?.rows)) options.rows.forEach((row: unknown, i) => expectOptions(row, "searchRow", `rows[${i}]`));
}
