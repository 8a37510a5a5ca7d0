import { beforeAll, describe, expect, test } from "vitest";
import { createIndex, fuse, type ReferenceIndex } from "../../lib/index.js";
import { bytesOf, tokens, vectors } from "./support/data.js";

/** Large enough for one search to take a good part of a second. */
const [entries, dim] = [30_000, 64];
let index: ReferenceIndex;
const queries = vectors(64, dim, 2);

beforeAll(() => {
    index = createIndex({ dim, backend: "serial", threads: 1 });
    index.add(vectors(entries, dim), tokens(entries));
});

const timed = async (call: () => unknown): Promise<number> => {
    const started = performance.now();
    await call();
    return performance.now() - started;
};

test("an asynchronous call leaves the event loop alone", async () => {
    let ticks = 0;
    const timer = setInterval(() => ++ticks, 5);
    const took = await timed(() => index.search(queries));
    clearInterval(timer);
    expect(took).toBeGreaterThan(100);
    expect(ticks).toBeGreaterThan(took / 5 / 4); // a quarter of what an idle loop gives
});

test("many calls at once give what each alone gives", async () => {
    const few = queries.subarray(0, 4 * dim);
    const alone = index.searchSync(few);
    const all = await Promise.all(Array.from({ length: 32 }, () => index.search(few)));
    for (const hits of all) expect(hits).toEqual(alone);
});

describe("an AbortSignal", () => {
    const reason = new Error("enough");

    test("that fired before stops a call from starting", async () => {
        const logits = vectors(64, 50);
        for (const call of [
            () => index.search(queries, { signal: AbortSignal.abort(reason) }),
            () => index.searchAndFuse(queries, logits, { signal: AbortSignal.abort(reason), temperature: 1 }),
            () => index.seal({ signal: AbortSignal.abort(reason) }),
        ]) {
            expect(await timed(() => expect(call()).rejects.toBe(reason))).toBeLessThan(50);
        }
        expect(bytesOf(logits)).toEqual(bytesOf(vectors(64, 50)));
    });

    test("that fires meanwhile ends the call early, with its reason and the logits as they were", async () => {
        const logits = vectors(64, 50);
        const whole = await timed(() => index.search(queries));
        for (const start of [
            (signal: AbortSignal) => index.search(queries, { signal }),
            (signal: AbortSignal) => index.searchAndFuse(queries, logits, { signal, temperature: 1 }),
        ]) {
            const controller = new AbortController();
            setTimeout(() => controller.abort(reason), 20);
            expect(await timed(() => expect(start(controller.signal)).rejects.toBe(reason))).toBeLessThan(whole / 2 + 20);
        }
        expect(bytesOf(logits)).toEqual(bytesOf(vectors(64, 50)));
    });

    test("that fires in the same turn ends a call that waits for a thread", async () => {
        const controller = new AbortController();
        const busy = Array.from({ length: 8 }, () => index.search(queries, { signal: controller.signal }));
        controller.abort();
        for (const result of await Promise.allSettled(busy)) {
            expect(result).toMatchObject({ status: "rejected", reason: { name: "AbortError" } });
        }
    });

    test("stops fuse: before it starts, while it waits for a thread, and while it works", async () => {
        const [rows, vocabulary] = [64, 200_000];
        const hits = { ...index.searchSync(queries, { k: 4 }), tokens: new Int32Array(4 * rows).fill(7) };
        const logits = vectors(rows, vocabulary);
        const before = logits.slice();
        const options = (signal: AbortSignal) => ({ temperature: 1, referenceWeight: 0.5, signal });
        await expect(fuse(hits, logits, options(AbortSignal.abort(reason)))).rejects.toBe(reason);
        const controller = new AbortController();
        const busy = Array.from({ length: 8 }, () => index.search(queries, { signal: controller.signal }));
        const waiting = fuse(hits, logits, options(controller.signal));
        controller.abort(reason);
        for (const result of await Promise.allSettled([...busy, waiting])) expect(result).toEqual({ status: "rejected", reason });
        let stopped = 0;
        for (let attempt = 0; attempt < 10; attempt++) {
            const working = new AbortController();
            const running = fuse(hits, logits, options(working.signal));
            setImmediate(() => setTimeout(() => working.abort(reason), 5)); // amid some 20 ms, unless the machine is busy
            const outcome: unknown = await running.catch((error: unknown) => error);
            if (outcome === reason) stopped++;
            else logits.set(before);
        }
        expect(stopped).toBeGreaterThan(5);
        expect(Buffer.from(logits.buffer).equals(Buffer.from(before.buffer))).toBe(true);
        expect((await fuse(hits, logits, options(new AbortController().signal))).statuses).toContain("merged");
    });

    test("that fires afterwards changes nothing", async () => {
        const controller = new AbortController();
        const hits = await index.search(queries.subarray(0, dim), { signal: controller.signal });
        controller.abort();
        expect(hits).toEqual(index.searchSync(queries.subarray(0, dim)));
    });

    test("may end many calls, without a warning", async () => {
        const warnings: string[] = [];
        const note = ({ message }: Error): void => void warnings.push(message);
        process.on("warning", note);
        const controller = new AbortController();
        const running = Array.from({ length: 40 }, () => index.search(queries, { signal: controller.signal }));
        await new Promise((resolve) => setTimeout(resolve, 10));
        controller.abort(reason);
        for (const result of await Promise.allSettled(running)) expect(result).toEqual({ status: "rejected", reason });
        process.off("warning", note);
        expect(warnings).toEqual([]);
    });

    test("does not hide another error, and serves several calls", async () => {
        const { signal } = new AbortController();
        await expect(index.search(new Float32Array(dim).fill(NaN), { signal })).rejects.toMatchObject({
            code: "ERR_RTD_NOT_FINITE",
        });
        const [one, two] = await Promise.all([1, 2].map((k) => index.search(queries.subarray(0, dim), { signal, k })));
        expect([one!.k, two!.k]).toEqual([1, 2]);
    });
});
