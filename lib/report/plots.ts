/**
 * The plots of reports, as SVG inside the page. A general plotting library was weighed for this: Vega and Vega-Lite, which the benchmarks use where a user has
 * them, are more than all the rest of node-rtd, and everybody who installs it would get them for four plain kinds of plot. Written here they also fit any
 * screen: along x everything lies at a percentage of the width, so that a plot is as wide as its place while its text and its dots keep their size.
 *
 * Colours come from the page's style, by class.
 */
import type { CalibrationBin } from "../evaluation/metrics.js";
import type { Axis, DotPlot, HeatMap, LinePlot, ReliabilityPlot, Table } from "./description.js";
import { element, type Child, type Markup } from "./markup.js";
import { linearScale, logarithmicScale, type Scale } from "./scale.js";
import { counted, decimalsOf, written, writtenInterval } from "./units.js";

/** Heights in pixels. */
const rowHeight = 46;
const lineHeight = 18;
const plotHeight = 240;
const panelHeight = 180;

export function dotPlot({ title, axis, rows, aboutZero = false }: DotPlot): Markup {
    const ends = rows.flatMap(({ value, interval }) => [value, ...interval]);
    const scale = linearScale(aboutZero ? [0, ...ends] : ends, axis.within);
    const bottom = rows.length * rowHeight;
    const lines = rows.map(({ name, value, interval, isOwn }, i) => {
        const y = i * rowHeight + 32;
        const written_ = [written(value, axis.unit), writtenInterval(interval, axis.unit)];
        const [low, high] = interval;
        return element(
            "g",
            { class: isOwn ? "own" : "other" },
            element("text", { x: 0, y: y - 14, class: "name" }, name),
            element("text", { x: "100%", y: y - 14, class: "value" }, written_.filter(Boolean).join(", ")),
            Number.isFinite(low) && Number.isFinite(high) ? line(scale.at(low), y, scale.at(high), y, "interval") : undefined,
            element("circle", { cx: percentage(scale.at(value)), cy: y, r: 6, class: "dot" }),
        );
    });
    const said = rows.map(({ name, value, interval }) => {
        const range = writtenInterval(interval, axis.unit);
        return `${name} ${written(value, axis.unit)}${range === undefined ? "" : ` (${range})`}`;
    });
    return figure(title, [
        drawing(`${title}. ${axis.title}, with 95% intervals: ${said.join("; ")}.`, bottom + 2 * lineHeight + 6, [
            gridAlongX(scale, axis, bottom),
            aboutZero ? line(scale.at(0), 0, scale.at(0), bottom, "zero") : undefined,
            lines,
            element("text", { x: "50%", y: bottom + 2 * lineHeight, class: "axis middle" }, axis.title),
        ]),
    ]);
}

