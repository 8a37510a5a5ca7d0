/**
 * One bias per label under which a model's mean prediction over unlabelled rows is uniform. Much of a small model's error in classification
 * is a wrong prior over the label words; this takes it away without a single label, and is the fair baseline for a reference datastore.
 */
import type { Token } from "../node-llama-cpp.js";
import { LabelLogits } from "../recipes/label-logits.js";
import type { RecipeMetadata } from "../recipes/metadata.js";
import { firstTokens } from "../recipes/spelling.js";

/** One for each of a label store's labels, by the model's logits at its references' prompts; undefined where its metadata has none recorded. */
export function matchedBiasOf({ recipe, labels = [], labelLogits }: Partial<RecipeMetadata>): number[] | undefined {
    if (recipe !== "label" || labels.length === 0 || labelLogits === undefined) return undefined;
    const kept = new LabelLogits(labels.length, labelLogits);
    return kept.rows === 0 ? undefined : matchedBias(Array.from({ length: kept.rows }, (_, i) => kept.row(i)));
}

/** The same for each token that a label may begin with. */
export function matchedTokenBiasOf(metadata: Partial<RecipeMetadata>): { tokens: Token[]; values: number[] } | undefined {
    const biases = matchedBiasOf(metadata);
    if (biases === undefined) return undefined;
    const beginnings = firstTokens(metadata.labels ?? []);
    return { tokens: beginnings.flat(), values: beginnings.flatMap((tokens, i) => tokens.map(() => biases[i] as number)) };
}

/** logits: rows of one logit per label, -infinity where a label is not open to a row. Iterates until no mean is off by more than 1e-9. */
export function matchedBias(logits: readonly (readonly number[])[], maxIterations = 10_000): number[] {
    const count = logits[0]?.length ?? 0;
    const target = meanOf(
        logits.map((row) => {
            const open = row.filter((logit) => logit > -Infinity).length;
            return row.map((logit) => (logit > -Infinity ? 1 / open : 0));
        }),
        count,
    );
    const bias = new Array<number>(count).fill(0);
    for (let iteration = 0; iteration < maxIterations; iteration++) {
        const mean = meanOf(
            logits.map((row) => softmax(row.map((logit, i) => logit + (bias[i] as number)))),
            count,
        );
        let worst = 0;
        for (let i = 0; i < count; i++) {
            const [wanted, got] = [target[i] as number, mean[i] as number];
            if (wanted === 0 || got === 0) continue;
            bias[i] = (bias[i] as number) + Math.log(wanted / got);
            worst = Math.max(worst, Math.abs(wanted - got));
        }
        if (worst < 1e-9) break;
    }
    return bias;
}

function softmax(logits: readonly number[]): number[] {
    const largest = Math.max(...logits);
    const weights = logits.map((logit) => Math.exp(logit - largest));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return weights.map((weight) => weight / sum);
}

function meanOf(rows: readonly (readonly number[])[], count: number): number[] {
    const sums = new Array<number>(count).fill(0);
    for (const row of rows) row.forEach((value, i) => (sums[i] = (sums[i] as number) + value));
    return sums.map((sum) => sum / Math.max(1, rows.length));
}
