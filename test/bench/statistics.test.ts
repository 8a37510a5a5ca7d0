import { expect, it } from "vitest";

import { quantile, ratioOf, spreadOf } from "../../bench/statistics.js";

it("takes quantiles between neighbours, whatever the order", () => {
    expect([0, 0.25, 0.5, 0.75, 1].map((q) => quantile([40, 10, 20, 30], q))).toEqual([10, 17.5, 25, 32.5, 40]);
    expect(quantile([7], 0.25)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
});

it("is not moved by a few disturbed rounds", () => {
    expect(spreadOf([1, 2, 3, 4, 5])).toEqual({ median: 3, quartiles: [2, 4] });
    expect(spreadOf([1, 2, 3, 4, 5000])).toEqual({ median: 3, quartiles: [2, 4] });
});

it("takes ratios within a round: what slows both does not count", () => {
    const own = [1, 1, 10, 1, 1]; // the machine was busy in the third round
    expect(ratioOf(own.map((time) => 4 * time), own)).toEqual({ median: 4, quartiles: [4, 4] }); // prettier-ignore
});
