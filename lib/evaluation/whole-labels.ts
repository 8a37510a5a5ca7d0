/**
 * Labels followed token by token: a label's probability is the product of its tokens', the reference merged at each, and the sum over its spellings. What may
 * follow the beginnings of labels is asked of all of them at once, so labels may begin alike.
 */
import type { Token } from "../node-llama-cpp.js";
import { logSumExp } from "../recipes/label-logits.js";
import type { RecipeMetadata } from "../recipes/metadata.js";
import type { Passage } from "../recipes/passage.js";
import { allTokens, distinctSpellings, type Label } from "../recipes/spelling.js";
import { expectRoom, meanTokens, Sheet, type LabelFigures } from "./label.js";
import { mergeReference } from "./merge.js";
import { runModel, type ModelRun, type RunOptions } from "./model-run.js";
import type { EvaluateOptions, Fusion } from "./options.js";
import { shotsOf } from "./shots.js";

/** A token of a label and the beginning it comes after, both by number. */
interface Step {
    beginning: number;
    token: number;
}

export class WholeLabels {
    /** Every token that a label has: the candidates of every row. */
    readonly tokens: Token[];
    /** What may have been said of labels before their last tokens; first nothing. */
    readonly beginnings: Token[][] = [[]];
    /** Of each label its spellings. */
    private readonly labels: Step[][][];

    constructor(labels: readonly Label[]) {
        this.tokens = allTokens(labels);
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

    /** Each passage's prompt, followed by every beginning: [passages, beginnings] rows of one value. */
    passagesOf(passages: readonly Passage[]): Passage[] {
        return passages.flatMap((passage) => {
            const prompt = passage.tokens.slice(0, passage.from + 1);
            return this.beginnings.map((beginning) => {
                const tokens = [...prompt, ...beginning];
                return { ...passage, tokens, from: tokens.length - 1, values: passage.values.slice(0, 1) };
            });
        });
    }

    /** Log-probabilities [passages, beginnings, tokens] as those of labels [passages, labels]. */
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

    run(passages: readonly Passage[], options: RunOptions): Promise<ModelRun> {
        return runModel(this.passagesOf(passages), { ...options, labels: this.tokens.map((token) => [token]) });
    }
}

/** As `evaluateLabel`. Without the matched bias and the linear probe, which know one place to tell labels apart. */
export async function evaluateWholeLabels(
    options: EvaluateOptions & Pick<RunOptions, "cache" | "layer">,
    metadata: RecipeMetadata,
    passages: readonly Passage[],
    fusion: Fusion,
    passagesAfter: (before: string) => Promise<Passage[]>,
): Promise<LabelFigures> {
    const { store, model, signal, shots: count = 0, shotSeeds = 2 } = options;
    const labels = metadata.labels ?? [];
    const whole = new WholeLabels(labels);
    const { tokens } = whole;
    const sheet = new Sheet(labels, passages);
    const ask = async (asked: readonly Passage[]) => {
        const run = await whole.run(asked, { ...options, unit: "examples" });
        const merge = async (fusion: Fusion) =>
            whole.scoresOf(await mergeReference(store.index, run, { fusion, tokens, signal }));
        return { own: whole.scoresOf(run.logProbabilities), merge };
    };
    const promptTokens = (asked: readonly Passage[]) =>
        meanTokens(whole.passagesOf(asked).filter((_, i) => i % whole.beginnings.length === 0));

    const { own, merge } = await ask(passages);
    const baseline = sheet.right(own);
    const rtd = await merge(fusion);
    const shots: LabelFigures["shots"] = [];
    for (let seed = 1; count > 0 && seed <= shotSeeds; seed++) {
        const shown = await passagesAfter(await shotsOf(store, metadata, count, seed));
        expectRoom(model, shown, count);
        const prompted = await ask(shown);
        shots.push({
            count,
            seed,
            promptTokens: promptTokens(shown),
            model: sheet.score(prompted.own, baseline),
            rtd: sheet.score(await prompted.merge(fusion), baseline),
        });
    }
    return {
        model: sheet.score(own),
        modelBiasMatched: undefined,
        rtd: sheet.score(rtd, baseline),
        rtdBiasMatched: undefined,
        nearest: sheet.score(await merge({ ...fusion, k: 1, referenceWeight: 1 }), baseline, false),
        linearProbe: undefined,
        shots,
        promptTokens: promptTokens(passages),
        storeBytes: store.manifest.segments.reduce((sum, { bytes }) => sum + bytes, 0),
        confusion: { labels: labels.map(({ name }) => name), counts: sheet.confusion(rtd) },
    };
}
