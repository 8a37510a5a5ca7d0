/** How numbers are written for people. */
import type { Interval } from "../evaluation/bootstrap.js";

/** share: of 1, in percent; change: the same with a sign; points: a difference of shares, in percentage points; nats: of logarithms; number: any other. */
export type Unit = "share" | "change" | "points" | "number" | "nats" | "count";

const percents: readonly Unit[] = ["share", "change", "points"];
const signed: readonly Unit[] = ["change", "points"];
const usualDecimals: Readonly<Record<Unit, number>> = { share: 1, change: 1, points: 1, number: 2, nats: 4, count: 0 };

export function written(value: number, unit: Unit, decimals = usualDecimals[unit]): string {
    const digits = Math.abs(scaled(value, unit)).toLocaleString("en-US", {
        minimumFractionDigits: decimals,
        maximumFractionDigits: decimals,
    });
    const isZero = !/[1-9]/.test(digits);
    const sign = value < 0 && !isZero ? "\u2212" : signed.includes(unit) && !isZero ? "+" : "";
    return `${sign}${digits}${unit === "share" || unit === "change" ? "%" : ""}`;
}

/** As many decimals as tell apart values that lie `step` from each other. */
export function decimalsOf(step: number, unit: Unit): number {
    return Math.max(0, -Math.floor(Math.log10(scaled(step, unit)) + 1e-9));
}

const scaled = (value: number, unit: Unit): number => (percents.includes(unit) ? 100 * value : value);

/** "80.1% to 84.9%"; undefined where the interval says nothing. */
export function writtenInterval([low, high]: Interval, unit: Unit): string | undefined {
    return Number.isFinite(low) && Number.isFinite(high) ? `${written(low, unit)} to ${written(high, unit)}` : undefined;
}

/** "82.5% (80.1% to 84.9%)", or the value alone. */
export function withInterval(value: number, interval: Interval, unit: Unit): string {
    const range = writtenInterval(interval, unit);
    return range === undefined ? written(value, unit) : `${written(value, unit)} (${range})`;
}

/** A setting, as it was given. */
export const writtenExactly = (value: number): string => value.toLocaleString("en-US", { maximumFractionDigits: 20 });

/** "104,999" */
export const counted = (value: number): string => value.toLocaleString("en-US");

/** "4.55 MB", in powers of 1,000 as bandwidths are. */
export function bytes(value: number): string {
    const [unit, factor] = value < 1e6 ? (["kB", 1e3] as const) : value < 1e9 ? (["MB", 1e6] as const) : (["GB", 1e9] as const);
    return `${(value / factor).toPrecision(3)} ${unit}`;
}
