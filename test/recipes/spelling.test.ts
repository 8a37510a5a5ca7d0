import { describe, expect, it } from "vitest";

import type { LabelRow } from "../../lib/recipes/data.js";
import { answeredPrompt, labelPassages, newLabelRecipe, type LabelSettings } from "../../lib/recipes/label.js";
import { labelLogitsOf } from "../../lib/recipes/label-logits.js";
import { allTokens, distinctSpellings, firstTokens, valuesOfLabel } from "../../lib/recipes/spelling.js";
import { toyModel } from "./toy-model.js";

const labelled = (text: string, label: string): LabelRow => ({ kind: "labelled", text, label, file: "f", line: 1 });
const rows = [labelled("a dog", "1"), labelled("an oak", "tree"), labelled("a cat", "pets")];
const spellings = { "1": ["pet", "pets", "pet animal"] };

const model = toyModel();
const text = (tokens: readonly number[]) => model.detokenize(tokens as never);
const recipeOf = (settings: LabelSettings, of: readonly LabelRow[] = rows) =>
    newLabelRecipe(model, of, "Of {labels}: {text} is", false, settings);

describe("spellings of a label", () => {
    const recipe = recipeOf({ spellings });

    it("are of one label, which prompts and entries have as the first of them", () => {
        expect(recipe.labels.map(({ name }) => name)).toEqual(["1", "tree"]);
        const passages = labelPassages(model, rows, recipe);
        expect(text(passages[0]!.tokens)).toBe("Of pet, tree: a dog is");
        expect(passages.map(({ values }) => text(values))).toEqual([" pet", " tree", " pet"]); // "pets" means "1", too
        expect(answeredPrompt(rows[2]!, recipe)).toBe("Of pet, tree: a cat is pet");
    });

    it("stand for it by their first tokens, each once", () => {
        expect(firstTokens(recipe.labels).map((tokens) => tokens.map((token) => text([token])))).toEqual([
            [" pet", " pets"],
            [" tree"],
        ]);
    });

    it("have the sum of their probabilities in what is kept for the matched bias", () => {
        const logits = Float32Array.of(1, 2, -1, 0.5);
        const [both, one, masked] = labelLogitsOf(logits, [[0, 2], [1], [3]], 2);
        expect(both).toBeCloseTo(Math.log(Math.exp(1) + Math.exp(-1)), 12);
        expect([one, masked]).toEqual([2, -Infinity]);
    });

    it("may not begin as another label's, the error says which", () => {
        expect(() => recipeOf({ spellings: { ...spellings, tree: ["oak", "pets of wood"] } })).toThrow(
            /the labels "1" and "tree" begin with the same token " pets" .*; rename one, or build with whole labels/,
        );
    });

    it.each<[unknown, RegExp]>([
        [[], /labels: expected an object of spellings by name, got an array/],
        ["pet", /labels: expected an object, got "pet"/],
        [{ animal: ["animal"] }, /no row has the label "animal" or a spelling of it; the rows have 1, pets, tree/],
        [{ tree: "oak" }, /expected an array of spellings of "tree".*got "oak"/],
        [{ tree: [] }, /expected an array of spellings of "tree"/],
        [{ tree: [" oak"] }, /without white space around/],
    ])("are refused as %j", (given, message) => {
        expect(() => recipeOf({ spellings: given as never })).toThrow(message);
    });
});

describe("whole labels", () => {
    const alike = [labelled("a dog", "big dog"), labelled("a cat", "big cat"), labelled("an ant", "ant")];
    const recipe = recipeOf({ wholeLabels: true }, alike);

    it("have an entry for every token, after those before it", () => {
        const [dog, cat, ant] = labelPassages(model, alike, recipe);
        expect([dog, cat, ant].map((passage) => text(passage!.values))).toEqual([" big dog", " big cat", " ant"]);
        expect([dog, cat, ant].map((passage) => text(passage!.tokens))).toEqual([
            "Of ant, big cat, big dog: a dog is big",
            "Of ant, big cat, big dog: a cat is big",
            "Of ant, big cat, big dog: an ant is",
        ]);
        for (const passage of [dog, cat, ant]) expect(passage!.from).toBe(passage!.tokens.length - passage!.values.length);
        expect(allTokens(recipe.labels).map((token) => text([token]))).toEqual([" ant", " big", " cat", " dog"]);
        expect(recipe.labels.map((label) => text(valuesOfLabel(label)))).toEqual([" ant", " big cat", " big dog"]);
    });

    it("are told apart unless one begins with all of another", () => {
        expect(() => recipeOf({ wholeLabels: true }, [...alike, labelled("x", "big")])).toThrow(
            /the labels "big" and "big cat" cannot be told apart: one begins with all of the other, " big"; rename one/,
        );
    });

    it("count a spelling once that begins with another of the same label", () => {
        const { labels } = recipeOf({ wholeLabels: true, spellings: { ant: ["ant of the wood", "ant", "emmet"] } }, alike);
        expect(distinctSpellings(labels[0]!).map(text)).toEqual([" ant", " emmet"]);
        expect(text(valuesOfLabel(labels[0]!))).toBe(" ant of the wood");
    });

    it("go with keys at each token alone", () => {
        expect(() => recipeOf({ wholeLabels: true, pooling: "mean" })).toThrow(/leave out pooling or wholeLabels/);
    });
});
