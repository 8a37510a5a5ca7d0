import { describe, expect, it } from "vitest";

import { mergeReference } from "../../lib/evaluation/merge.js";
import type { ModelRun } from "../../lib/evaluation/model-run.js";
import { createIndex, logProbabilities } from "../../lib/index.js";
import type { Token } from "../../lib/node-llama-cpp.js";
import { mulberry32 } from "../../lib/recipes/cut.js";
import type { Gate } from "../../lib/types.js";

const [entries, dim, vocabulary, rows] = [400, 12, 30, 9];
const random = mulberry32(3);
const numbers = (count: number, size: number) => Float32Array.from({ length: count }, () => size * (random() - 0.5));
const keys = numbers(entries * dim, 2);
const values = Int32Array.from({ length: entries }, () => Math.floor(random() * vocabulary));
const hidden = numbers(rows * dim, 2);
const logits = numbers(rows * vocabulary, 8);

/** In float64 and over the whole vocabulary, from the definitions: the k nearest of each head vote by softmax, heads are averaged, and shares are mixed. */
function oracle(
    heads: number,
    k: number,
    temperature: number,
    weight: number | ((votes: number[], own: number[]) => number),
    bias: ReadonlyMap<number, number>,
): number[][] {
    const slice = dim / heads;
    return Array.from({ length: rows }, (_, row) => {
        const own = Array.from({ length: vocabulary }, (_, v) => logits[row * vocabulary + v]! + (bias.get(v) ?? 0));
        const total = own.reduce((sum, logit) => sum + Math.exp(logit), 0);
        const votes = new Array<number>(vocabulary).fill(0);
        for (let head = 0; head < heads; head++) {
            const near = Array.from({ length: entries }, (_, entry) => {
                let sum = 0;
                for (let i = head * slice; i < (head + 1) * slice; i++)
                    sum += (keys[entry * dim + i]! - hidden[row * dim + i]!) ** 2;
                return { distance: Math.sqrt(sum), token: values[entry]! };
            })
                .sort((a, b) => a.distance - b.distance)
                .slice(0, k);
            const shares = near.map(({ distance }) => Math.exp((near[0]!.distance - distance) / temperature));
            const sum = shares.reduce((a, b) => a + b, 0);
            near.forEach(({ token }, i) => (votes[token]! += shares[i]! / sum / heads));
        }
        const model = own.map((logit) => Math.exp(logit) / total);
        const a = typeof weight === "number" ? weight : weight(votes, model);
        return model.map((p, v) => Math.log((1 - a) * p + a * votes[v]!));
    });
}

const entropyOf = (shares: readonly number[]) => -shares.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);

async function merged(heads: number, candidates: number, tokens: number[], weight: number, bias?: number[], gate?: Gate) {
    const index = createIndex({ dim, heads });
    index.add(keys, values);
    const asked = tokens.length > candidates ? tokens : Array.from({ length: rows }, () => tokens).flat();
    const run: ModelRun = {
        dim,
        hidden,
        candidates,
        logProbabilities: logProbabilities(logits, vocabulary, Int32Array.from(asked), candidates),
        entropy: Float64Array.from({ length: rows }, (_, row) => {
            const own = [...logits.subarray(row * vocabulary, (row + 1) * vocabulary)].map(Math.exp);
            const total = own.reduce((a, b) => a + b);
            return entropyOf(own.map((x) => x / total));
        }),
    };
    const fusion = { k: 20, temperature: 0.3, referenceWeight: weight, gate };
    return mergeReference(index, run, { fusion, tokens: tokens as Token[], bias });
}

describe("a run with a reference", () => {
    for (const heads of [1, 3])
        it(`is weighed by a gate that sees all tokens, not the candidates alone, ${heads} heads`, async () => {
            const gate = { bias: -0.5, hitEntropy: -0.7, largestVote: 2, modelEntropy: 0.6, maxWeight: 0.9 };
            const tokens = Array.from({ length: rows }, (_, row) => (row * 7) % vocabulary);
            const expected = oracle(
                heads,
                20,
                0.3,
                (votes, own) => {
                    const z = gate.bias + gate.hitEntropy * entropyOf(votes) + gate.largestVote * Math.max(...votes) + gate.modelEntropy * entropyOf(own); // prettier-ignore
                    return gate.maxWeight / (1 + Math.exp(-z));
                },
                new Map(),
            );
            const got = await merged(heads, 1, tokens, 0.5, undefined, gate);
            got.forEach((value, row) => expect(value).toBeCloseTo(expected[row]![tokens[row]!]!, 4));
        });

    for (const heads of [1, 3])
        it(`has the probabilities of labels that the definitions give, ${heads} heads`, async () => {
            const labels = [4, 17, 22];
            const [got, expected] = [await merged(heads, 3, labels, 0.6), oracle(heads, 20, 0.3, 0.6, new Map())];
            got.forEach((value, i) => expect(value).toBeCloseTo(expected[Math.floor(i / 3)]![labels[i % 3]!]!, 4));
        });

    it("has those of the token that comes next in each row", async () => {
        const next = Array.from({ length: rows }, (_, row) => (row * 7) % vocabulary);
        const [got, expected] = [await merged(1, 1, next, 0.25), oracle(1, 20, 0.3, 0.25, new Map())];
        got.forEach((value, row) => expect(value).toBeCloseTo(expected[row]![next[row]!]!, 4));
    });

    it("adds a bias to the model's own logits alone", async () => {
        const [labels, bias] = [[4, 17, 22], [1.5, -0.5, 0]]; // prettier-ignore
        const expected = oracle(1, 20, 0.3, 0.6, new Map(labels.map((label, i) => [label, bias[i]!])));
        const got = await merged(1, 3, labels, 0.6, bias);
        got.forEach((value, i) => expect(value).toBeCloseTo(expected[Math.floor(i / 3)]![labels[i % 3]!]!, 4));
    });

    it("is the model's own with weight 0", async () => {
        const got = await merged(1, 3, [1, 2, 3], 0);
        const own = logProbabilities(
            logits,
            vocabulary,
            Int32Array.from({ length: rows * 3 }, (_, i) => 1 + (i % 3)),
            3,
        );
        got.forEach((value, i) => expect(value).toBeCloseTo(own[i]!, 5));
    });
});
