/** Values side by side, with their intervals and their gains over what they are held against. */
import type { Estimate, Interval } from "../evaluation/bootstrap.js";
import type { Axis, Section, Table } from "./description.js";
import { written, writtenInterval, type Unit } from "./units.js";

/** One of those that are compared. */
export interface Compared extends Estimate {
    name: string;
    isOwn: boolean;
    /** Over what it is held against; undefined for that itself. */
    gain: Estimate | undefined;
    /** More columns of the table. */
    more?: string[];
}

/** Values with their intervals, and in a section of their own the paired differences. */
export function comparison(
    measure: Axis & { better: "more" | "less" },
    difference: { title: string; heading: string; axis: Axis; explanation: string },
    rows: readonly Compared[],
    more: readonly string[] = [],
): Section[] {
    const interval = (given: Estimate | undefined, unit: Unit) => (given && writtenInterval(given.interval, unit)) ?? "";
    const name = capitalised(measure.title);
    const directed = (axis: Axis): Axis => ({ ...axis, title: `${axis.title}; ${measure.better} is better` });
    const table: Table = {
        kind: "table",
        title: `${name} and other figures`,
        head: ["", measure.title, "95% interval", difference.title, "95% interval", ...more],
        rows: rows.map((row) => [
            row.name,
            written(row.value, measure.unit),
            interval(row, measure.unit),
            row.gain === undefined ? "" : written(row.gain.value, difference.axis.unit),
            interval(row.gain, difference.axis.unit),
            ...(row.more ?? []),
        ]),
    };
    const gains = rows.flatMap(({ name, gain, isOwn }) => (gain === undefined ? [] : [{ name, isOwn, ...gain }]));
    return [
        {
            title: name,
            parts: [{ kind: "dots", title: `${name}, with 95% intervals`, axis: directed(measure), rows: [...rows] }, table],
        },
        {
            title: difference.heading,
            parts: [
                { kind: "text", text: difference.explanation },
                {
                    kind: "dots",
                    title: `${difference.heading}, with 95% intervals`,
                    axis: directed(difference.axis),
                    rows: gains,
                    aboutZero: true,
                },
            ],
        },
    ];
}

/** better: 1 where more is better, -1 where less is. */
export function verdict({ value, interval }: Estimate, unit: Unit, against: string, better: 1 | -1): string {
    const [worst, best] = better === 1 ? interval : [-interval[1], -interval[0]];
    const size = `Against ${against} that is ${written(value, unit)}${unit === "points" ? " points" : ""}${bracketed(interval, unit)}`;
    return `${size}: ${worst > 0 ? "better, beyond noise" : best < 0 ? "worse, beyond noise" : "within noise"}.`;
}

export function bracketed(interval: Interval, unit: Unit): string {
    const range = writtenInterval(interval, unit);
    return range === undefined ? "" : ` (95% interval: ${range})`;
}

const capitalised = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
