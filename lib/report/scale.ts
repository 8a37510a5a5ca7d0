/** Axes: where values lie on them, and which are written beside them. */

export interface Scale {
    ticks: number[];
    /** Between ticks; of a logarithmic scale, the smallest tick. */
    step: number;
    /** 0 at the axis's beginning, 1 at its end. */
    at(value: number): number;
}

const mostSteps = 5;

/** From a round number below all values to one above them, as far as `within` lets it; in steps of 1, 2 or 5 times a power of ten. */
export function linearScale(values: readonly number[], within: readonly [number, number] = [-Infinity, Infinity]): Scale {
    const finite = values.filter(Number.isFinite);
    let [low, high] = finite.length === 0 ? [0, 0] : [Math.min(...finite), Math.max(...finite)];
    if (low === high) {
        const margin = 0.05 * Math.abs(low) || 0.05;
        [low, high] = [Math.max(within[0], low - margin), Math.min(within[1], high + margin)];
    }
    const step = roundStep((high - low) / mostSteps);
    const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
    const inside = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
    const ticks = inside.filter((tick) => tick >= within[0] && tick <= within[1]);
    const [begin, end] = [Math.max(within[0], first * step), Math.min(within[1], last * step)];
    return { ticks, step, at: (value) => (value - begin) / (end - begin) };
}

/** The smallest of 1, 2, 5 times a power of ten that is not below `least`. */
function roundStep(least: number): number {
    const power = 10 ** Math.floor(Math.log10(least));
    const times = [1, 2, 5, 10].find((times) => times * power >= least * (1 - 1e-9)) as number;
    return Number((times * power).toPrecision(12));
}

const mostPowers = 6;

/** Powers of 2, or every so many of them. Values are above 0. */
export function logarithmicScale(values: readonly number[]): Scale {
    const [low, high] = [Math.floor(Math.log2(Math.min(...values))), Math.ceil(Math.log2(Math.max(...values)))];
    const span = Math.max(1, high - low);
    const stride = Math.ceil(span / mostPowers);
    const ticks = Array.from({ length: Math.floor(span / stride) + 1 }, (_, i) => 2 ** (low + i * stride));
    return { ticks, step: ticks[0] as number, at: (value) => (Math.log2(value) - low) / span };
}
