import { expect } from "vitest";

import type { Figure } from "../../bench/figures.js";

/** What every figure comes with. */
export function expectWhole(figure: Figure): void {
    for (const number of [figure.median, ...figure.quartiles, figure.bandwidth, figure.repeats, figure.threads])
        expect(number, figure.name).toBeGreaterThan(0);
    const [low, high] = figure.quartiles;
    expect(low <= figure.median && figure.median <= high).toBe(true);
    expect(figure.version).not.toBe("");
    expect(figure.check).not.toBe("");
    expect(figure.bandwidthShare === null).toBe(figure.bytes === null);
    if (figure.bytes !== null)
        expect(figure.bandwidthShare).toBeCloseTo(figure.bytes / (figure.median / 1000) / (figure.bandwidth * 1e9), 9);
    expect(figure).toHaveProperty("survivors");
}
