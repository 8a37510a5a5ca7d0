import { describe, expect, it } from "vitest";

import { instructionsOf } from "../../bench/instructions/callgrind.js";
import { compareCounts } from "../../bench/instructions/compare.js";

// A function of the program, which calls one of the C library, and is called by one of the program's again.
const profile = `# callgrind format
version: 1
events: Ir
summary: 1000

ob=(1) /usr/lib/libc.so.6
fl=(1) memcpy.S
fn=(1) memcpy
10 500
+1 40

ob=(2) /build/bench/hot_loops
fl=(2) hot_loops.cpp
fn=(2) counted
28 7
cob=(1)
cfn=(1)
calls=3 10
* 540
-2 20
fn=(3) loop
* 100
cfn=(2)
calls=1 28
30 567
+3 1

ob=(1)
fn=(1)
12 60
`;

it("adds up what the program's own functions execute themselves", () => {
    expect(instructionsOf(profile, "hot_loops")).toBe(7 + 20 + 100 + 1);
    expect(instructionsOf(profile, "libc.so.6")).toBe(500 + 40 + 60);
    expect(instructionsOf(profile, "loops")).toBe(0);
});

describe("a baseline", () => {
    const baseline = { compiler: "GCC 12.2, x86-64", instructions: { a: 100_000, b: 5_000 } };
    const compare = (instructions: Record<string, number>) => compareCounts(baseline, { ...baseline, instructions });

    it("holds where counts are as they were, but for a few", () => {
        expect(compare({ a: 100_050, b: 5_000 })).toMatchObject({ passed: 2, failed: 0 });
    });

    it("fails for more, for fewer, and for loops that are new or gone, and says how to accept that", () => {
        const { lines, passed, failed } = compare({ a: 101_000, c: 1 });
        expect([passed, failed]).toEqual([0, 3]);
        expect(lines.join("\n")).toMatch(/a +100,000 +101,000 +\+1\.00% +CHANGED/);
        expect(lines.join("\n")).toMatch(/b +5,000 +- +gone +CHANGED/);
        expect(lines.join("\n")).toMatch(/accept it: .*--accept, and commit bench\/instructions\/baseline\.json/);
        expect(compare({ a: 99_800, b: 5_000 }).failed).toBe(1);
    });
});
