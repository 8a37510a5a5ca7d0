/** Intervals by resampling what was measured (Efron 1979): how far a figure may lie off by the luck of which examples were asked. */
import { mulberry32 } from "../recipes/cut.js";

/** [low, high], 95%. */
export type Interval = [number, number];

/** A figure and its interval. */
export interface Estimate {
    value: number;
    interval: Interval;
}

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

/**
 * The interval of a function of the values' mean, by resampling units of values that belong together and are not independent. unitOf: the unit of each value,
 * numbered from 0 on. Units may differ in size: means weigh them by it.
 */
export function unitInterval(
    values: Float64Array,
    unitOf: Uint32Array,
    figure: (mean: number) => number = (mean) => mean,
): Interval {
    const count = unitOf.reduce((most, unit) => Math.max(most, unit + 1), 0);
    const sums = new Float64Array(count);
    const counts = new Float64Array(count);
    values.forEach((value, i) => {
        const unit = unitOf[i] as number;
        sums[unit]! += value;
        counts[unit]!++;
    });
    return bootstrapInterval(count, (units) => {
        let [sum, count] = [0, 0];
        for (const unit of units) {
            sum += sums[unit] as number;
            count += counts[unit] as number;
        }
        return figure(sum / count);
    });
}

/** The mean of values and its interval; see `unitInterval`. */
export function meanEstimate(values: Float64Array, unitOf: Uint32Array): Estimate {
    return { value: values.reduce((sum, value) => sum + value, 0) / values.length, interval: unitInterval(values, unitOf) };
}

/** The mean difference of values that were measured on the same rows: paired, so that what both found hard counts for neither. */
export function differenceEstimate(values: Float64Array, against: Float64Array, unitOf: Uint32Array): Estimate {
    return meanEstimate(
        values.map((value, i) => value - (against[i] as number)),
        unitOf,
    );
}

/** Units of rows that share a key, numbered as they come up. */
export function unitsOf(keys: readonly unknown[]): Uint32Array {
    const numbers = new Map<unknown, number>();
    return Uint32Array.from(keys, (key) => {
        if (!numbers.has(key)) numbers.set(key, numbers.size);
        return numbers.get(key) as number;
    });
}

/** Tokens of a text that count as one measurement: those that stand together are not independent. */
export const blockTokens = 50;

/** The interval of a function of the values' mean, by resampling blocks of so many; the last block takes what is left. */
export function blockInterval(values: Float64Array, length: number, figure: (mean: number) => number): Interval {
    const last = Math.max(0, Math.floor(values.length / length) - 1);
    return unitInterval(
        values,
        Uint32Array.from(values, (_, i) => Math.min(last, Math.floor(i / length))),
        figure,
    );
}
