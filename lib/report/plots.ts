/**
 * The plots of reports, as SVG inside the page. A general plotting library was weighed for this: Vega and Vega-Lite, which the benchmarks use where a user has
 * them, are more than all the rest of node-rtd, and everybody who installs it would get them for four plain kinds of plot. Written here they also fit any
 * screen: along x everything lies at a percentage of the width, so that a plot is as wide as its place while its text and its dots keep their size.
 *
 * Colours come from the page's style, by class.
 */
import type { CalibrationBin } from "../evaluation/metrics.js";
import type { Axis, DotPlot, HeatMap, LinePlot, ReliabilityPlot, Table } from "./description.js";
import { placeLabels } from "./labels.js";
import { element, type Child, type Markup } from "./markup.js";
import { linearScale, logarithmicScale, type Scale } from "./scale.js";
import { counted, decimalsOf, withInterval, written, writtenExactly, writtenInterval } from "./units.js";

/** Heights in pixels. */
const rowHeight = 46;
const lineHeight = 18;
const plotHeight = 240;
const panelHeight = 180;

export function dotPlot({ title, axis, rows, aboutZero = false }: DotPlot): Markup {
    const ends = rows.flatMap(({ value, interval }) => [value, ...interval]);
    const scale = linearScale(aboutZero ? [0, ...ends] : ends, axis.within);
    const bottom = rows.length * rowHeight;
    const drawn = rows.map(({ name, value, interval, isOwn }, i) => {
        const y = i * rowHeight + 32;
        const range = writtenInterval(interval, axis.unit);
        return element(
            "g",
            { class: kind(isOwn) },
            element("text", { x: 0, y: y - 14, class: "name" }, name),
            element(
                "text",
                { x: "100%", y: y - 14, class: "value" },
                written(value, axis.unit),
                range === undefined ? undefined : element("tspan", { class: "range" }, ` (${range})`),
            ),
            range === undefined ? undefined : line(scale.at(interval[0]), y, scale.at(interval[1]), y, "interval"),
            dot([scale.at(value), y], 6),
        );
    });
    const said = rows.map(({ name, value, interval }) => `${name} ${withInterval(value, interval, axis.unit)}`);
    return figure(title, [
        element("p", { class: "axis-title" }, axis.title),
        drawing(`${title}. ${axis.title}: ${said.join("; ")}.`, bottom + lineHeight + 6, [
            gridAlongX(scale, axis, bottom),
            aboutZero ? line(scale.at(0), 0, scale.at(0), bottom, "zero") : undefined,
            drawn,
        ]),
    ]);
}

