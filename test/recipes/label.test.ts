import { describe, expect, it } from "vitest";

import type { LabelRow } from "../../lib/recipes/data.js";
import { answeredPrompt, labelPassages, newLabelRecipe, rotations } from "../../lib/recipes/label.js";
import { LabelLogits, labelLogitsOf, maxReferences } from "../../lib/recipes/label-logits.js";
import { checkTemplate, fillTemplate } from "../../lib/recipes/template.js";
import { toyModel } from "./toy-model.js";

const labelled = (text: string, label: string, line = 1): LabelRow => ({ kind: "labelled", text, label, file: "f", line });
const choice = (options: string[], answer: number, line = 1): LabelRow => ({
    kind: "choice",
    question: "Which",
    options,
    answer,
    file: "f",
    line,
});

describe("template", () => {
    it("is filled in once: what is put in is not looked at again", () => {
        expect(fillTemplate("{text} {labels} {other} {", { text: "{labels}", labels: "a" })).toBe("{labels} a {other} {");
    });

    it("must have what it needs and nothing that is not known", () => {
        expect(() => checkTemplate('{"a": {text}}', ["text"], ["labels"])).not.toThrow();
        expect(() => checkTemplate("x", ["text"], [])).toThrow(/lacks \{text\}/);
        expect(() => checkTemplate("{text} {txet}", ["text"], ["labels"])).toThrow(
            /has \{txet\}; it may have \{text\}, \{labels\}/,
        );
    });
});

describe("label recipe", () => {
    it("names all labels in order, and makes one key per row at the prompt's end", () => {
        const model = toyModel();
        const rows = [labelled("a dog", "pet"), labelled("an oak", "tree", 2)];
        const recipe = newLabelRecipe(model, rows, "Of {labels}: {text} is");
        expect(recipe.labels.map(({ name }) => name)).toEqual(["pet", "tree"]);
        const [first, second] = labelPassages(model, rows, recipe);
        expect(model.detokenize(first!.tokens)).toBe("Of pet, tree: a dog is");
        expect(first).toMatchObject({ from: first!.tokens.length - 1, example: 0, position: 0, origin: "f:1", openLabels: 2 });
        expect(model.detokenize(first!.values)).toBe(" pet");
        expect(model.detokenize(second!.values)).toBe(" tree");
    });

    it("writes the label without a space where the prompt ends in one", () => {
        const model = toyModel();
        const recipe = newLabelRecipe(model, [labelled("a", "pet")], "{text}\n");
        expect(model.detokenize([recipe.labels[0]!.token])).toBe("pet");
    });

    it("puts the token that begins a sequence first where the model wants it", () => {
        const model = toyModel({ bos: true });
        const recipe = newLabelRecipe(model, [labelled("a", "pet")]);
        expect(labelPassages(model, [labelled("a", "pet")], recipe)[0]!.tokens[0]).toBe(1);
    });

    it("refuses labels that begin with the same token", () => {
        expect(() => newLabelRecipe(toyModel(), [labelled("a", "big cat"), labelled("b", "big dog")])).toThrow(
            /the labels "big cat" and "big dog" begin with the same token " big"/,
        );
    });

    it("refuses a label that the store does not have, by file and line", () => {
        const model = toyModel();
        const recipe = newLabelRecipe(model, [labelled("a", "pet")]);
        expect(() => labelPassages(model, [labelled("b", "tree", 7)], recipe)).toThrow(
            /^f:7: the label "tree" is not one of the store's: pet$/,
        );
    });

    it("letters the options of a question and rotates them", () => {
        const model = toyModel();
        const rows = [choice(["x", "y", "z"], 0), choice(["x", "y"], 1, 2)];
        const recipe = newLabelRecipe(model, rows, undefined, true);
        expect(recipe.labels.map(({ name }) => name)).toEqual(["A", "B", "C"]);
        const passages = labelPassages(model, rows, recipe);
        expect(passages.map(({ example, position, openLabels }) => [example, position, openLabels])).toEqual([
            [0, 0, 3],
            [0, 1, 3],
            [0, 2, 3],
            [1, 0, 2],
            [1, 1, 2],
        ]);
        expect(passages.map(({ values }) => model.detokenize(values))).toEqual([" A", " C", " B", " B", " A"]);
        expect(model.detokenize(passages[1]!.tokens)).toBe("Question: Which\nA. y\nB. z\nC. x\nAnswer:");
    });

    it("keeps the right option right under every rotation", () => {
        const { options, answer } = choice(["x", "y", "z"], 2) as { options: string[]; answer: number };
        for (const rotated of rotations(choice(options, answer) as never, true))
            expect(rotated.options[rotated.answer]).toBe("z");
    });

    it("puts answered examples before a prompt, of which nothing is filled in again", () => {
        const model = toyModel();
        const rows = [labelled("a dog", "pet"), labelled("{labels}", "tree", 2)];
        const recipe = newLabelRecipe(model, rows, "Of {labels}: {text} is");
        const shown = answeredPrompt(rows[1]!, recipe);
        expect(shown).toBe("Of pet, tree: {labels} is tree");
        expect(answeredPrompt(rows[0]!, newLabelRecipe(model, rows, "{text} ("))).toBe("a dog (pet");
        expect(answeredPrompt(choice(["x", "y"], 1), newLabelRecipe(model, [choice(["x", "y"], 1)]))).toBe(
            "Question: Which\nA. x\nB. y\nAnswer: B",
        );
        expect(answeredPrompt(rows[0]!, newLabelRecipe(model, rows, "Kind?\n{text}"))).toBe("Kind?\na dog\npet");
        const [passage] = labelPassages(model, rows, recipe, () => [rows[1]!]);
        expect(model.detokenize(passage!.tokens)).toBe("Of pet, tree: {labels} is tree\n\nOf pet, tree: a dog is");
    });

    it("refuses rotation without options, and rows of both kinds", () => {
        expect(() => newLabelRecipe(toyModel(), [labelled("a", "b")], undefined, true)).toThrow(/rotating is for questions/);
        expect(() => newLabelRecipe(toyModel(), [labelled("a", "b"), choice(["x", "y"], 0, 2)])).toThrow(/^f:2: /);
    });
});

describe("label logits", () => {
    it("survive being written down, masked ones too", () => {
        const logits = new LabelLogits(2);
        logits.add([0.5, -Infinity]);
        logits.add([1, 2]);
        const again = new LabelLogits(2, logits.encode());
        expect([again.rows, again.row(0), again.row(1)]).toEqual([2, [0.5, -Infinity], [1, 2]]);
    });

    it("are kept of the first references only", () => {
        const logits = new LabelLogits(1);
        for (let i = 0; i < maxReferences + 5; i++) logits.add([i]);
        expect(logits.rows).toBe(maxReferences);
    });

    it("are picked from a row of all logits", () => {
        expect(labelLogitsOf(Float32Array.of(1, 2, 3), [[2], [0]])).toEqual([3, 1]);
        expect(labelLogitsOf(Float32Array.of(1, 2, 3), [[2], [0]], 1)).toEqual([3, -Infinity]);
    });
});
