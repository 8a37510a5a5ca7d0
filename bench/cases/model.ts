/**
 * What node-rtd adds to a model's own time: decoding attached against decoding alone, and recording hidden states against plain evaluation of a prompt.
 * Each answer is checked before anything is timed.
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LlamaContextSequence, LlamaModel, Token } from "node-llama-cpp";

import { attach, createIndex, createRecorder, Datastore, type ReferenceIndex, type Step } from "../../lib/index.js";
import { loadModel, usingModel } from "../../lib/recipes/model.js";
import { rounds, type Way } from "../engine.js";
import type { Group, Setting } from "../figures.js";
import { randomBits } from "../sets/key-set.js";
import { ratioOf } from "../statistics.js";
import type { Workbench } from "../workbench.js";
import { WrongAnswer } from "./check.js";

const tokensARound = 24;
const promptLength = 448;
const prompt = "The whale had been seen again, and every man on deck";
const merged = { k: 64, temperature: 10, referenceWeight: 0.1 };

export interface ModelAsked {
    /** A GGUF file. */
    path: string;
    name: string;
    threads: number;
}

async function withModelOf<T>({ path, threads }: ModelAsked, work: (model: LlamaModel) => Promise<T>): Promise<T> {
    return usingModel(await loadModel(path, { gpu: false, threads }), work);
}

const vocabularyOf = (model: LlamaModel): number => model.fileInfo.metadata.tokenizer.ggml.tokens.length;

function expectThat(holds: boolean, what: string): void {
    if (!holds) throw new WrongAnswer(what);
}

/** `store`: the datastore of the model's hidden states; `entries`: keys that are scanned at each token instead. */
export async function decodeFigures(bench: Workbench, asked: ModelAsked, store: string, entries: number): Promise<void> {
    const { threads } = asked;
    await withModelOf(asked, async (model) => {
        const sequenceOf = async () => (await model.createContext({ contextSize: 256, threads })).getSequence();
        const [alone, zero, scanning, cascading] = [
            await sequenceOf(),
            await sequenceOf(),
            await sequenceOf(),
            await sequenceOf(),
        ];
        const index = randomIndex(model, entries, threads);
        const opened = await Datastore.open(store, { threads, verify: false });
        const tokens = model.tokenize(prompt);

        await attach(zero.context, index, { temperature: 10, referenceWeight: 0 });
        await expectSteps(scanning, index, tokens);
        await attach(scanning.context, index, merged);
        await attach(cascading.context, opened, { k: 64, referenceWeight: 0.1, threads });
        const [expected, same] = [await decode(alone, tokens, tokensARound), await decode(zero, tokens, tokensARound)];
        expectThat(String(same) === String(expected), "weight 0 changes tokens");

        const run = (sequence: LlamaContextSequence): Way<number> => ({
            // From the first token on, which the prompt is paid for with.
            run: async () => {
                await sequence.clearHistory();
                const decoding = sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true });
                await decoding.next();
                const begin = performance.now();
                for (let i = 0; i < tokensARound; i++) await decoding.next();
                const milliseconds = (performance.now() - begin) / tokensARound;
                await decoding.return();
                return { answer: tokensARound, milliseconds };
            },
        });
        const ways = {
            "not attached": run(alone),
            "attached, weight 0": run(zero),
            [`attached, scan of ${entries} entries`]: run(scanning),
            [`attached, store of ${opened.index.entries} entries`]: run(cascading),
        };
        const check = "tokens with weight 0, and the index's own hits";
        await addFigures(bench, "decode", asked, ways, { check, bytes: (await stat(asked.path)).size, k: 64, d: index.dim });
        for (const { context } of [alone, zero, scanning, cascading]) await context.dispose();
        index.dispose();
        await opened.close();
    });
}

/** The hits of some steps are those that the index gives for the steps' hidden states. */
async function expectSteps(sequence: LlamaContextSequence, index: ReferenceIndex, tokens: Token[]): Promise<void> {
    const steps: Step[] = [];
    const watched = await attach(sequence.context, index, { ...merged, onStep: (step) => void steps.push(step) });
    await decode(sequence, tokens, 3);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expectThat(steps.length === 3, `${steps.length} steps were seen of 3`);
    for (const { hidden, hits } of steps)
        expectThat(String(index.searchSync(hidden, { k: 64 }).ids) === String(hits.ids), "a step's hits are not the index's");
    watched.detach();
}

