import { describe, expect, it } from "vitest";

import type { Report } from "../../lib/report/description.js";
import { htmlOf } from "../../lib/report/page.js";
import { style } from "../../lib/report/style.js";
import { all, cellsOf, everyNode, parse, textOf } from "./parse.js";

const hostile = `<script>alert("1")</script>' onload='x' & &amp; ]]> \u0000\u001b \ud800 {--x:url(http://example.com)}`;
const shown = hostile.replaceAll(/[\u0000\u001b\ud800]/g, "\ufffd");
const axis = { title: hostile, unit: "share" } as const;

/** Each kind of part, with hostile text wherever text can be. */
const report: Report = {
    title: hostile,
    summary: [hostile],
    sections: [
        {
            title: hostile,
            parts: [
                { kind: "text", text: hostile },
                { kind: "facts", facts: [[hostile, hostile], ["left out", undefined]] }, // prettier-ignore
                { kind: "table", title: hostile, head: ["", hostile], rows: [[hostile, hostile]] },
                { kind: "dots", title: hostile, axis, rows: [{ name: hostile, value: 0.5, interval: [0.4, 0.6], isOwn: true }] },
                {
                    kind: "lines",
                    title: hostile,
                    x: axis,
                    y: axis,
                    series: [
                        { name: hostile, points: [[0, 0], [1, 1]], isOwn: true }, // prettier-ignore
                        { name: hostile, points: [[0, 1], [1, 0]], isOwn: false, areDots: true }, // prettier-ignore
                    ],
                    marks: [{ name: hostile, x: 0, y: 0 }],
                },
                { kind: "heat", title: hostile, names: [hostile, "b"], counts: [[4, 1], [0, 0]] }, // prettier-ignore
                {
                    kind: "reliability",
                    title: hostile,
                    panels: [{ name: hostile, note: hostile, bins: [{ confidence: 0.9, accuracy: 0.5, count: 4 }] }],
                },
            ],
        },
    ],
};
const html = htmlOf(report);
const page = parse(html);

describe("a page", () => {
    it("shows text from data as text, wherever it stands", () => {
        expect(all(page, "script")).toEqual([]);
        for (const name of ["title", "h1", "h2", "p", "dt", "dd", "th", "td", "figcaption", "text", "summary", "strong"])
            expect(all(page, name).length).toBeGreaterThan(0);
        for (const name of ["title", "h1", "h2", "dt", "dd", "strong"]) expect(textOf(all(page, name)[0]!)).toBe(shown);
        expect(all(page, "text").filter((node) => textOf(node) === shown).length).toBeGreaterThanOrEqual(4); // a row, an axis, a mark and a series
        expect(all(page, "svg").every(({ attributes }) => attributes["aria-label"]!.includes(shown))).toBe(true);
        expect(textOf(page)).not.toContain("left out");
        const names = new Set(everyNode(page).flatMap(({ attributes }) => Object.keys(attributes)));
        expect([...names].filter((name) => name.startsWith("on") || ["href", "src", "srcset"].includes(name))).toEqual([]);
    });

    it("needs nothing from elsewhere", () => {
        expect(style).not.toMatch(/url|@import|@font-face|https?:/);
        expect(html.replaceAll(hostile.slice(-25, -1), "")).not.toMatch(/(src|href|xlink|data)=/);
        for (const { attributes } of everyNode(page)) expect(attributes["style"] ?? "--share:0").toMatch(/^--share:[\d.]+$/);
        expect(all(page, "meta").map(({ attributes }) => attributes["content"])).toContainEqual(
            expect.stringContaining("default-src 'none'"),
        );
        for (const name of ["link", "img", "iframe", "object", "use", "image", "foreignObject"])
            expect(all(page, name)).toEqual([]);
    });

    it("can be read by a screen reader and on a phone", () => {
        expect(all(page, "html")[0]!.attributes["lang"]).toBe("en");
        expect(all(page, "meta").map(({ attributes }) => attributes["name"])).toContain("viewport");
        expect(all(page, "h1")).toHaveLength(1);
        for (const svg of all(page, "svg")) expect(svg.attributes).toMatchObject({ role: "img", width: "100%" });
        for (const figure of all(page, "figure")) expect(all(figure, "figcaption").length).toBeGreaterThanOrEqual(1);
        for (const table of all(page, "table")) {
            expect(all(table, "th").every(({ attributes }) => ["row", "col"].includes(attributes["scope"]!))).toBe(true);
            expect(cellsOf(table).every((row, _, rows) => row.length === rows[0]!.length)).toBe(true);
        }
        const boxes = everyNode(page).filter(({ attributes }) => attributes["class"] === "scroll");
        expect(boxes.flatMap((box) => all(box, "table"))).toHaveLength(all(page, "table").length);
        for (const { attributes } of boxes) expect(attributes).toMatchObject({ role: "region", tabindex: "0" });
        expect(style).toContain("@media (prefers-color-scheme: dark)");
    });

    it("says of each cell of a heat map what share of its row it is", () => {
        const heat = all(page, "table").find(({ attributes }) => attributes["class"] === "heat")!;
        expect(cellsOf(heat).slice(1)).toEqual([
            [shown, "4", "1"],
            ["b", "0", "0"],
        ]);
        expect(all(heat, "td").flatMap(({ attributes }) => attributes["style"] ?? [])).toEqual([
            "--share:0.800",
            "--share:0.200",
            "--share:0.000",
            "--share:0.000",
        ]);
    });
});

/** WCAG 2.2: (L1 + 0.05) / (L2 + 0.05) of relative luminances. */
function contrast(a: string, b: string): number {
    const luminance = (color: string) =>
        [1, 3, 5]
            .map((i) => parseInt(color.slice(i, i + 2), 16) / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i]!, 0);
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high! + 0.05) / (low! + 0.05);
}

describe("colours", () => {
    const [light = {}, dark = {}] = [...style.matchAll(/:root \{([^}]*)\}/g)].map(
        ([, rules]) =>
            Object.fromEntries(
                [...rules!.matchAll(/--([a-z]+): (#[0-9a-f]{6})/g)].map(([, name, color]) => [name, color]),
            ) as Record<string, string>,
    );

    it.each([
        ["light", light],
        ["dark", dark],
    ])("are told apart when it is %s", (_, { page, ground, ink, muted, other, own, heat }) => {
        for (const text of [ink, muted])
            for (const behind of [page, ground]) expect(contrast(text!, behind!)).toBeGreaterThanOrEqual(4.5);
        expect(contrast(ink!, heat!)).toBeGreaterThanOrEqual(4.5); // the darkest cell; all others lie between it and the ground
        for (const mark of [other, own]) expect(contrast(mark!, ground!)).toBeGreaterThanOrEqual(3);
    });
});
