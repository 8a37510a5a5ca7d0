/**
 * A run against an earlier one. A figure counts as slower where its median has grown by more than the noise of the two runs: both middle halves, as shares of
 * their medians, added as independent errors are; 5% at least, by which medians of quiet runs differ too. Peers, whose code is the same, are the measure of
 * the machine, where there are three or more of their figures: their median change is taken out first, and what nine of ten of them have changed by beside it
 * is noise too.
 */
import { readFile } from "node:fs/promises";

import { RtdError } from "../lib/errors.js";
import { milliseconds, table } from "../lib/cli/output.js";
import type { Figure, Machine, Results } from "./figures.js";
import { median, quantile } from "./statistics.js";

const leastNoise = 0.05;
const leastPeers = 3;

export interface Change {
    name: string;
    before: number;
    now: number;
    /** now / before, less what all peers' times have changed by. */
    ratio: number;
    /** How far from 1 that is by chance. */
    noise: number;
}

export interface Comparison {
    slower: Change[];
    faster: Change[];
    /** Figures that are within the noise. */
    same: number;
    /** By what peers' times have changed, 1 where there are too few to say. */
    machine: number;
    onlyBefore: string[];
    onlyNow: string[];
}

/** @throws RtdError for a file that is no results.json of this version */
export async function readResults(path: string): Promise<Results> {
    const bad = (reason: string, cause?: unknown) =>
        new RtdError("ERR_RTD_BAD_FORMAT", `${path}: ${reason}; give a results.json that this version of the suite wrote`, {
            cause,
        });
    let results: Partial<Results>;
    try {
        results = JSON.parse(await readFile(path, "utf8")) as Partial<Results>;
    } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "ENOENT")
            throw new RtdError("ERR_RTD_NOT_FOUND", `${path}: no such file; give the results.json of an earlier run`, { cause });
        throw bad(`cannot be read (${(cause as Error).message})`, cause);
    }
    if (results.format !== "node-rtd-bench" || results.version !== 1 || !Array.isArray(results.figures))
        throw bad("not the results of a run");
    return results as Results;
}

/** What makes times of two runs incomparable, in words; undefined where nothing does. */
export function difference(
    before: Pick<Results, "machine" | "options">,
    now: { machine: Omit<Machine, "bandwidth">; quick: boolean },
): string | undefined {
    for (const what of ["cpu", "cores", "platform"] as const)
        if (before.machine[what] !== now.machine[what])
            return `another machine: its ${what} is ${before.machine[what]}, here ${now.machine[what]}`;
    if (before.options.quick !== now.quick)
        return `other options: it was made ${before.options.quick ? "with" : "without"} --quick`;
    return undefined;
}

export function compareResults(before: Results, now: Results): Comparison {
    const old = new Map(before.figures.map((figure) => [figure.name, figure]));
    const pairs = now.figures.flatMap((figure) => {
        const earlier = old.get(figure.name);
        const isSameWork = earlier?.backend === figure.backend && earlier.d === figure.d;
        return earlier === undefined || !isSameWork ? [] : [[earlier, figure] as const];
    });
    const isOwn = ({ version }: Figure) => version.startsWith("node-rtd ");
    const peers = pairs.filter(([a, b]) => !isOwn(b) && a.version === b.version).map(([a, b]) => b.median / a.median);
    const machine = peers.length >= leastPeers ? median(peers) : 1;
    const drift = peers.length >= leastPeers ? quantile(peers.map((ratio) => Math.abs(ratio / machine - 1)), 0.9) : 0; // prettier-ignore
    const changes = pairs
        .filter(([, b]) => isOwn(b))
        .map(([a, b]) => ({
            name: b.name,
            before: a.median,
            now: b.median,
            ratio: b.median / a.median / machine,
            noise: Math.max(leastNoise, drift, Math.hypot(width(a), width(b))),
        }));
    const slower = changes.filter(({ ratio, noise }) => ratio > 1 + noise).sort((a, b) => b.ratio - a.ratio);
    const faster = changes.filter(({ ratio, noise }) => 1 / ratio > 1 + noise).sort((a, b) => a.ratio - b.ratio);
    if (changes.length === 0)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            "the earlier run and this one have no figure in common: give the same datastore, files and filter, or one that has more",
        );
    const names = new Set(now.figures.map(({ name }) => name));
    return {
        slower,
        faster,
        same: changes.length - slower.length - faster.length,
        machine,
        onlyBefore: before.figures.filter(({ name }) => !names.has(name)).map(({ name }) => name),
        onlyNow: now.figures.filter(({ name }) => !old.has(name)).map(({ name }) => name),
    };
}

const width = ({ median, quartiles: [low, high] }: Figure): number => (high - low) / median;

export function describeComparison(comparison: Comparison): string {
    const { slower, faster, same, machine, onlyBefore, onlyNow } = comparison;
    const list = (title: string, changes: readonly Change[]) =>
        changes.length === 0
            ? []
            : [
                  `${title}\n${table(
                      ["figure", "before", "now", "now / before", "noise"],
                      changes.map(({ name, before, now, ratio, noise }) => [
                          name,
                          milliseconds(before),
                          milliseconds(now),
                          ratio.toFixed(2),
                          noise.toFixed(2),
                      ]),
                  )}`,
              ];
    const unmatched = (title: string, names: readonly string[]) => (names.length === 0 ? [] : [`${title}: ${names.join("; ")}`]);
    return [
        `${slower.length} figures slower beyond the noise, ${faster.length} faster, ${same} as before`,
        ...(machine === 1 ? [] : [`peers took ${machine.toFixed(2)} of their time then, which is taken out of "now / before"`]),
        ...list("Slower:", slower),
        ...list("Faster:", faster),
        ...unmatched("Only in the earlier run", onlyBefore),
        ...unmatched("Only in this run", onlyNow),
    ].join("\n\n");
}
