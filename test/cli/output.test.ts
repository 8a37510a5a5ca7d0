import { describe, expect, it, vi } from "vitest";

import { number, unescape, wholeNumber } from "../../lib/cli/options.js";
import { milliseconds, percent, properties, table } from "../../lib/cli/output.js";
import { duration, progressLine, progressText } from "../../lib/cli/progress.js";
import { bytes } from "../../lib/report/units.js";

describe("progress", () => {
    it("says how far, how fast and how long still", () => {
        expect(progressText({ done: 12_000, total: 105_000, unit: "tokens" }, 2_000, 10)).toBe(
            "12,000 of 105,000 tokens, 200 tokens/s, 7 min 45 s left",
        );
        expect(progressText({ done: 5, total: 10, unit: "answers" }, 5, 2)).toBe("5 of 10 answers, 2.5 answers/s, 2 s left");
        expect(progressText({ done: 5, total: 10, unit: "answers" }, 0, 0)).toBe("5 of 10 answers");
    });

    it("is a line now and then where stderr is a log, and none with --json", () => {
        const now = vi.spyOn(performance, "now").mockReturnValue(0);
        const written = vi.spyOn(process.stderr, "write").mockReturnValue(true);
        try {
            for (const silent of [false, true]) {
                const line = progressLine("building", { silent });
                for (let second = 0; second <= 40; second++) {
                    now.mockReturnValue(second * 1000);
                    line.update({ done: second, total: 80, unit: "examples" });
                }
                line.stop();
            }
            expect(written.mock.calls.map(([text]) => text)).toEqual([
                "building: 15 of 80 examples, 1.0 examples/s, 1 min 05 s left\n",
                "building: 30 of 80 examples, 1.0 examples/s, 50 s left\n",
            ]);
        } finally {
            vi.restoreAllMocks();
        }
    });

    it("writes times as people do", () => {
        expect([0.4, 59.6, 61, 3599, 3660, 36_000].map(duration)).toEqual([
            "0 s",
            "1 min 00 s",
            "1 min 01 s",
            "59 min 59 s",
            "1 h 01 min",
            "10 h 00 min",
        ]);
    });
});

describe("output", () => {
    it("lines columns up", () => {
        expect(table(["", "accuracy"], [["model", "50.5%"], ["rtd", "84.7%"]])).toBe("        accuracy\n-----   --------\nmodel   50.5%\nrtd     84.7%"); // prettier-ignore
        expect(table(["a", "bb"], [["ccc", "d"]], { markdown: true })).toBe("| a   | bb |\n|-----|----|\n| ccc | d  |");
    });

    it("leaves out properties that are not known", () => {
        expect(properties({ a: 1, bcd: undefined, ef: "x" })).toBe("a    1\nef   x");
    });

    it("gives times and sizes in units that suit them", () => {
        expect([27.94e-6, 0.5, 1.254, 999, 1174].map(milliseconds)).toEqual(["27.9 ns", "500 µs", "1.25 ms", "999 ms", "1.17 s"]);
        expect([2304, 4.553e6, 3.7e9].map(bytes)).toEqual(["2.30 kB", "4.55 MB", "3.70 GB"]);
    });

    it("rounds shares to tenths of a percent", () => {
        expect(percent(0.8466)).toBe("84.7%");
    });
});

describe("options", () => {
    it("are whole numbers within bounds", () => {
        const parse = wholeNumber(1, 2048);
        expect(parse("16")).toBe(16);
        for (const bad of ["0", "2049", "1.5", "-1", "", "x", "1e3"])
            expect(() => parse(bad)).toThrow(/Expected a whole number from 1 to 2048/);
        expect(() => wholeNumber(0)("-1")).toThrow(/not below 0/);
    });

    it("are numbers within bounds", () => {
        expect(number(0, 1)("0.25")).toBe(0.25);
        for (const bad of ["1.1", "-0.1", "", "NaN", "x"])
            expect(() => number(0, 1)(bad)).toThrow(/Expected a number from 0 to 1/);
        expect(() => number(Number.MIN_VALUE)("0")).toThrow(/above 0/);
    });

    it("may have line feeds written as two characters", () => {
        expect(unescape("a\\nb\\tc")).toBe("a\nb\tc");
    });
});
