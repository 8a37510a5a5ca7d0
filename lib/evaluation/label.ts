/** Classification and multiple choice by the labels' tokens at the prompt's end, and how what is said is held against the right answers. */
import type { RecipeMetadata } from "../recipes/metadata.js";
import type { Passage } from "../recipes/passage.js";
import { valuesOfLabel, type Label } from "../recipes/spelling.js";
import { differenceEstimate, meanEstimate, unitsOf, type Estimate, type Interval } from "./bootstrap.js";
import { ChoiceSheet, type ChoiceScore } from "./choice.js";
import { costOf, type Cost } from "./cost.js";
import { labelProbabilities, type LabelMethods, type LabelOptions } from "./label-methods.js";
import { argmaxOrNone, calibrationBins, calibrationError, confusionOf, macroF1, type CalibrationBin } from "./metrics.js";
import type { Fusion } from "./options.js";
import type { InContext } from "./retrieval.js";
import { bySubject, type BySubject } from "./subjects.js";

/** Of questions that are asked in every rotation of their options, all figures are over all rotations. */
export interface LabelScore {
    accuracy: number;
    /** Of the accuracy, by resampling examples: the rotations of a question are one. */
    interval: Interval;
    macroF1: number;
    /** Expected calibration error; undefined where there are no probabilities. */
    calibrationError: number | undefined;
    /** What that is the mean of: answers by how sure they were. */
    calibration: CalibrationBin[] | undefined;
    /** By how much the accuracy is better than the model's (that with the matched bias, if there is one), example by example. */
    gain: Estimate | undefined;
    /** Examples. */
    count: number;
    /** Undefined unless the data are questions with options. */
    choice: ChoiceScore | undefined;
    /** Empty unless rows name their subject. */
    bySubject: BySubject<{ count: number; accuracy: number; interval: Interval }>;
}

export interface LabelFigures extends LabelMethods<LabelScore>, Cost {
    /** Of the reference, with the matched bias if there is one: rows are the right labels, columns what was said. */
    confusion: { labels: string[]; counts: number[][] };
}

export async function evaluateLabel(
    options: LabelOptions,
    metadata: RecipeMetadata,
    passages: readonly Passage[],
    fusion: Fusion,
    { areQuestions, ...inContext }: InContext & { areQuestions: boolean },
): Promise<LabelFigures> {
    const names = metadata.labels ?? [];
    const sheet = new Sheet(names, passages, areQuestions);
    const said = await labelProbabilities(options, metadata, passages, fusion, inContext);
    const baseline = said.modelBiasMatched ?? said.model;
    const score = (probabilities: Float64Array) => sheet.score(probabilities, baseline);
    const { retrieved } = said;
    return {
        model: sheet.score(said.model),
        modelBiasMatched: said.modelBiasMatched && sheet.score(said.modelBiasMatched, said.model),
        rtd: score(said.rtd),
        rtdBiasMatched: said.rtdBiasMatched && score(said.rtdBiasMatched),
        nearest: { ...score(said.nearest), calibrationError: undefined, calibration: undefined },
        linearProbe: said.linearProbe && score(said.linearProbe),
        shots: said.shots.map((draw) => ({ ...draw, model: score(draw.model), rtd: score(draw.rtd) })),
        retrieved: retrieved && { ...retrieved, model: score(retrieved.model), rtd: score(retrieved.rtd) },
        ...costOf(options.store, passages),
        confusion: { labels: names.map(({ name }) => name), counts: sheet.confusion(said.rtdBiasMatched ?? said.rtd) },
    };
}

/** The right answers, and how probabilities, [passages, labels], are held against them. */
class Sheet {
    private readonly answers: number[];
    private readonly units: Uint32Array;
    private readonly choice: ChoiceSheet | undefined;

    constructor(
        private readonly labels: readonly Label[],
        private readonly passages: readonly Passage[],
        areQuestions: boolean,
    ) {
        this.answers = passages.map(({ values }) => labels.findIndex((label) => valuesOfLabel(label).join() === values.join()));
        this.units = unitsOf(passages.map(({ example }) => example));
        if (areQuestions) this.choice = new ChoiceSheet(passages, this.answers, labels.length);
    }

    score(probabilities: Float64Array, against?: Float64Array): LabelScore {
        const right = this.right(probabilities);
        const { value: accuracy, interval } = meanEstimate(right, this.units);
        const confidences = this.passages.map((_, row) => Math.max(...this.rowOf(probabilities, row)));
        const calibration = confidences.some(Number.isNaN) ? undefined : calibrationBins(confidences, right);
        return {
            accuracy,
            interval,
            macroF1: macroF1(this.confusion(probabilities)),
            calibrationError: calibration && calibrationError(calibration),
            calibration,
            gain: against && differenceEstimate(right, this.right(against), this.units),
            count: new Set(this.units).size,
            choice: this.choice?.score(probabilities, against),
            bySubject: bySubject(this.passages, (rows) => {
                const units = unitsOf(rows.map((row) => this.units[row]));
                const { value: accuracy, interval } = meanEstimate(
                    Float64Array.from(rows, (row) => right[row] as number),
                    units,
                );
                return { count: new Set(units).size, accuracy, interval };
            }),
        };
    }

    confusion(probabilities: Float64Array): number[][] {
        return confusionOf(this.answers, this.said(probabilities), this.labels.length);
    }

    /** 1 where the most probable label is the right one. */
    private right(probabilities: Float64Array): Float64Array {
        const said = this.said(probabilities);
        return Float64Array.from(this.answers, (answer, row) => (said[row] === answer ? 1 : 0));
    }

    private said(probabilities: Float64Array): number[] {
        return this.answers.map((_, row) => argmaxOrNone(this.rowOf(probabilities, row)));
    }

    private rowOf(probabilities: Float64Array, row: number): Float64Array {
        const first = row * this.labels.length;
        return probabilities.subarray(first, first + (this.passages[row]?.openLabels ?? this.labels.length));
    }
}
