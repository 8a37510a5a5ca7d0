/**
 * Multiple choice, where a question is asked in every rotation of its options: a model that prefers a letter whatever stands behind it gains nothing by that.
 * The answer chosen over all rotations is that of the mean of the options' probabilities (cyclic permutations, Zheng et al. 2024).
 */
import type { Passage } from "../recipes/passage.js";
import { differenceEstimate, meanEstimate, unitsOf, type Estimate, type Interval } from "./bootstrap.js";
import { argmaxOrNone } from "./metrics.js";

export interface ChoiceScore {
    /** Of the options chosen by their mean probability over a question's rotations; undefined where questions are asked once. */
    averaged: { accuracy: number; interval: Interval; gain: Estimate | undefined } | undefined;
    positions: PositionBias;
}

/** Which letters are said, whatever they stand for. */
export interface PositionBias {
    /** Of all answers, the share that is each letter. They add up to less than 1 where nothing is known of some. */
    said: number[];
    /** Of all questions asked, the share whose right answer is each letter: what `said` would be without a mistake, and with rotations also without a preference. */
    right: number[];
    /** The largest of said - right, less the smallest: 0 where no letter is preferred; 1 where, of letters that are right equally often, one is always said. */
    spread: number;
}

/** Rows, all of questions with options, and their right letters. */
export class ChoiceSheet {
    private readonly questions: Question[];
    private readonly units: Uint32Array;

    /** Passages of an example are its rotations. */
    constructor(
        private readonly passages: readonly Passage[],
        private readonly answers: readonly number[],
        private readonly letters: number,
    ) {
        const unitOf = unitsOf(passages.map(({ example }) => example));
        this.questions = [];
        for (const [row, unit] of unitOf.entries()) {
            const { rotation = 0, openLabels = letters } = passages[row] as Passage;
            const question = (this.questions[unit] ??= { rows: [], options: openLabels, answer: 0 });
            question.answer = ((answers[row] as number) + rotation) % openLabels;
            question.rows.push(row);
        }
        this.units = Uint32Array.from(this.questions.keys());
    }

    /** probabilities: [rows, letters]; `against`: those of the method that a gain is over. */
    score(probabilities: Float64Array, against?: Float64Array): ChoiceScore {
        return {
            averaged: this.questions.some(({ rows }) => rows.length > 1) ? this.averaged(probabilities, against) : undefined,
            positions: this.positions(probabilities),
        };
    }

    private averaged(probabilities: Float64Array, against: Float64Array | undefined): ChoiceScore["averaged"] {
        const right = this.rightOverRotations(probabilities);
        const { value: accuracy, interval } = meanEstimate(right, this.units);
        const gain = against && differenceEstimate(right, this.rightOverRotations(against), this.units);
        return { accuracy, interval, gain };
    }

    /** 1 for each question whose option with the largest mean probability is the right one; of n that are as probable, 1 / n. */
    private rightOverRotations(probabilities: Float64Array): Float64Array {
        return Float64Array.from(this.questions, ({ rows, options, answer }) => {
            const sums = new Float64Array(options);
            for (const row of rows) {
                const { rotation = 0 } = this.passages[row] as Passage;
                for (let letter = 0; letter < options; letter++)
                    sums[(letter + rotation) % options]! += probabilities[row * this.letters + letter] as number;
            }
            const least = Math.max(...sums) - tie * rows.length;
            return (sums[answer] as number) < least ? 0 : 1 / sums.filter((sum) => sum >= least).length;
        });
    }

    private positions(probabilities: Float64Array): PositionBias {
        const said = this.passages.map(({ openLabels = this.letters }, row) =>
            argmaxOrNone(probabilities.subarray(row * this.letters, row * this.letters + openLabels)),
        );
        const shares = { said: sharesOf(said, this.letters), right: sharesOf(this.answers, this.letters) };
        const off = shares.said.map((share, letter) => share - (shares.right[letter] as number));
        return { ...shares, spread: Math.max(...off) - Math.min(...off) };
    }
}

/** Probabilities that differ by less are equal: a letter that is always said gives every option the same sum, but for rounding. */
const tie = 1e-9;

interface Question {
    /** One for each rotation. */
    rows: number[];
    options: number;
    /** The right option, as the question has them before any rotation. */
    answer: number;
}

function sharesOf(letters: readonly number[], count: number): number[] {
    const counts = new Array<number>(count).fill(0);
    for (const letter of letters) if (letter >= 0) counts[letter]!++;
    return counts.map((times) => times / letters.length);
}
