/** How the probabilities of labels are read off those of tokens: by the labels' first tokens at the prompt's end, or by all of them in turn. */
import type { Token } from "../node-llama-cpp.js";
import { logSumExp } from "../recipes/label-logits.js";
import type { LabelRecipe } from "../recipes/label.js";
import type { Passage } from "../recipes/passage.js";
import { allTokens, distinctSpellings, firstTokens, type Label } from "../recipes/spelling.js";

export interface LabelReading {
    /** What each row is asked for: see a model run's `labels`. */
    candidates: readonly (readonly Token[])[];
    /** The value of entries that vote for each candidate. */
    tokens: readonly Token[];
    /** What is asked of each passage, in order. */
    rowsPerPassage: number;
    /** The rows' own passages, of one value each: [passages, rowsPerPassage]. */
    passagesOf(passages: readonly Passage[]): readonly Passage[];
    /** Log-probabilities [passages, rowsPerPassage, candidates] as those of labels, up to a constant: [passages, labels]. */
    scoresOf(values: Float64Array): Float64Array;
}

/** As a store's recipe has it. */
export function labelReading({ labels = [], wholeLabels }: Partial<LabelRecipe>): LabelReading {
    if (wholeLabels) return new WholeLabels(labels);
    return {
        candidates: firstTokens(labels),
        tokens: labels.map(({ token }) => token),
        rowsPerPassage: 1,
        passagesOf: (passages) => passages,
        scoresOf: (values) => values,
    };
}

/** A token of a label and the beginning it comes after, both by number. */
interface Step {
    beginning: number;
    token: number;
}

/**
 * Labels followed token by token: a label's probability is the product of its tokens', the reference merged at each, and the sum over its spellings. What may
 * follow the beginnings of labels is asked of all of them at once, so labels may begin alike.
 */
class WholeLabels implements LabelReading {
    readonly candidates: Token[][];
    readonly tokens: Token[];
    /** What may have been said of labels before their last tokens; first nothing. */
    private readonly beginnings: Token[][] = [[]];
    /** Of each label its spellings. */
    private readonly labels: Step[][][];

    constructor(labels: readonly Label[]) {
        this.tokens = allTokens(labels);
        this.candidates = this.tokens.map((token) => [token]);
        const numbers = new Map<string, number>([["", 0]]);
        const numberOf = (beginning: Token[]): number => {
            const key = beginning.join();
            if (!numbers.has(key)) numbers.set(key, this.beginnings.push(beginning) - 1);
            return numbers.get(key) as number;
        };
        this.labels = labels.map((label) =>
            distinctSpellings(label).map((tokens) =>
                tokens.map((token, i) => ({ beginning: numberOf(tokens.slice(0, i)), token: this.tokens.indexOf(token) })),
            ),
        );
    }

    get rowsPerPassage(): number {
        return this.beginnings.length;
    }

    /** Each passage's prompt, followed by every beginning. */
    passagesOf(passages: readonly Passage[]): Passage[] {
        return passages.flatMap((passage) => {
            const prompt = passage.tokens.slice(0, passage.from + 1);
            return this.beginnings.map((beginning) => {
                const tokens = [...prompt, ...beginning];
                return { ...passage, tokens, from: tokens.length - 1, values: passage.values.slice(0, 1) };
            });
        });
    }

    scoresOf(values: Float64Array): Float64Array {
        const width = this.tokens.length;
        const rows = values.length / (this.beginnings.length * width);
        return Float64Array.from({ length: rows * this.labels.length }, (_, i) => {
            const row = Math.floor(i / this.labels.length) * this.beginnings.length;
            const spellings = this.labels[i % this.labels.length] as Step[][];
            return logSumExp(
                spellings.map((steps) =>
                    steps.reduce((sum, { beginning, token }) => sum + (values[(row + beginning) * width + token] as number), 0),
                ),
            );
        });
    }
}
