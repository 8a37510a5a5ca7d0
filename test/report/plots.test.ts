/** Plots are read back as a reader does: ticks say what a place means, and dots and lines must lie where their values are. */
import { describe, expect, it } from "vitest";

import type { DotPlot, LinePlot } from "../../lib/report/description.js";
import { dotPlot, linePlot, reliabilityPlot } from "../../lib/report/plots.js";
import { all, cellsOf, parse, textOf, type Node } from "./parse.js";

const number = (text: string) => Number(text.replace("\u2212", "-").replace(/[+%,]/g, ""));
const hasClass = (name: string) => (node: Node) => (node.attributes["class"] ?? "").split(" ").includes(name);
const axisTexts = (svg: Node) => all(svg, "text").filter(hasClass("axis"));

/** From a place to a value, by the first and the last tick; all ticks between must agree. */
function reading(ticks: [place: number, value: number][], scale = (value: number) => value): (place: number) => number {
    const [first, last] = [ticks[0]!, ticks.at(-1)!];
    const share = (place: number) => (place - first[0]) / (last[0] - first[0]);
    const value = (place: number) => scale(first[1]) + share(place) * (scale(last[1]) - scale(first[1]));
    expect(ticks.length).toBeGreaterThan(2);
    for (const [place] of ticks) expect(share(place) * (1 - share(place))).toBeGreaterThanOrEqual(-1e-9); // between the two
    for (const [place, written] of ticks) expect(value(place)).toBeCloseTo(scale(written), 1);
    return value;
}

/** From the left to the right, from end to end. */
function alongX(svg: Node, scale?: (value: number) => number) {
    const ticks = axisTexts(svg)
        .filter(({ attributes }) => attributes["dx"] === undefined && /%$/.test(attributes["x"]!))
        .filter((node) => /\d/.test(textOf(node)))
        .map((node): [number, number] => [number(node.attributes["x"]!), number(textOf(node))]);
    expect([ticks[0]![0], ticks.at(-1)![0] <= 100]).toEqual([0, true]);
    expect(ticks.at(-1)![1]).toBeGreaterThan(ticks[0]![1]);
    return reading(ticks, scale);
}
/** From below to above. */
function alongY(svg: Node) {
    const ticks = axisTexts(svg)
        .filter(({ attributes }) => attributes["dx"] !== undefined)
        .map((node): [number, number] => [Number(node.attributes["y"]) - 4, number(textOf(node))]); // 4: from its middle to its base line
    const [lowest, highest] = [ticks[0]!, ticks.at(-1)!];
    expect([highest[0], highest[1] > lowest[1], lowest[0] < Number(svg.attributes["height"])]).toEqual([0, true, true]);
    return reading(ticks);
}
const place = (node: Node, name: string) => number(node.attributes[name]!);

describe("dots with intervals", () => {
    const plot: DotPlot = {
        kind: "dots",
        title: "Accuracy",
        axis: { title: "accuracy", unit: "share", within: [0, 1] },
        rows: [
            { name: "model", value: 0.612, interval: [0.553, 0.67], isOwn: false },
            { name: "rtd", value: 0.9, interval: [0.85, 1], isOwn: true },
            { name: "one", value: 0.7, interval: [-Infinity, Infinity], isOwn: false },
        ],
    };

    it("lie where the ticks say", () => {
        const svg = all(parse(dotPlot(plot).text), "svg")[0]!;
        const value = alongX(svg);
        const dots = all(svg, "circle").map((dot) => value(place(dot, "cx")));
        expect(dots).toEqual([expect.closeTo(61.2, 1), expect.closeTo(90, 1), expect.closeTo(70, 1)]);
        const bars = all(svg, "line").filter(hasClass("interval"));
        expect(bars.map((bar) => [value(place(bar, "x1")), value(place(bar, "x2"))])).toEqual([
            [expect.closeTo(55.3, 1), expect.closeTo(67, 1)],
            [expect.closeTo(85, 1), expect.closeTo(100, 1)],
        ]);
        const rows = all(svg, "text").filter(hasClass("name")).map(textOf);
        expect(rows).toEqual(["model", "rtd", "one"]);
        const heights = all(svg, "circle").map((dot) => Number(dot.attributes["cy"]));
        expect(heights).toEqual([...heights].sort((a, b) => a - b));
        expect(svg.attributes["aria-label"]).toContain("model 61.2% (55.3% to 67.0%); rtd 90.0% (85.0% to 100.0%); one 70.0%");
    });

    it("stand about zero, where they are differences", () => {
        const rows = [{ name: "gain", value: 0.05, interval: [0.02, 0.08] as [number, number], isOwn: true }];
        const svg = all(
            parse(dotPlot({ ...plot, axis: { title: "points", unit: "points" }, rows, aboutZero: true }).text),
            "svg",
        )[0]!;
        const zero = all(svg, "line").filter(hasClass("zero"));
        expect(zero).toHaveLength(1);
        expect(alongX(svg)(place(zero[0]!, "x1"))).toBeCloseTo(0, 6);
        expect(textOf(svg)).toContain("+5.0 (+2.0 to +8.0)");
    });

    it("have an axis where all values are the same", () => {
        for (const value of [0, 0.4, 1]) {
            const rows = [{ name: "model", value, interval: [value, value] as [number, number], isOwn: false }];
            const svg = all(parse(dotPlot({ ...plot, rows }).text), "svg")[0]!;
            expect(alongX(svg)(place(all(svg, "circle")[0]!, "cx"))).toBeCloseTo(100 * value, 2);
        }
    });
});

