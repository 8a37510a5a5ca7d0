import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { createIndex } from "../../lib/index.js";
import { tokens, vectors } from "./support/data.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function settledMemory(): Promise<NodeJS.MemoryUsage> {
    for (let i = 0; i < 3; ++i) {
        collect();
        await turn();
    }
    return process.memoryUsage();
}

/** Bytes that one more round leaves: what leaks grows every time, while the allocator's and the collector's own high-water marks rise once. */
async function growth(round: () => Promise<void>): Promise<number> {
    const growths: number[] = [];
    for (let i = 0; i < (process.env["RTD_SANITIZED"] ? 1 : 3); ++i) {
        const before = (await settledMemory()).rss;
        await round();
        growths.push((await settledMemory()).rss - before);
    }
    return Math.min(...growths);
}

const MiB = 2 ** 20;
const keys = vectors(1000, 64); // 250 KiB
const values = tokens(1000);

/** Sanitizers keep freed memory for a while and add their own. */
const room = process.env["RTD_SANITIZED"] ? 20 : 1;

test("10,000 indexes, made, used and disposed, leave nothing", async () => {
    const round = async (times: number): Promise<void> => {
        for (let i = 0; i < times; ++i) {
            const index = createIndex({ dim: 64 });
            index.add(keys, values);
            index.searchSync(keys.subarray(0, 64));
            if (i % 100 === 0) await index.search(keys.subarray(0, 64));
            index.dispose();
        }
    };
    await round(1000);
    expect(await growth(() => round(10_000))).toBeLessThan(24 * MiB * room); // all of them hold 2.5 GiB
});

test("indexes that nobody disposed are freed when they are garbage, since the collector knows how large they are", async () => {
    const before = (await settledMemory()).rss;
    for (let i = 0; i < 3000; ++i) {
        createIndex({ dim: 64 }).add(keys, values);
        if (i % 10 === 0) await turn(); // finalizers wait for the event loop
    }
    const { rss } = await settledMemory();
    expect(rss - before).toBeLessThan(250 * MiB * room); // all of them hold 750 MiB
});

test("asynchronous calls leave nothing", async () => {
    const index = createIndex({ dim: 64 });
    index.add(keys, values);
    const logits = new Float32Array(100 * 1000);
    const round = async (times: number): Promise<void> => {
        for (let i = 0; i < times; ++i) {
            const { signal } = new AbortController();
            await Promise.all([
                index.search(keys.subarray(0, 64 * 100), { k: 100, signal }),
                index.searchAndFuse(keys.subarray(0, 64 * 100), logits, { k: 100, temperature: 1 }),
                index.search(new Float32Array(63)).catch(() => undefined),
            ]);
        }
    };
    await round(50);
    expect(await growth(() => round(300))).toBeLessThan(40 * MiB * room); // one round makes 700 KiB
});

test("nor do many small ones", async () => {
    const index = createIndex({ dim: 1 });
    const query = Float32Array.of(1);
    const round = async (times: number): Promise<void> => {
        for (let i = 0; i < times; ++i) await Promise.all(Array.from({ length: 100 }, () => index.search(query, { k: 1 })));
    };
    await round(1500); // the heap takes its size
    expect(await growth(() => round(1500))).toBeLessThan(8 * MiB * room); // 150,000 of them: 56 bytes each
});
