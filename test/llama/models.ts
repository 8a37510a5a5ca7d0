/** What the tests of the tap share: noise models by shape, contexts that are disposed after each test, evaluation in a few words. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
    getLlama,
    LlamaLogLevel,
    type Llama,
    type LlamaContext,
    type LlamaContextSequence,
    type LlamaModel,
    type SequenceEvaluateOptions,
    type Token,
} from "node-llama-cpp";
import { afterAll, afterEach, onTestFinished } from "vitest";

import {
    createIndex,
    createRecorder,
    Datastore,
    type JsonObject,
    type RecorderOptions,
    type ReferenceIndex,
} from "../../lib/index.js";
import { writeModel, type ModelShape } from "./gguf.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-llama-"));
const loaded = new Map<string, Promise<LlamaModel>>();
const contexts: LlamaContext[] = [];
let started: Promise<Llama> | undefined;

export function llama(): Promise<Llama> {
    started ??= getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.disabled, maxThreads: 2 });
    return started;
}

/** A noise model, written and loaded once for each shape. */
export function noiseModel(shape: ModelShape = {}): Promise<LlamaModel> {
    return once(JSON.stringify(shape), () => {
        const file = path.join(folder, `${loaded.size}.gguf`);
        writeModel(file, shape);
        return file;
    });
}

/** A model from a file, loaded once. */
export function modelFrom(file: string): Promise<LlamaModel> {
    return once(file, () => file);
}

function once(name: string, makeFile: () => string): Promise<LlamaModel> {
    const present = loaded.get(name);
    if (present !== undefined) return present;
    const file = makeFile();
    const model = llama().then((runtime) => runtime.loadModel({ modelPath: file }));
    loaded.set(name, model);
    return model;
}

export type ContextOptions = NonNullable<Parameters<LlamaModel["createContext"]>[0]>;

export async function contextOf(model: LlamaModel, options: ContextOptions = {}): Promise<LlamaContext> {
    const context = await model.createContext({ contextSize: 256, batchSize: 64, threads: 1, ...options });
    contexts.push(context);
    return context;
}

afterEach(async () => {
    for (const context of contexts.splice(0)) await context.dispose();
});

afterAll(async () => {
    for (const model of loaded.values()) await (await model).dispose();
    if (started !== undefined) await (await started).dispose();
    rmSync(folder, { recursive: true, force: true });
});

/** The tokens that follow a prompt, greedily. */
export async function generate(
    sequence: LlamaContextSequence,
    prompt: Token[],
    count: number,
    options: SequenceEvaluateOptions = {},
): Promise<Token[]> {
    await sequence.clearHistory();
    const tokens: Token[] = [];
    for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true, ...options })) {
        tokens.push(token);
        if (tokens.length === count) break;
    }
    return tokens;
}

/** An index of a text's hidden states, each with the token that follows it. */
export async function indexOf(model: LlamaModel, tokens: Token[], options: RecorderOptions = {}): Promise<ReferenceIndex> {
    return indexOn(await contextOf(model, { contextSize: tokens.length + 1 }), tokens, options);
}

/** The same as the model of a context sees it, with the context's adapters. */
export async function indexOn(
    context: LlamaContext,
    tokens: readonly Token[],
    options: RecorderOptions = {},
): Promise<ReferenceIndex> {
    const recorder = await createRecorder(context, options);
    const { hidden } = await recorder.record(tokens.slice(0, -1));
    await recorder.dispose();
    const index = createIndex({ dim: recorder.embeddingSize, threads: 1 });
    index.add(hidden, Int32Array.from(tokens.slice(1)));
    index.sealSync();
    return index;
}

/** A sealed store of an index's entries, which is gone after the test. */
export async function storeOf(index: ReferenceIndex, metadata: JsonObject = {}): Promise<Datastore> {
    const directory = mkdtempSync(path.join(tmpdir(), "rtd-llama-store-"));
    const store = await Datastore.create(path.join(directory, "store.rtd"), { dim: index.dim, metadata });
    onTestFinished(async () => {
        await store.close();
        rmSync(directory, { recursive: true });
    });
    const ids = Uint32Array.from({ length: index.size }, (_, id) => id);
    store.append(index.keysOf(ids), index.entriesOf(ids).tokens);
    await store.seal();
    return store;
}

/** An index in which every row finds one token: whatever is asked, weight 1 generates it. */
export function constantIndex(model: LlamaModel, token: number): ReferenceIndex {
    const index = createIndex({ dim: model.embeddingVectorSize, threads: 1 });
    index.add(new Float32Array(model.embeddingVectorSize), Int32Array.of(token));
    index.sealSync();
    return index;
}
