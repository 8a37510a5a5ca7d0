/** Figures of merit. */

/** exp of the mean negative log probability. */
export function perplexity(logProbabilities: ArrayLike<number>): number {
    let sum = 0;
    for (let i = 0; i < logProbabilities.length; i++) sum += logProbabilities[i] as number;
    return Math.exp(-sum / logProbabilities.length);
}

/** Index of the largest number, the first of equals; NaN never wins. */
export function argmax(values: ArrayLike<number>): number {
    let best = 0;
    for (let i = 1; i < values.length; i++)
        if (!((values[i] as number) <= (values[best] as number)) && !Number.isNaN(values[i])) best = i;
    return best;
}

/** The same, but -1 where several numbers are all alike: nothing is known. */
export function argmaxOrNone(values: ArrayLike<number>): number {
    const areAlike = Array.from(values).every((value) => value === values[0]);
    return values.length > 1 && areAlike ? -1 : argmax(values);
}

/** Whether an answer is the expected one, white space around it aside. */
export function exactMatch(answer: string, expected: string): boolean {
    return answer.trim() === expected.trim();
}

/**
 * Overlap of two answers' words as SQuAD counts it (Rajpurkar et al. 2016), 0 to 1: the harmonic mean of precision and recall over words, each as often as
 * both have it. Case, punctuation and the articles "a", "an", "the" do not count. Answers without any other word match only each other.
 */
export function tokenF1(answer: string, expected: string): number {
    const [said, wanted] = [wordsOf(answer), wordsOf(expected)];
    if (said.length === 0 || wanted.length === 0) return said.length === wanted.length ? 1 : 0;
    const left = [...wanted];
    for (const word of said) {
        const at = left.indexOf(word);
        if (at >= 0) left.splice(at, 1);
    }
    return (2 * (wanted.length - left.length)) / (said.length + wanted.length);
}

const punctuation = /[\p{P}$+<=>^`|~]/gu;
const articles = /\b(a|an|the)\b/g;

function wordsOf(text: string): string[] {
    const words = text.toLowerCase().replace(punctuation, "").replace(articles, " ");
    return words.split(/\s+/).filter((word) => word !== "");
}

/** Rows are the right classes, columns the predicted ones; -1 predicts none. */
export function confusionOf(answers: ArrayLike<number>, predicted: ArrayLike<number>, classes: number): number[][] {
    const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
    for (let i = 0; i < answers.length; i++)
        if ((predicted[i] as number) >= 0) (counts[answers[i] as number] as number[])[predicted[i] as number]!++;
    return counts;
}

/** The mean over classes of the harmonic mean of precision and recall; classes that neither occur nor are predicted do not count. */
export function macroF1(confusion: readonly (readonly number[])[]): number {
    const scores = confusion.flatMap((row, c) => {
        const right = row[c] as number;
        const asked = row.reduce((sum, count) => sum + count, 0);
        const said = confusion.reduce((sum, other) => sum + (other[c] as number), 0);
        return asked + said === 0 ? [] : [(2 * right) / (asked + said)];
    });
    return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** The answers that were about as sure as each other. */
export interface CalibrationBin {
    /** The mean of their confidences, 0 to 1. */
    confidence: number;
    /** The share of them that is right. */
    accuracy: number;
    count: number;
}

const bins = 15;

/** Answers by how sure they were, in 15 bins of equal width; bins without an answer are left out. confidences: the predicted class's probability, not NaN. */
export function calibrationBins(confidences: ArrayLike<number>, isRight: ArrayLike<number>): CalibrationBin[] {
    const sums = Array.from({ length: bins }, () => ({ confidence: 0, right: 0, count: 0 }));
    for (let i = 0; i < confidences.length; i++) {
        const confidence = confidences[i] as number;
        const bin = sums[Math.min(bins - 1, Math.floor(confidence * bins))] as (typeof sums)[0];
        bin.confidence += confidence;
        bin.right += isRight[i] as number;
        bin.count++;
    }
    return sums
        .filter(({ count }) => count > 0)
        .map(({ confidence, right, count }) => ({ confidence: confidence / count, accuracy: right / count, count }));
}

/** Expected calibration error (Guo et al. 2017): how far confidence lies from accuracy in {@link calibrationBins}, weighted by their answers. */
export function calibrationError(calibration: readonly CalibrationBin[]): number {
    const all = calibration.reduce((sum, { count }) => sum + count, 0);
    return calibration.reduce((sum, { confidence, accuracy, count }) => sum + (count / all) * Math.abs(confidence - accuracy), 0);
}
