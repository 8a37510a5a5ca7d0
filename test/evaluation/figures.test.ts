/** Figures that are more than one number. */
import { describe, expect, it } from "vitest";

import { courseOf } from "../../lib/evaluation/text.js";

describe("the course of a text", () => {
    const logs = (count: number, of: (i: number) => number) => Float64Array.from({ length: count }, (_, i) => of(i));

    it("is each stretch's perplexities, of blocks of 50 tokens, the last with what is left", () => {
        const course = courseOf(logs(230, () => -Math.LN2), logs(230, (i) => -Math.log(i < 150 ? 4 : 8))); // prettier-ignore
        expect(course.map(({ from, to }) => [from, to])).toEqual([[0, 50], [50, 100], [100, 150], [150, 230]]); // prettier-ignore
        expect(course.map(({ model }) => model)).toEqual(new Array(4).fill(expect.closeTo(2, 12)));
        expect(course.map(({ rtd }) => rtd)).toEqual([4, 4, 4, 8].map((value) => expect.closeTo(value, 12) as number));
    });

    it("has 40 stretches at most, and one of a text that is shorter than a block", () => {
        const sizes = (count: number) => courseOf(logs(count, () => -1), logs(count, () => -1)).map(({ from, to }) => to - from); // prettier-ignore
        expect(sizes(5000)).toEqual([...new Array<number>(32).fill(150), 200]);
        expect(sizes(2000)).toEqual(new Array(40).fill(50));
        expect(sizes(7)).toEqual([7]);
    });
});