export function linePlot({ title, x, y, series, marks, aboutZero = false }: LinePlot): Markup {
    const points = [...series.flatMap(({ points }) => points), ...marks.map(({ x, y }): [number, number] => [x, y])];
    const xs = points.map(([x]) => x);
    const ys = points.map(([, y]) => y);
    const along = x.logarithmic === true ? logarithmicScale(xs) : linearScale(xs, x.within);
    const up = linearScale(aboutZero ? [0, ...ys] : ys, y.within);
    const top = (value: number) => pixels(plotHeight * (1 - up.at(value)));
    const place = ([x, y]: readonly [number, number]): [number, number] => [along.at(x), top(y)];
    const decimals = decimalsOf(up.step, y.unit);
    const drawn = series.map(({ points, isOwn, areDots = false }) => ({ isOwn, areDots, points: points.map(place) }));
    const scattered = drawn.flatMap(({ areDots, points }) => (areDots ? points : []));
    const curves = drawn.flatMap(({ areDots, points }) => (areDots ? [] : [points]));
    const dots = marks.map(({ x, y }) => place([x, y]));
    // The title says what the plot's own curve is; names of its points are enough.
    const named = series.length === 1 ? [] : series.filter(({ isOwn }) => !isOwn || marks.length === 0);
    const labels = [
        ...marks.map(({ name, x, y }) => ({ name, x: along.at(x), y: top(y), isOwn: true })),
        ...named.flatMap(({ name, points, isOwn }) =>
            points.slice(-1).map(([x, y]) => ({ name, x: along.at(x), y: top(y), isOwn })),
        ),
    ];
    const placed = placeLabels(labels, [...dots, ...scattered], curves, plotHeight);
    const grid = up.ticks.map((tick) => [
        line(0, top(tick), 1, top(tick), aboutZero && tick === 0 ? "zero" : "grid"),
        element("text", { x: 0, dx: -8, y: top(tick) + 4, class: "axis end" }, written(tick, y.unit, decimals)),
    ]);
    const said = [
        ...marks.map(({ name, x: at, y: value }) => `${name}: ${written(value, y.unit)} at ${writtenExactly(at)}`),
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
                drawn.map(({ isOwn, areDots, points }) =>
                    element("g", { class: kind(isOwn) }, areDots ? points.map((point) => dot(point, 3.5)) : curve(points)),
                ),
                dots.map((point) => dot(point, 6)),
                placed.map(({ name, x, base, aside, anchor, isOwn }) =>
                    element(
                        "text",
                        { x: percentage(x), dx: aside || undefined, y: base, class: `label ${anchor} ${kind(isOwn)}` },
                        name,
                    ),
                ),
                element("text", { x: "50%", y: plotHeight + 2 * lineHeight, class: "axis middle" }, x.title),
            ]),
        ),
        numbers({
            title,
            head: [x.title, ...series.map(({ name }) => name)],
            rows: [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))]
                .sort((a, b) => a - b)
                .map((at) => [
                    writtenExactly(at),
                    ...series.map(({ points }) =>
                        points
                            .filter(([x]) => x === at)
                            .map(([, value]) => written(value, y.unit))
                            .join(),
                    ),
                ]),
        }),
    ]);
}

const dot = ([x, y]: readonly [number, number], r: number): Markup =>
    element("circle", { cx: percentage(x), cy: y, r, class: "dot" });

const curve = (points: readonly [number, number][]): Markup[] =>
    points.slice(1).map(([x, y], i) => {
        const [fromX, fromY] = points[i] as [number, number];
        return line(fromX, fromY, x, y, "curve");
    });

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
                [0, 0.5, 1].map((share) => [
                    line(0, top(share), 1, top(share), "grid"),
                    line(share, 0, share, panelHeight, "grid"),
                    element("text", { x: 0, dx: -8, y: top(share) + 4, class: "axis end" }, written(share, "share", 0)),
                ]),
                element("text", { x: 0, y: panelHeight + lineHeight, class: "axis start" }, written(0, "share", 0)),
                element("text", { x: "100%", y: panelHeight + lineHeight, class: "axis end" }, written(1, "share", 0)),
                line(0, top(0), 1, top(1), "zero"),
                bins.map(({ confidence, accuracy, count }) => [
                    line(confidence, top(confidence), confidence, top(accuracy), "interval"),
                    dot([confidence, top(accuracy)], pixels(Math.max(2, 10 * Math.sqrt(count / most)))),
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
    return scrolling(title, element("table", { class: "heat" }, element("thead", {}, head), element("tbody", {}, body)));
}

export function plainTable({ title, head, rows }: Omit<Table, "kind">): Markup {
    return scrolling(
        title,
        element(
            "table",
            {},
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

const kind = (isOwn: boolean): string => (isOwn ? "own" : "other");

/** Wide content in a box of its own, which can be scrolled by keys, too. */
const scrolling = (title: string, table: Markup): Markup =>
    element(
        "figure",
        {},
        element("figcaption", {}, title),
        element("div", { class: "scroll", role: "region", "aria-label": title, tabindex: 0 }, table),
    );

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

function rangeOf(points: readonly [number, number][], { unit }: Axis): string {
    const ys = points.map(([, y]) => y);
    return `${written(Math.min(...ys), unit)} to ${written(Math.max(...ys), unit)}`;
}
