/**
 * What the tap costs: attached decoding against plain decoding, recording against the model's plain prompt speed.
 *
 *     node dist/bench/llama.js MODEL.gguf [--threads 2] [--rounds 9] [--entries 100000] [--vocabulary 150000] [--store STORE]
 *
 * Each answer is checked before anything is timed. All ways are timed in turn within each round, and what is printed are medians of ratios within a
 * round, so that a machine that is busy or warms up does not favour one of them; the spread says how far rounds were apart, and the best rounds are
 * compared too, which other work on the machine touches least. The last two lines run on a model of noise with a large vocabulary (0: left out).
 * A datastore of the model is decoded with too, its cascade and all, after a prompt in words.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { getLlama, LlamaLogLevel, type LlamaContextSequence, type LlamaModel, type Token } from "node-llama-cpp";

import { attach, createIndex, createRecorder, Datastore, type ReferenceIndex, type Step } from "../lib/index.js";
import { generator, writeModel } from "../test/llama/gguf.js";

const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        threads: { type: "string", default: "2" },
        rounds: { type: "string", default: "9" },
        entries: { type: "string", default: "100000" },
        vocabulary: { type: "string", default: "150000" },
        store: { type: "string" },
    },
});
const [threads, rounds, entries, vocabulary] = [values.threads, values.rounds, values.entries, values.vocabulary].map(Number) as [
    number,
    number,
    number,
    number,
];
const tokensARound = 24;
const promptLength = 448;

function check(holds: boolean, what: string): void {
    if (!holds) throw new Error(`wrong answer, nothing timed: ${what}`);
}

function median(numbers: number[]): number {
    return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

const best = (numbers: number[]): number => Math.min(...numbers);

/** Takes every way in turn, in another order each round; each returns its milliseconds a token. The first is what the others are compared with. */
async function compare(title: string, unit: string, ways: Record<string, () => Promise<number>>): Promise<void> {
    const random = generator(1);
    const names = Object.keys(ways);
    const perToken = new Map(names.map((name) => [name, [] as number[]]));
    for (let round = 0; round <= rounds; round++) {
        for (const name of names.toSorted(() => random() - 0.5)) {
            const time = await ways[name]!();
            if (round > 0) perToken.get(name)!.push(time);
        }
    }
    console.log(`\n${title}`);
    const base = perToken.get(names[0]!)!;
    for (const [name, times] of perToken) {
        const ratios = times.map((time, i) => time / base[i]!).toSorted((a, b) => a - b);
        const spread = `${ratios[0]!.toFixed(3)}..${ratios.at(-1)!.toFixed(3)}`;
        console.log(
            `  ${name.padEnd(44)} ${median(times).toFixed(2).padStart(8)} ${unit}   x ${median(ratios).toFixed(3)}   (${spread})` +
                `   best ${best(times).toFixed(2)}   x ${(best(times) / best(base)).toFixed(3)}`,
        );
    }
}

function textOf(model: LlamaModel, length: number): Token[] {
    const random = generator(7);
    const size = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
    return Array.from({ length }, () => Math.floor(300 + random() * (Math.min(size, 20_000) - 300)) as Token);
}

async function decode(sequence: LlamaContextSequence, prompt: Token[], count: number): Promise<Token[]> {
    await sequence.clearHistory();
    const tokens: Token[] = [];
    for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true }))
        if (tokens.push(token) === count) break;
    return tokens;
}

/** Keys as far apart as real ones, their content does not matter to a scan. */
function referenceOf(model: LlamaModel, count: number): ReferenceIndex {
    const dim = model.embeddingVectorSize;
    const random = generator(3);
    const index = createIndex({ dim, threads });
    const block = 4096;
    for (let done = 0; done < count; done += block) {
        const rows = Math.min(block, count - done);
        index.add(
            Float32Array.from({ length: rows * dim }, () => (random() + random() + random() - 1.5) * 4),
            Int32Array.from({ length: rows }, () => 300 + Math.floor(random() * 10_000)),
        );
    }
    return index;
}