describe("lines", () => {
    const points: [number, number][] = [2, 4, 8, 64, 512].map((k) => [k, -4 + Math.log2(k) / 100]);
    const plot: LinePlot = {
        kind: "lines",
        title: "By k",
        x: { title: "k", unit: "count", logarithmic: true },
        y: { title: "log-probability", unit: "nats" },
        series: [
            { name: "best of each", points, isOwn: true },
            { name: "some", points: [[2, -3.98], [512, -3.97]], isOwn: false, areDots: true }, // prettier-ignore
        ],
        marks: [{ name: "kept", x: 64, y: -3.94 }],
    };
    const svg = all(parse(linePlot(plot).text), "svg")[0]!;

    it("lie where the ticks say", () => {
        const [x, y] = [alongX(svg, Math.log2), alongY(svg)];
        const curve = all(svg, "line").filter(hasClass("curve"));
        expect(curve).toHaveLength(points.length - 1);
        curve.forEach((line, i) => {
            for (const [end, [k, score]] of [
                [1, points[i]!],
                [2, points[i + 1]!],
            ] as const) {
                // prettier-ignore
                expect(x(place(line, `x${end}`))).toBeCloseTo(Math.log2(k), 2);
                expect(y(Number(line.attributes[`y${end}`]))).toBeCloseTo(score, 3);
            }
        });
        const dots = all(svg, "circle").map((dot) => [2 ** x(place(dot, "cx")), y(Number(dot.attributes["cy"]))]);
        const expected = [[2, -3.98], [512, -3.97], [64, -3.94]]; // prettier-ignore
        dots.forEach(([k, score], i) => {
            expect(k).toBeCloseTo(expected[i]![0]!, 0);
            expect(score).toBeCloseTo(expected[i]![1]!, 3);
        });
    });

    it("are named beside what they name, none over another", () => {
        const labels = all(svg, "text").filter(hasClass("label"));
        expect(labels.map(textOf).sort()).toEqual(["kept", "some"]);
        const mark = all(svg, "circle").at(-1)!;
        const kept = labels.find((label) => textOf(label) === "kept")!;
        expect(kept.attributes["x"]).toBe(mark.attributes["cx"]);
        expect(Math.abs(place(kept, "y") - place(mark, "cy"))).toBeLessThan(50);
        const crowd = Array.from({ length: 4 }, (_, i) => ({ name: `name ${i}`, x: 64, y: -3.94 }));
        const bases = all(parse(linePlot({ ...plot, marks: crowd }).text), "text")
            .filter((node) => /^name/.test(textOf(node)))
            .map((node) => place(node, "y"))
            .sort((a, b) => a - b);
        for (let i = 1; i < 4; i++) expect(bases[i]! - bases[i - 1]!).toBeGreaterThanOrEqual(17);
    });

    it("have their numbers in a table", () => {
        expect(cellsOf(all(parse(linePlot(plot).text), "table")[0]!)).toEqual([
            ["k", "best of each", "some"],
            ["2", "\u22123.9900", "\u22123.9800"],
            ["4", "\u22123.9800", ""],
            ["8", "\u22123.9700", ""],
            ["64", "\u22123.9400", ""],
            ["512", "\u22123.9100", "\u22123.9700"],
        ]);
    });
});

describe("reliability", () => {
    it("is accuracy over confidence, with dots by their number of answers", () => {
        const bins = [
            { confidence: 0.25, accuracy: 0.5, count: 25 },
            { confidence: 0.95, accuracy: 0.9, count: 100 },
        ];
        const svg = all(
            parse(reliabilityPlot({ kind: "reliability", title: "R", panels: [{ name: "rtd", note: "", bins }] }).text),
            "svg",
        )[0]!;
        const y = alongY(svg);
        const dots = all(svg, "circle");
        expect(dots.map((dot) => [place(dot, "cx"), y(Number(dot.attributes["cy"]))])).toEqual([
            [25, expect.closeTo(50, 1)],
            [95, expect.closeTo(90, 1)],
        ]);
        const [few, many] = dots.map((dot) => Number(dot.attributes["r"]) ** 2);
        expect(many! / few!).toBeCloseTo(4, 1);
        const diagonal = all(svg, "line").find(hasClass("zero"))!;
        expect([place(diagonal, "x1"), y(place(diagonal, "y1")), place(diagonal, "x2"), y(place(diagonal, "y2"))]).toEqual([
            0, 0, 100, 100,
        ]);
    });
});
