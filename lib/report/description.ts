/**
 * What a report says, apart from how it looks: a title, facts, and sections of texts, tables and plots. A new kind of measurement adds sections, and needs to
 * know nothing of HTML; page.ts and plots.ts know nothing of measurements.
 */
import type { Interval } from "../evaluation/bootstrap.js";
import type { CalibrationBin } from "../evaluation/metrics.js";
import type { Unit } from "./units.js";

export interface Report {
    title: string;
    /** What is most worth knowing, in a few sentences. */
    summary: string[];
    sections: Section[];
}

export interface Section {
    title: string;
    parts: Part[];
}

export type Part = Text | Facts | Table | DotPlot | LinePlot | HeatMap | ReliabilityPlot;

export interface Text {
    kind: "text";
    text: string;
}

export interface Facts {
    kind: "facts";
    /** Name and value; what is undefined is left out. */
    facts: [name: string, value: string | undefined][];
}

export interface Table {
    kind: "table";
    title: string;
    head: string[];
    /** The first cell of a row names it. */
    rows: string[][];
}

export interface Axis {
    /** With its unit, where it has one. */
    title: string;
    unit: Unit;
    /** What values can be at all: an axis ends there. */
    within?: [low: number, high: number];
}

/** Values side by side, each with its interval. */
export interface DotPlot {
    kind: "dots";
    title: string;
    axis: Axis;
    /** A line at 0, which the axis then holds. */
    aboutZero?: boolean;
    rows: DotRow[];
}

export interface DotRow {
    name: string;
    value: number;
    /** Infinite where there is none. */
    interval: Interval;
    /** What the report is about, among what it is compared with. */
    isOwn: boolean;
}

export interface LinePlot {
    kind: "lines";
    title: string;
    /** Logarithmic: in powers of 2. */
    x: Axis & { logarithmic?: boolean };
    y: Axis;
    /** A line at y = 0, which the axis then holds. */
    aboutZero?: boolean;
    series: Series[];
    /** Points with a name of their own. */
    marks: { name: string; x: number; y: number }[];
}

export interface Series {
    name: string;
    /** In the order of x. */
    points: [x: number, y: number][];
    isOwn: boolean;
    /** Measurements apart from each other, not a curve. */
    areDots?: boolean;
}

/** Counts of rows by columns of the same names, shaded by their share of the row. */
export interface HeatMap {
    kind: "heat";
    title: string;
    names: string[];
    counts: number[][];
}

/** How often answers are right, by how sure they were: one panel for each that is compared. */
export interface ReliabilityPlot {
    kind: "reliability";
    title: string;
    panels: { name: string; note: string; bins: CalibrationBin[] }[];
}