export function linePlot({ title, x, y, series, marks, aboutZero = false }: LinePlot): Markup {
    const points = [...series.flatMap(({ points }) => points), ...marks.map(({ x, y }): [number, number] => [x, y])];
    const along = (x.logarithmic === true ? logarithmicScale : linearScale)(
        points.map(([x]) => x),
        x.within,
    );
    const ys = points.map(([, y]) => y);
    const up = linearScale(aboutZero ? [0, ...ys] : ys, y.within);
    const top = (value: number) => pixels(plotHeight * (1 - up.at(value)));
    const decimals = decimalsOf(up.step, y.unit);
    const lines = series.map(({ points, isOwn }) =>
        element(
            "g",
            { class: isOwn ? "own" : "other" },
            points.slice(1).map(([x, y], i) => {
                const [fromX, fromY] = points[i] as [number, number];
                return line(along.at(fromX), top(fromY), along.at(x), top(y), "curve");
            }),
        ),
    );
    const dots = marks.map(({ x, y }) => element("circle", { cx: percentage(along.at(x)), cy: top(y), r: 6, class: "dot" }));
    const labels = [
        ...series.flatMap(({ name, points, isOwn }) => {
            const [x, y] = points.at(-1) ?? [NaN, NaN];
            return points.length === 0 ? [] : [{ name, x: along.at(x), y: top(y) - 8, isOwn }];
        }),
        ...marks.map(({ name, x, y }) => ({ name, x: along.at(x), y: top(y) - 12, isOwn: true })),
    ];
    const placed = apart(labels, plotHeight).map(({ name, x, y, isOwn }) => {
        const anchor = x > 0.7 ? "end" : x < 0.3 ? "start" : "middle";
        return element("text", { x: percentage(x), y, class: `label ${anchor} ${isOwn ? "own" : "other"}` }, name);
    });
    const grid = up.ticks.map((tick) => [
        line(0, top(tick), 1, top(tick), aboutZero && tick === 0 ? "zero" : "grid"),
        element("text", { x: 0, dx: -8, y: top(tick) + 4, class: "axis end" }, written(tick, y.unit, decimals)),
    ]);
    const said = [
        ...marks.map(({ name, x: at, y: value }) => `${name}: ${written(value, y.unit)} at ${written(at, x.unit)}`),
        ...series.map(({ name, points }) => `${name}: ${points.length} points from ${rangeOf(points, y)}`),
    ];
    return figure(title, [
        element("p", { class: "axis-title" }, y.title),
        element(
            "div",
            { class: "beside-axis" },
            drawing(`${title}. ${y.title} over ${x.title}. ${said.join("; ")}.`, plotHeight + 2 * lineHeight + 6, [
                gridAlongX(along, x, plotHeight),
                grid,
                lines,
                dots,
                placed,
                element("text", { x: "50%", y: plotHeight + 2 * lineHeight, class: "axis middle" }, x.title),
            ]),
        ),
        numbers({
            title,
            head: [x.title, ...series.map(({ name }) => name)],
            rows: [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))]
                .sort((a, b) => a - b)
                .map((at) => [
                    written(at, x.unit, at % 1 === 0 ? 0 : 2),
                    ...series.map(({ points }) => {
                        const found = points.find(([x]) => x === at);
                        return found === undefined ? "" : written(found[1], y.unit);
                    }),
                ]),
        }),
    ]);
}

export function reliabilityPlot({ title, panels }: ReliabilityPlot): Markup {
    return figure(title, [
        element(
            "div",
            { class: "panels" },
            panels.map(({ name, note, bins }) => reliabilityPanel(name, note, bins)),
        ),
        numbers({
            title,
            head: ["", "confidence", "right", "answers"],
            rows: panels.flatMap(({ name, bins }) =>
                bins.map(({ confidence, accuracy, count }) => [
                    name,
                    written(confidence, "share"),
                    written(accuracy, "share"),
                    counted(count),
                ]),
            ),
        }),
    ]);
}

/** Dots lie above the diagonal where answers are better than they are sure; their areas are in proportion to the number of answers. */
function reliabilityPanel(name: string, note: string, bins: readonly CalibrationBin[]): Markup {
    const top = (share: number) => pixels(panelHeight * (1 - share));
    const most = Math.max(...bins.map(({ count }) => count));
    const ends = [0, 0.5, 1];
    const said = bins.map(
        ({ confidence, accuracy, count }) =>
            `${written(confidence, "share", 0)} sure, ${written(accuracy, "share", 0)} right of ${counted(count)}`,
    );
    return element(
        "div",
        { class: "panel" },
        element("p", { class: "panel-title" }, element("strong", {}, name), ` ${note}`),
        element(
            "div",
            { class: "beside-axis" },
            drawing(`Reliability of ${name}, ${note}: ${said.join("; ")}.`, panelHeight + 2 * lineHeight + 6, [
                ends.map((share) => [
                    line(0, top(share), 1, top(share), "grid"),
                    line(share, 0, share, panelHeight, "grid"),
                    element("text", { x: 0, dx: -8, y: top(share) + 4, class: "axis end" }, written(share, "share", 0)),
                    element(
                        "text",
                        { x: percentage(share), y: panelHeight + lineHeight, class: `axis ${anchorAt(share)}` },
                        written(share, "share", 0),
                    ),
                ]),
                line(0, top(0), 1, top(1), "zero"),
                bins.map(({ confidence, accuracy, count }) => [
                    line(confidence, top(confidence), confidence, top(accuracy), "interval"),
                    element("circle", {
                        cx: percentage(confidence),
                        cy: top(accuracy),
                        r: pixels(Math.max(2, 10 * Math.sqrt(count / most))),
                        class: "dot",
                    }),
                ]),
                element("text", { x: "50%", y: panelHeight + 2 * lineHeight, class: "axis middle" }, "confidence"),
            ]),
        ),
    );
}