export async function recordFigures(bench: Workbench, asked: ModelAsked): Promise<void> {
    const { threads } = asked;
    await withModelOf(asked, async (model) => {
        const bits = randomBits(7);
        const size = Math.min(vocabularyOf(model), 20_000);
        const tokens = Array.from({ length: promptLength }, () => (300 + (bits() % (size - 300))) as Token);
        const context = await model.createContext({ contextSize: 512, batchSize: 512, sequences: 2, threads });
        const recorder = await createRecorder(context);
        const sequence = context.getSequence();
        const short = tokens.slice(0, 64);
        const { hidden: whole } = await recorder.record(short, { logits: true });
        const { hidden } = await recorder.record(short);
        expectThat(
            hidden.every((value, i) => value === whole[i]),
            "states recorded with and without logits differ",
        );
        const way = (work: () => Promise<unknown>): Way<number> => ({
            run: async () => {
                const begin = performance.now();
                await work();
                return { answer: tokens.length, milliseconds: (performance.now() - begin) / tokens.length };
            },
        });
        const plain = way(() => sequence.evaluateWithoutGeneratingNewTokens(tokens));
        const ways = {
            "plain prompt": { ...plain, prepare: () => sequence.clearHistory() },
            recorded: way(() => recorder.record(tokens)),
        };
        await addFigures(bench, "record", asked, ways, { check: "the states that come with logits", d: recorder.embeddingSize });
        await context.dispose();
    });
}

/** Recording on a model of noise with a large vocabulary, for which llama.cpp keeps much room. */
export async function recordNoiseFigures(bench: Workbench, threads: number): Promise<void> {
    const vocabulary = 150_000;
    const folder = await mkdtemp(join(tmpdir(), "rtd-bench-"));
    try {
        const { writeModel } = await import("../../test/llama/gguf.js").catch(() => ({ writeModel: undefined }));
        const name = `noise-${vocabulary}`;
        if (writeModel === undefined)
            return void bench.leftOut.push({
                name: `record/${name}`,
                reason: "its model is written by the tests, which are not in the package",
            });
        const path = join(folder, `${name}.gguf`);
        writeModel(path, { vocabulary, embeddingSize: 512, layers: 24, contextSize: 512 });
        await recordFigures(bench, { path, name, threads });
    } finally {
        await rm(folder, { recursive: true, force: true });
    }
}

async function addFigures(
    bench: Workbench,
    group: Group,
    { name, threads }: ModelAsked,
    ways: Record<string, Way<number>>,
    { check, bytes = null, k = null, d }: { check: string; bytes?: number | null; k?: number | null; d: number },
): Promise<void> {
    const times = await rounds(ways, bench.effort, () => undefined, bench.signal);
    const [base] = Object.keys(ways) as [string];
    const setting: Setting = {
        set: name,
        n: null,
        d,
        metric: null,
        dtype: null,
        heads: null,
        k,
        batch: 1,
        backend: null,
        threads,
    };
    for (const way of Object.keys(ways))
        bench.add({
            group,
            way,
            version: way === base ? `node-llama-cpp ${bench.versions["node-llama-cpp"]}` : bench.version,
            setting,
            per: "token",
            times: times[way]!,
            bytes: way === base ? bytes : null,
            check,
            ratios: way === base ? {} : { [base]: ratioOf(times[base]!, times[way]!) },
        });
}

/** Keys as far apart as real ones: their content does not matter to a scan. */
function randomIndex(model: LlamaModel, count: number, threads: number): ReferenceIndex {
    const [dim, vocabulary] = [model.embeddingVectorSize, vocabularyOf(model)];
    const bits = randomBits(3);
    const index = createIndex({ dim, threads, cascade: "off" });
    const block = 4096;
    for (let done = 0; done < count; done += block) {
        const rows = Math.min(block, count - done);
        index.add(
            Float32Array.from({ length: rows * dim }, () => (bits() / 2 ** 30 - 2) * 3),
            Int32Array.from({ length: rows }, () => bits() % vocabulary),
        );
    }
    return index;
}

async function decode(sequence: LlamaContextSequence, prompt: Token[], count: number): Promise<Token[]> {
    await sequence.clearHistory();
    const tokens: Token[] = [];
    for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true }))
        if (tokens.push(token) === count) break;
    return tokens;
}