async function benchDecoding(model: LlamaModel): Promise<void> {
    const prompt =
        values.store === undefined ? textOf(model, 16) : model.tokenize("The whale had been seen again, and every man on deck");
    const make = () => model.createContext({ contextSize: 256, threads });
    const [plain, zero, scanning] = await Promise.all([make(), make(), make()]);
    const [sequence, zeroSequence, scanSequence] = [plain.getSequence(), zero.getSequence(), scanning.getSequence()] as const;
    const index = referenceOf(model, entries);
    await attach(zero, index, { temperature: 10, referenceWeight: 0 });
    const steps: Step[] = [];
    const merged = { k: 64, temperature: 10, referenceWeight: 0.1 };
    const watched = await attach(scanning, index, { ...merged, onStep: (step) => void steps.push(step) });
    const expected = await decode(sequence, prompt, tokensARound);
    check(String(await decode(zeroSequence, prompt, tokensARound)) === String(expected), "weight 0 changes tokens");
    await decode(scanSequence, prompt, 3);
    await new Promise((resolve) => setTimeout(resolve, 50));
    check(steps.length === 3, "a step is missing");
    for (const step of steps)
        check(
            String(index.searchSync(step.hidden, { k: 64 }).ids) === String(step.hits.ids),
            "a step's hits are not the index's",
        );
    watched.detach();
    await attach(scanning, index, merged);

    // From the first token on, which the prompt is paid for with.
    const run = (on: LlamaContextSequence) => async () => {
        await on.clearHistory();
        const tokens = on.evaluate(prompt, { temperature: 0, yieldEogToken: true });
        await tokens.next();
        const start = performance.now();
        for (let i = 0; i < tokensARound; i++) await tokens.next();
        const time = (performance.now() - start) / tokensARound;
        await tokens.return();
        return time;
    };
    const ways: Record<string, () => Promise<number>> = {
        "not attached": run(sequence),
        "attached, weight 0": run(zeroSequence),
        [`attached, scan of ${entries} entries, k 64`]: run(scanSequence),
    };
    const [store, stored] = values.store === undefined ? [] : [await Datastore.open(values.store), await make()];
    if (store !== undefined && stored !== undefined) {
        await attach(stored, store, { k: 64, referenceWeight: 0.1, threads });
        ways[`attached, store of ${store.index.entries} entries, k 64`] = run(stored.getSequence());
    }
    await compare(
        `decoding, ${tokensARound} tokens a round after a prompt of ${prompt.length}, ${threads} threads`,
        "ms/token",
        ways,
    );
    for (const context of [plain, zero, scanning, stored]) await context?.dispose();
    index.dispose();
    await store?.close();
}

async function benchRecording(model: LlamaModel, title: string): Promise<void> {
    const tokens = textOf(model, promptLength);
    const context = await model.createContext({ contextSize: 512, batchSize: 512, sequences: 2, threads });
    const recorder = await createRecorder(context);
    const sequence = context.getSequence();
    const short = tokens.slice(0, 64);
    const whole = (await recorder.record(short, { logits: true })).hidden;
    const fast = (await recorder.record(short)).hidden;
    check(
        fast.every((value, i) => value === whole[i]),
        "states recorded with and without logits differ",
    );
    await compare(title, "ms/token", {
        "plain prompt": async () => {
            await sequence.clearHistory();
            const start = performance.now();
            await sequence.evaluateWithoutGeneratingNewTokens(tokens);
            return (performance.now() - start) / tokens.length;
        },
        recorded: async () => {
            const start = performance.now();
            await recorder.record(tokens);
            return (performance.now() - start) / tokens.length;
        },
    });
    await context.dispose();
}

const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads });
const [modelPath] = positionals;
if (modelPath === undefined) throw new Error("usage: node dist/bench/llama.js MODEL.gguf");
const model = await llama.loadModel({ modelPath });
await benchDecoding(model);
await benchRecording(model, `recording ${promptLength} tokens, ${threads} threads`);
await model.dispose();

if (vocabulary > 0) {
    const folder = mkdtempSync(path.join(tmpdir(), "rtd-bench-"));
    try {
        const file = path.join(folder, "noise.gguf");
        writeModel(file, { vocabulary, embeddingSize: 512, layers: 24, contextSize: 512 });
        const noise = await llama.loadModel({ modelPath: file });
        await benchRecording(noise, `recording ${promptLength} tokens of a model with a vocabulary of ${vocabulary}`);
        await noise.dispose();
    } finally {
        rmSync(folder, { recursive: true, force: true });
    }
}
await llama.dispose();
