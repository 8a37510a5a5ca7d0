/** What repeated times are summed up by: the median and the middle half, which a few disturbed rounds do not move. */

export interface Spread {
    median: number;
    /** Lower and upper quartile: half of the repeats lie between them. */
    quartiles: [number, number];
}

/** The value below which a share q of the numbers lies, interpolated between neighbours; NaN of none. */
export function quantile(numbers: readonly number[], q: number): number {
    const sorted = numbers.toSorted((a, b) => a - b);
    const at = q * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
    return low === undefined || high === undefined ? NaN : low + (at - Math.floor(at)) * (high - low);
}

export const median = (numbers: readonly number[]): number => quantile(numbers, 0.5);

export function spreadOf(numbers: readonly number[]): Spread {
    return { median: median(numbers), quartiles: [quantile(numbers, 0.25), quantile(numbers, 0.75)] };
}

/** How many times as long the others took as these, round by round: what slows the machine for a while slows both. */
export function ratioOf(others: readonly number[], times: readonly number[]): Spread {
    return spreadOf(times.map((time, round) => others[round]! / time));
}
