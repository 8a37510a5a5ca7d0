/**
 * The two ways in which anything is timed here.
 *
 * `rounds` takes several ways of doing the same work in turn, once a round and each round with other data, so that caches are as cold as between two tokens
 * of a model, and a machine that is busy for a while does not favour one of them. `hot` calls one function over and over, for calls of microseconds; that is
 * benny's, which only this file knows. Benny cannot do the first: it runs a function once untimed before it times it, on the same data.
 */
import type * as Benny from "benny";

import { optional, type Missing } from "./optional.js";

/** One run: its own milliseconds where it knows them better (another process), else the engine's. */
export interface Run<Answer> {
    answer: Answer;
    milliseconds?: number;
}

export interface Way<Answer> {
    /** Not timed: puts back what the last run changed. */
    prepare?(round: number): void | Promise<void>;
    run(round: number): Run<Answer> | Promise<Run<Answer>>;
}

export interface Effort {
    /** Rounds: at least so many, and at most; between the two, as many as begin within `seconds`. */
    least: number;
    most: number;
    seconds: number;
}

/**
 * Milliseconds of each way, a number a round. Every round's answers are checked, those of the untimed rounds at the beginning too, and what `check`
 * throws ends it all.
 */
export async function rounds<Answer>(
    ways: Readonly<Record<string, Way<Answer>>>,
    effort: Effort,
    check: (answers: Record<string, Answer>, round: number) => void,
    signal?: AbortSignal,
): Promise<Record<string, number[]>> {
    const times: Record<string, number[]> = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
    const play = async (round: number, timed: boolean) => {
        const answers: Record<string, Answer> = {};
        for (const [name, way] of Object.entries(ways)) {
            signal?.throwIfAborted();
            await way.prepare?.(round);
            const begin = performance.now();
            const result = way.run(round);
            // A call that blocks is not to wait for the event loop.
            const { answer, milliseconds } = result instanceof Promise ? await result : result;
            if (timed) times[name]!.push(milliseconds ?? performance.now() - begin);
            answers[name] = answer;
        }
        check(answers, round);
    };
    const warming = performance.now();
    await play(0, false);
    if (performance.now() - warming < 1000 * effort.seconds) await play(1, false);
    const begin = performance.now();
    for (let round = 0; round < effort.most; round++) {
        if (round >= effort.least && performance.now() - begin > 1000 * effort.seconds) break;
        await play(round + 2, true);
    }
    return times;
}

/** Milliseconds a call, a number for each of benny's samples; or what to install. */
export async function hot(name: string, call: () => unknown, seconds: number): Promise<number[] | Missing> {
    const benny = await optional<typeof Benny>("benny");
    if ("install" in benny) return benny;
    const { add, complete, configure, suite } = benny;
    const summary = await quietly(() =>
        suite(
            name,
            configure({ cases: { minSamples: 20, minTime: 0.01, maxTime: seconds } }),
            add(name, call),
            complete(() => undefined),
        ),
    );
    return summary.results[0]!.details.sampleResults.map((time) => 1000 * time);
}

/** Benny announces every suite on stdout, which is for results. */
async function quietly<T>(body: () => Promise<T>): Promise<T> {
    const log = console.log;
    console.log = () => undefined;
    try {
        return await body();
    } finally {
        console.log = log;
    }
}
