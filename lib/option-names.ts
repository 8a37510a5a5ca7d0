/**
 * The names of all options, which the compiler compares with their types: JavaScript would pass over one that is misspelt, and the call would do
 * something else than was asked for.
 */
import { expectObject, invalid } from "./arguments.js";
import type { AppendOptions, CreateStoreOptions, OpenStoreOptions, SearchSpace } from "./datastore.js";
import type { ClassifyOptions } from "./evaluation/classify.js";
import type { EvaluateOptions, FusionSettings } from "./evaluation/options.js";
import type { FitSpaceOptions } from "./fit-space.js";
import type { AttachOptions, Decision, ReferenceOptions } from "./llama/attach.js";
import type { RecorderOptions, RecordOptions } from "./llama/record.js";
import type { BuildOptions } from "./recipes/build.js";
import type { Cut } from "./recipes/cut.js";
import type { FitTransformOptions, KeyTransform } from "./transform.js";
import type { TuneOptions } from "./tuning/tune.js";
import type {
    AddOptions,
    CallOptions,
    FuseOptions,
    FuseRowOptions,
    Gate,
    IndexOptions,
    RowOptions,
    SealOptions,
    SearchAndFuseOptions,
    SearchOptions,
    TokenBias,
} from "./types.js";

type Names<T> = Record<keyof T, true>;

const row: Names<RowOptions> = { k: true, maxDistance: true, namespaces: true, seeds: true };
const fuseRow: Names<FuseRowOptions> = { temperature: true, referenceWeight: true, unmask: true, bias: true, gate: true };
const bias: Names<TokenBias> = { tokens: true, values: true };
const gate: Names<Gate> = { bias: true, hitEntropy: true, largestVote: true, modelEntropy: true, maxWeight: true };
const add: Names<AddOptions> = { namespaces: true };
const call: Names<CallOptions> = { threads: true, signal: true };
const seal: Names<SealOptions> = { ...call, onProgress: true };
const sealStore: Names<Omit<SealOptions, "threads">> = { signal: true, onProgress: true };
const verifyStore: Names<Pick<CallOptions, "signal">> = { signal: true };
const storeIndex: Names<Omit<IndexOptions, "transform">> = {
    dim: true,
    metric: true,
    dtype: true,
    heads: true,
    backend: true,
    threads: true,
    cascade: true,
};
const index: Names<IndexOptions> = { ...storeIndex, transform: true };
const fitTransform: Names<FitTransformOptions> = { ...call, dim: true, method: true, shrinkage: true, classes: true };
const fitSpace: Names<FitSpaceOptions> = { ...sealStore, method: true, shrinkage: true };
const transform: Names<KeyTransform> = { mean: true, scale: true, matrix: true };
const space: Names<SearchSpace> = { heads: true, transform: true };
/** One object may serve `search`, `fuse` and `searchAndFuse`, which takes all that the others do. */
const search: Names<SearchAndFuseOptions & SearchOptions & FuseOptions> = {
    ...row,
    ...fuseRow,
    ...call,
    rows: true,
    hits: true,
    stats: true,
    figures: true,
};
const searchRow: Names<NonNullable<SearchAndFuseOptions["rows"]>[number]> = { ...row, ...fuseRow, skip: true };
const createStore: Names<CreateStoreOptions> = { ...storeIndex, model: true, metadata: true };
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
const attach: Names<AttachOptions> = {
    ...reference,
    matchedBias: true,
    onStep: true,
    onError: true,
    rule: true,
    threads: true,
    layer: true,
};
const decision: Names<Decision> = { referenceWeight: true, temperature: true };
const cut: Names<Cut> = { seed: true, offset: true, limit: true };
const fusion: Names<FusionSettings> = { k: true, temperature: true, temperatureScale: true, referenceWeight: true };
/** Of all that runs the model over data. */
const modelRun = { model: true, lora: true, threads: true, signal: true, onProgress: true } as const;
const classify: Names<ClassifyOptions> = {
    ...fusion,
    ...modelRun,
    store: true,
    texts: true,
    matchedBias: true,
    references: true,
    cacheDirectory: true,
};
const evaluate: Names<EvaluateOptions> = {
    ...cut,
    ...fusion,
    ...modelRun,
    store: true,
    data: true,
    task: true,
    rotations: true,
    maxTokens: true,
    shots: true,
    shotSeeds: true,
    retrieved: true,
    cacheDirectory: true,
};
const tune: Names<TuneOptions> = {
    ...cut,
    ...modelRun,
    store: true,
    data: true,
    sample: true,
    dryRun: true,
    keepSpace: true,
    layers: true,
    cacheDirectory: true,
};
const build: Names<BuildOptions> = {
    ...cut,
    ...modelRun,
    path: true,
    task: true,
    data: true,
    prompt: true,
    rotate: true,
    labels: true,
    wholeLabels: true,
    pooling: true,
    layer: true,
    shots: true,
    shotSeed: true,
    pruneAbove: true,
    metric: true,
    dtype: true,
    heads: true,
    backend: true,
    transform: true,
    shrinkage: true,
    sealEvery: true,
};
const recorder: Names<RecorderOptions> = { layer: true };
const record: Names<RecordOptions> = { from: true, logits: true, reuseBeginning: true, signal: true };

const known = {
    bias,
    gate,
    add,
    call,
    seal,
    sealStore,
    verifyStore,
    index,
    fitTransform,
    fitSpace,
    transform,
    space,
    search,
    searchRow,
    createStore,
    openStore,
    append,
    reference,
    attach,
    decision,
    recorder,
    record,
    classify,
    evaluate,
    tune,
    build,
};

/** Options that are objects themselves, wherever they are known. */
const parts = ["bias", "gate"] as const;

/** {@link expectGivenOptions}, or left out. */
export function expectOptions(options: unknown, kind: keyof typeof known, name = "options"): void {
    if (options !== undefined) expectGivenOptions(options, kind, name);
}

/** Throws unless options are an object without other names; what is undefined is as if left out. */
export function expectGivenOptions(options: unknown, kind: keyof typeof known, name = "options"): asserts options is object {
    expectObject(options, name);
    for (const key of Object.keys(options))
        if (!Object.hasOwn(known[kind], key) && (options as Record<string, unknown>)[key] !== undefined)
            invalid(`${name}: there is no option ${JSON.stringify(key)} here; known are ${Object.keys(known[kind]).join(", ")}`);
    for (const part of parts) {
        const inner = (options as Record<string, unknown>)[part];
        if (kind !== "gate" && Object.hasOwn(known[kind], part) && inner !== undefined)
            expectOptions(inner, part, name === "options" ? part : `${name}.${part}`);
    }
}

/** The same of a search's options, and of those that its rows have of their own. */
export function expectSearchOptions(options: SearchAndFuseOptions | SearchOptions | FuseOptions | undefined): void {
    expectOptions(options, "search");
    if (Array.isArray(options?.rows)) options.rows.forEach((row: unknown, i) => expectOptions(row, "searchRow", `rows[${i}]`));
}
