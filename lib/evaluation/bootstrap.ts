/** Intervals by resampling what was measured (Efron 1979): how far a figure may lie off by the luck of which examples were asked. */
import { mulberry32 } from "../recipes/cut.js";

/** [low, high], 95%. */
export type Interval = [number, number];

const resamples = 1000;

/**
 * The middle 95% of `figure` over resamples of `count` units, drawn with repetition by a fixed seed: the same numbers always give the same interval. `figure`
 * gets the drawn units' numbers. For a difference of two figures, let it take both of the same units.
 */
export function bootstrapInterval(count: number, figure: (units: Uint32Array) => number, seed = 1): Interval {
    if (count < 2) return [-Infinity, Infinity]; // one says nothing about others
    const random = mulberry32(seed);
    const units = new Uint32Array(count);
    const figures = Float64Array.from({ length: resamples }, () => {
        for (let i = 0; i < count; i++) units[i] = Math.floor(random() * count);
        return figure(units);
    }).sort();
    return [figures[Math.floor(0.025 * resamples)] as number, figures[Math.ceil(0.975 * resamples) - 1] as number];
}

/** The mean of `values` over units. */
export function meanOver(values: ArrayLike<number>): (units: Uint32Array) => number {
    return (units) => {
        let sum = 0;
        for (const unit of units) sum += values[unit] as number;
        return sum / units.length;
    };
}

/** Tokens of a text that count as one measurement: those that stand together are not independent. */
export const blockTokens = 50;

/**
 * The interval of a function of the values' mean, by resampling blocks of so many. The last block takes what is left, so that blocks differ in length: means
 * weigh them by it.
 */
export function blockInterval(values: Float64Array, length: number, figure: (mean: number) => number): Interval {
    const blocks = Math.max(1, Math.floor(values.length / length));
    const sums = new Float64Array(blocks);
    const counts = new Float64Array(blocks);
    values.forEach((value, i) => {
        const block = Math.min(blocks - 1, Math.floor(i / length));
        sums[block]! += value;
        counts[block]!++;
    });
    return bootstrapInterval(blocks, (units) => {
        let [sum, count] = [0, 0];
        for (const unit of units) {
            sum += sums[unit] as number;
            count += counts[unit] as number;
        }
        return figure(sum / count);
    });
}
