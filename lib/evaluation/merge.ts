/** A run of the model with a reference merged in, by the core's search and fusion. */
import { fuseSync, logProbabilities } from "../fusion.js";
import type { Token } from "../node-llama-cpp.js";
import type { ReferenceIndex } from "../reference-index.js";
import { gateWeights } from "../tuning/gate.js";
import type { Gate, Hits } from "../types.js";
import type { ModelRun } from "./model-run.js";
import type { Fusion } from "./options.js";
import { voteFiguresOf } from "./votes.js";

export interface MergeOptions {
    fusion: Fusion;
    /** The tokens that candidates stand for, [candidates] for all rows or [rows, candidates]. */
    tokens: readonly Token[];
    /** Added to the model's own log-probabilities of the candidates before the reference is merged. */
    bias?: readonly number[] | undefined;
    signal?: AbortSignal | undefined;
}

/** Rows that are searched together: enough to share reading the keys, few enough for their hits. */
const rowsAtOnce = 256;

/** Log-probabilities of the candidates under the model and the reference, [rows, candidates]. */
export async function mergeReference(index: ReferenceIndex, run: ModelRun, options: MergeOptions): Promise<Float64Array> {
    const { dim, candidates, hidden } = run;
    const { fusion, signal } = options;
    const rows = hidden.length / dim;
    const merged = new Float64Array(rows * candidates);
    for (let begin = 0; begin < rows; begin += rowsAtOnce) {
        const end = Math.min(rows, begin + rowsAtOnce);
        const hits = await index.search(hidden.subarray(begin * dim, end * dim), { k: fusion.k, signal });
        merged.set(mergeHits(hits, run, begin, end, options), begin * candidates);
    }
    return merged;
}

/** What a gate says of each row: it sees tokens and the model's whole distribution, which are cut down here. */
function weightsOf(gate: Gate, hits: Hits, temperature: number, modelEntropy: Float64Array): { referenceWeight: number }[] {
    const weights = gateWeights(gate, { ...voteFiguresOf(hits, temperature), modelEntropy });
    return Array.from(weights, (weight) => ({ referenceWeight: weight }));
}

/** The vocabulary is cut down to the candidates and one token for all others: votes and probabilities of the candidates stay what they are. */
function mergeHits(hits: Hits, run: ModelRun, begin: number, end: number, options: MergeOptions): Float64Array {
    const { candidates } = run;
    const { fusion, tokens, bias } = options;
    const vocabulary = candidates + 1;
    const own = run.logProbabilities.subarray(begin * candidates, end * candidates);
    const logits = new Float32Array((end - begin) * vocabulary);
    const votes = new Int32Array(hits.tokens.length).fill(-1);
    const isShared = tokens.length === candidates;
    for (let row = 0; row < end - begin; row++) {
        const first = row * candidates;
        let share = 0;
        for (let i = 0; i < candidates; i++) {
            const logProbability = own[first + i] as number;
            share += Math.exp(logProbability);
            logits[row * vocabulary + i] = logProbability + (bias?.[i] ?? 0);
        }
        logits[row * vocabulary + candidates] = Math.log1p(-Math.min(share, 1 - 1e-9));
        const asked = isShared ? tokens : tokens.slice((begin + row) * candidates, (begin + row + 1) * candidates);
        for (let head = row * hits.heads; head < (row + 1) * hits.heads; head++)
            for (let i = head * hits.k; i < head * hits.k + (hits.counts[head] as number); i++) {
                const at = asked.indexOf(hits.tokens[i] as Token);
                votes[i] = at >= 0 ? at : candidates;
            }
    }
    const { temperature, referenceWeight, gate } = fusion;
    const rows = gate && weightsOf(gate, hits, temperature, run.entropy.subarray(begin, end));
    fuseSync({ ...hits, tokens: votes }, logits, { temperature, referenceWeight, rows });
    const all = Int32Array.from({ length: (end - begin) * candidates }, (_, i) => i % candidates);
    return logProbabilities(logits, vocabulary, all, candidates);
}
