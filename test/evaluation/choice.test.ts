/** Multiple choice: what rotations do to figures, against a count by the options' own words. */
import { describe, expect, it } from "vitest";

import { ChoiceSheet } from "../../lib/evaluation/choice.js";
import { mulberry32 } from "../../lib/recipes/cut.js";
import type { LabelRow } from "../../lib/recipes/data.js";
import { labelPassages, newLabelRecipe } from "../../lib/recipes/label.js";
import { toyModel } from "../recipes/toy-model.js";

interface Question {
    options: string[];
    answer: number;
}

const letters = ["A", "B", "C", "D"];

/** The sheet of questions in all rotations, and probabilities that a rule gives: of a letter, and of the word that stands behind it. */
function asked(questions: Question[], rotate: boolean, rule: (letter: number, word: string) => number) {
    const model = toyModel();
    const rows = questions.map((question, i): LabelRow => ({ kind: "choice", question: `Q${i}`, ...question, file: "f", line: i })); // prettier-ignore
    const recipe = newLabelRecipe(model, rows, "{question}\n{options}\n", rotate);
    const passages = labelPassages(model, rows, recipe);
    const answers = passages.map(({ values }) => recipe.labels.findIndex(({ token }) => token === values[0]));
    const count = recipe.labels.length;
    const probabilities = new Float64Array(passages.length * count);
    const shown = passages.map(({ tokens }) => [...model.detokenize(tokens).matchAll(/[A-D]\. (\w+)/g)].map(([, word]) => word!)); // prettier-ignore
    for (const [row, words] of shown.entries())
        for (const [letter, word] of words.entries()) probabilities[row * count + letter] = rule(letter, word);
    return { sheet: new ChoiceSheet(passages, answers, count), probabilities, shown };
}

const random = mulberry32(11);
const questions = Array.from({ length: 40 }, (_, i): Question => {
    const options = Array.from({ length: 2 + (i % 3) }, (_, option) => `w${i}x${option}`);
    return { options, answer: Math.floor(random() * options.length) };
});
const rightWords = questions.map(({ options, answer }) => options[answer]!);

describe("multiple choice in all rotations", () => {
    it("gives a model that always says one letter what chance would", () => {
        const four = questions.filter(({ options }) => options.length === 4);
        const { sheet, probabilities } = asked(four, true, (letter) => [0.4, 0.3, 0.2, 0.1][letter]!);
        const { averaged, positions } = sheet.score(probabilities);
        expect(averaged!.accuracy).toBeCloseTo(1 / 4, 12);
        expect(positions).toEqual({ said: [1, 0, 0, 0], right: [0.25, 0.25, 0.25, 0.25], spread: 1 });
    });

    it("finds no position bias in a model that looks at the words alone", () => {
        const { sheet, probabilities } = asked(questions, true, (_, word) => (rightWords.includes(word) ? 0.9 : 0.1));
        const { averaged, positions } = sheet.score(probabilities);
        expect(averaged).toEqual({ accuracy: 1, interval: [1, 1], gain: undefined });
        expect(positions.spread).toBeCloseTo(0, 12);
        expect(positions.said[0]).toBeCloseTo(40 / questions.reduce((sum, { options }) => sum + options.length, 0), 12);
    });

    it("chooses the option whose mean probability is largest, by the options' own words", () => {
        const liking = new Map(questions.flatMap(({ options }) => options.map((word) => [word, random()])));
        const noise = mulberry32(12);
        const rule = (letter: number, word: string) => liking.get(word)! + noise() + [0.9, 0, 0.3, 0][letter]!;
        const { sheet, probabilities, shown } = asked(questions, true, rule);
        const byWord = new Map<string, number>();
        shown.forEach((words, row) =>
            words.forEach((word, letter) => byWord.set(word, (byWord.get(word) ?? 0) + probabilities[row * 4 + letter]!)),
        );
        const right = questions.filter(({ options }, i) => {
            const best = options.reduce((a, b) => (byWord.get(b)! > byWord.get(a)! ? b : a));
            return best === rightWords[i];
        });
        const { averaged, positions } = sheet.score(probabilities);
        expect(right.length).toBeGreaterThan(5);
        expect(averaged!.accuracy).toBeCloseTo(right.length / 40, 12);
        expect(averaged!.interval[0]).toBeLessThan(right.length / 40);
        expect(positions.spread).toBeGreaterThan(0.1);
        expect(positions.said.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    });

    it("measures a gain question by question", () => {
        const knows = asked(questions, true, (_, word) => (rightWords.includes(word) ? 0.9 : 0.1));
        const guesses = asked(questions, true, (letter) => (letter === 0 ? 0.9 : 0.1));
        const { gain } = knows.sheet.score(knows.probabilities, guesses.probabilities).averaged!;
        const chance = questions.reduce((sum, { options }) => sum + 1 / options.length, 0) / 40;
        expect(gain!.value).toBeCloseTo(1 - chance, 12);
        expect(gain!.interval[0]).toBeGreaterThan(0);
    });

    it("asked once has no mean over rotations, and holds letters against the right ones", () => {
        const first = questions.map(({ options }) => ({ options, answer: 0 }));
        const { sheet, probabilities } = asked(first, false, (letter) => (letter === 0 ? 0.9 : 0.1));
        const { averaged, positions } = sheet.score(probabilities);
        expect(averaged).toBeUndefined();
        expect(positions).toEqual({ said: [1, 0, 0, 0], right: [1, 0, 0, 0], spread: 0 });
        expect(positions.said).toHaveLength(letters.length);
    });
});
