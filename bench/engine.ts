/**
 * The benchmark library behind one door: several ways to do the same work, timed in turn in each of several rounds. What counts is the ratio of their
 * best times within a round, and the median of it over the rounds, so that a machine that is busy does not favour one of them.
 */
import { add, complete, configure, suite } from "benny";

export interface Timing {
    /** Milliseconds of the best run of all rounds. */
    best: number;
    /** Time over that of the first way: median of the rounds. */
    ratio: number;
    /** Smallest and largest ratio of a round. */
    spread: [number, number];
}

/** The library announces every suite on stdout, which is for results. */
async function quietly<T>(body: () => Promise<T>): Promise<T> {
    const log = console.log;
    console.log = () => undefined;
    try {
        return await body();
    } finally {
        console.log = log;
    }
}

export async function race(ways: Record<string, () => unknown>, rounds: number): Promise<Map<string, Timing>> {
    const names = Object.keys(ways);
    const times = new Map<string, number[]>(names.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
        const order = round % 2 === 0 ? names : names.toReversed();
        const summary = await quietly(() =>
            suite(
                "",
                configure({ cases: { minSamples: 3, maxTime: 0.3 } }),
                ...order.map((name) => add(name, ways[name]!)),
                complete(() => undefined),
            ),
        );
        for (const { name, details } of summary.results) times.get(name)!.push(details.min * 1000);
    }
    const base = times.get(names[0]!)!;
    return new Map(
        names.map((name) => {
            const own = times.get(name)!;
            const ratios = own.map((time, round) => time / base[round]!).toSorted((a, b) => a - b);
            return [
                name,
                { best: Math.min(...own), ratio: ratios[Math.floor(ratios.length / 2)]!, spread: [ratios[0]!, ratios.at(-1)!] },
            ];
        }),
    );
}
