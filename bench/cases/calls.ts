/** What a call into the addon costs before it does anything: by benny, over and over, since it is microseconds. */
import { createIndex } from "../../lib/index.js";
import { native } from "../../lib/native.js";
import { hot } from "../engine.js";
import type { Setting } from "../figures.js";
import { isMissing } from "../peers/peer.js";
import type { Workbench } from "../workbench.js";
import { WrongAnswer } from "./check.js";

export async function callFigures(bench: Workbench, seconds: number): Promise<void> {
    const dim = 8;
    using index = createIndex({ dim, threads: 1 });
    index.add(
        Float32Array.from({ length: 2 * dim }, (_, i) => i),
        Int32Array.of(1, 2),
    );
    const query = new Float32Array(dim).fill(1);
    const options = { k: 1 };
    const addon = native();
    const search = () => index.searchSync(query, options);
    const searchLater = () => index.search(query, options);
    for (const { tokens } of [search(), await searchLater()])
        if (tokens[0] !== 1) throw new WrongAnswer(`token ${tokens[0]} is the nearest of two, not 1`);
    const setting: Setting = {
        set: "2 keys",
        n: 2,
        d: dim,
        metric: "l2",
        dtype: "f32",
        heads: 1,
        k: 1,
        batch: 1,
        backend: null,
        threads: 1,
    };
    const calls = [
        { way: "empty call", call: () => addon.cancel(0) },
        { way: "call with a typed array", call: search },
        { way: "asynchronous call", call: searchLater },
    ];
    for (const { way, call } of calls) {
        bench.signal.throwIfAborted();
        const times = await hot(way, call, seconds);
        if (isMissing(times)) return void bench.missing.push(times);
        const check = way === "empty call" ? "nothing to check" : "its hit";
        bench.add({ group: "calls", way, version: bench.version, setting, times, check });
    }
}