/** A table whose cells are shaded, which readers and screen readers can both go through. */
export function heatMap({ title, names, counts }: HeatMap): Markup {
    const head = element(
        "tr",
        {},
        element("td", {}),
        names.map((name) => element("th", { scope: "col", title: name }, name)),
    );
    const body = counts.map((row, i) => {
        const sum = row.reduce((a, b) => a + b, 0);
        return element(
            "tr",
            {},
            element("th", { scope: "row", title: names[i] }, names[i]),
            row.map((count, j) => {
                const share = sum === 0 ? 0 : count / sum;
                const classes = [i === j && "right", count === 0 && "none"].filter(Boolean).join(" ");
                return element("td", { class: classes || undefined, style: `--share:${share.toFixed(3)}` }, counted(count));
            }),
        );
    });
    return scrolling(
        title,
        element(
            "table",
            { class: "heat" },
            element("caption", {}, title),
            element("thead", {}, head),
            element("tbody", {}, body),
        ),
    );
}

export function plainTable({ title, head, rows }: Omit<Table, "kind">): Markup {
    return scrolling(
        title,
        element(
            "table",
            {},
            element("caption", {}, title),
            element(
                "thead",
                {},
                element(
                    "tr",
                    {},
                    head.map((name) => (name === "" ? element("td", {}) : element("th", { scope: "col" }, name))),
                ),
            ),
            element(
                "tbody",
                {},
                rows.map(([name, ...cells]) =>
                    element(
                        "tr",
                        {},
                        element("th", { scope: "row" }, name),
                        cells.map((cell) => element("td", {}, cell)),
                    ),
                ),
            ),
        ),
    );
}

/** Wide content in a box of its own, which can be scrolled by keys, too. */
const scrolling = (title: string, table: Markup): Markup =>
    element("div", { class: "scroll", role: "region", "aria-label": title, tabindex: 0 }, table);

/** A plot's numbers, for those who want to read them. */
const numbers = (table: Omit<Table, "kind">): Markup =>
    element("details", {}, element("summary", {}, "The numbers"), plainTable(table));

const figure = (title: string, content: Child): Markup => element("figure", {}, element("figcaption", {}, title), content);

const drawing = (said: string, height: number, content: Child): Markup =>
    element("svg", { role: "img", "aria-label": said, width: "100%", height }, content);

function gridAlongX(scale: Scale, { unit }: Axis, bottom: number): Markup[] {
    const decimals = decimalsOf(scale.step, unit);
    return scale.ticks.flatMap((tick) => {
        const at = scale.at(tick);
        const place = { x: percentage(at), y: bottom + lineHeight, class: `axis ${anchorAt(at)}` };
        return [line(at, 0, at, bottom, "grid"), element("text", place, written(tick, unit, decimals))];
    });
}

/** Text at the ends of an axis stays inside of it. */
const anchorAt = (share: number): string => (share < 0.02 ? "start" : share > 0.98 ? "end" : "middle");

/** x from 0 to 1, y in pixels. */
const line = (x1: number, y1: number, x2: number, y2: number, kind: string): Markup =>
    element("line", { x1: percentage(x1), y1, x2: percentage(x2), y2, class: kind });

const percentage = (share: number): string => `${Number((100 * share).toFixed(2))}%`;
const pixels = (value: number): number => Number(value.toFixed(2));

/** Labels moved down as far as is needed for none to lie on another, or up where there is no room below. */
function apart<L extends { y: number }>(labels: readonly L[], bottom: number): L[] {
    const placed = [...labels].sort((a, b) => a.y - b.y).map((label) => ({ ...label, y: Math.max(label.y, 12) }));
    placed.forEach((label, i) => {
        const above = placed[i - 1];
        if (above !== undefined) label.y = Math.max(label.y, above.y + lineHeight);
    });
    for (let i = placed.length - 1, most = bottom - 4; i >= 0; i--, most -= lineHeight)
        (placed[i] as L).y = Math.min((placed[i] as L).y, most);
    return placed;
}

function rangeOf(points: readonly [number, number][], { unit }: Axis): string {
    const ys = points.map(([, y]) => y);
    return `${written(Math.min(...ys), unit)} to ${written(Math.max(...ys), unit)}`;
}
