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

/** Whether an answer is the expected one, white space around it aside. */
export function exactMatch(answer: string, expected: string): boolean {
    return answer.trim() === expected.trim();
}
