/**
 * What each way of choosing among labels says of the passages of an evaluation: the model alone, with the matched bias, with the reference, with in-context
 * examples; and two yardsticks that see the same keys, the nearest reference and a linear probe.
 */
import type { Token } from "../node-llama-cpp.js";
import { shuffle } from "../recipes/cut.js";
import type { RecipeMetadata } from "../recipes/metadata.js";
import type { Passage } from "../recipes/passage.js";
import { promptTokens } from "./cost.js";
import { labelReading } from "./label-reading.js";
import { fitLinearProbe, logSoftmax } from "./linear-probe.js";
import { matchedBiasOf } from "./matched-bias.js";
import { mergeReference } from "./merge.js";
import { runModel, type ModelRun, type RunOptions } from "./model-run.js";
import type { EvaluateOptions, Fusion } from "./options.js";
import type { InContext } from "./retrieval.js";
import type { Shown } from "./shots.js";

/** Something of each method. */
export interface LabelMethods<T> {
    model: T;
    /** Undefined if the store keeps no logits of its references; so it is for whole labels, which are told apart at more places than the prompt's end. */
    modelBiasMatched: T | undefined;
    rtd: T;
    rtdBiasMatched: T | undefined;
    nearest: T;
    /** Undefined where the store's entries are of one label alone, and for whole labels. */
    linearProbe: T | undefined;
    /** With in-context examples, for each draw of them. The store's keys were recorded without. */
    shots: (WithExamples<T> & { seed: number })[];
    /** With retrieved context; undefined if it was not asked for. */
    retrieved: WithExamples<T> | undefined;
}

interface WithExamples<T> {
    count: number;
    /** Of a prompt with the examples in it, on average. */
    promptTokens: number;
    model: T;
    rtd: T;
}

export type LabelOptions = EvaluateOptions & Pick<RunOptions, "cache" | "layer">;

/** Probabilities of the labels, [passages, labels], 0 for those that are not open to a passage. The nearest reference's are its label's alone: all or nothing. */
export async function labelProbabilities(
    options: LabelOptions,
    metadata: RecipeMetadata,
    passages: readonly Passage[],
    fusion: Fusion,
    { draws, retrieve }: InContext,
): Promise<LabelMethods<Float64Array>> {
    const { store, signal } = options;
    const reading = labelReading(metadata);
    const { candidates, tokens } = reading;
    const runOf = (passages: readonly Passage[]) =>
        runModel(reading.passagesOf(passages), { ...options, labels: candidates, unit: "examples" });
    const merge = (run: ModelRun, fusion: Fusion, bias?: readonly number[]) =>
        mergeReference(store.index, run, { fusion, tokens, bias, signal });
    const normalised = (values: Float64Array) => openProbabilities(reading.scoresOf(values), passages);
    const run = await runOf(passages);
    const bias = matchedBiasOf(metadata);
    const probe = metadata.wholeLabels ? undefined : await probeOf(options, tokens, run);
    const withExamples = async ({ count, passages }: Shown): Promise<WithExamples<Float64Array>> => {
        const prompted = await runOf(passages);
        const model = normalised(prompted.logProbabilities);
        return { count, promptTokens: promptTokens(passages), model, rtd: normalised(await merge(prompted, fusion)) };
    };
    const shots: LabelMethods<Float64Array>["shots"] = [];
    for (const draw of draws) shots.push({ ...(await withExamples(draw)), seed: draw.seed });
    const retrieved = retrieve && (await withExamples(await retrieve(promptEnds(run, passages.length))));
    return {
        model: normalised(run.logProbabilities),
        modelBiasMatched: bias && normalised(run.logProbabilities.map((value, i) => value + (bias[i % bias.length] as number))),
        rtd: normalised(await merge(run, fusion)),
        rtdBiasMatched: bias && normalised(await merge(run, fusion, bias)),
        nearest: normalised(await merge(run, { k: 1, temperature: fusion.temperature, referenceWeight: 1 })),
        linearProbe: probe && normalised(probe),
        shots,
        retrieved,
    };
}

/** The state of each passage's first row, [passages, dim]. */
export function promptEnds({ hidden, dim }: ModelRun, passages: number): Float32Array {
    const stride = hidden.length / passages;
    const ends = new Float32Array(passages * dim);
    for (let i = 0; i < passages; i++) ends.set(hidden.subarray(i * stride, i * stride + dim), i * dim);
    return ends;
}

/** logs: log-probabilities up to a constant of each row, [passages, labels]. */
export function openProbabilities(logs: Float64Array, passages: readonly Passage[]): Float64Array {
    const labels = logs.length / passages.length;
    const probabilities = new Float64Array(logs.length);
    for (const [row, { openLabels = labels }] of passages.entries())
        probabilities.set(logSoftmax(logs.subarray(row * labels, row * labels + openLabels)).map(Math.exp), row * labels);
    return probabilities;
}

/** Of more than these a sample is taken: it costs minutes, and they add little. */
const mostProbed = 4096;

async function probeOf(
    { store, signal }: EvaluateOptions,
    tokens: readonly Token[],
    run: ModelRun,
): Promise<Float64Array | undefined> {
    const ids = Uint32Array.from({ length: store.index.entries }, (_, i) => i);
    const entries = store.index.entriesOf(ids);
    const usable = ids.filter((id) => entries.live[id] === 1 && tokens.includes(entries.tokens[id] as Token));
    const kept = Uint32Array.from(shuffle([...usable], 1).slice(0, mostProbed));
    const labels = Int32Array.from(kept, (id) => tokens.indexOf(entries.tokens[id] as Token));
    if (new Set(labels).size < 2) return undefined;
    const { examples } = store.origins(kept);
    const probe = await fitLinearProbe(store.keysOf(kept), labels, run.dim, tokens.length, { examples, signal });
    return probe.predict(run.hidden);
}
