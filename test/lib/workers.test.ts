import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { createIndex, Datastore } from "../../lib/index.js";
import { tokens, vectors } from "./support/data.js";

const script = new URL("../../dist/test/lib/support/worker.js", import.meta.url);

function start(task: string, path?: string): { worker: Worker; answer: Promise<unknown> } {
    const worker = new Worker(script, { workerData: { task, path } });
    return { worker, answer: new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject)) };
}

/** What worker.ts searches, here. */
function same(): number[] {
    const index = createIndex({ dim: 32 });
    index.add(vectors(20_000, 32), tokens(20_000));
    return [...index.searchSync(vectors(8, 32, 2)).ids];
}

test("several workers and this thread work side by side", async () => {
    const workers = Array.from({ length: 4 }, () => start("search"));
    const here = same();
    for (const { answer } of workers) expect(await answer).toEqual(here);
    await Promise.all(workers.map(({ worker }) => worker.terminate()));
    expect(same()).toEqual(here);
});

test("a worker may be terminated with calls in progress and others waiting", async () => {
    for (let i = 0; i < 10; ++i) {
        const { worker, answer } = start("pending");
        const one = (await answer) as number;
        const started = performance.now();
        await worker.terminate();
        expect(performance.now() - started).toBeLessThan(30 * one); // those in progress are waited for, not the others
    }
});

test("a worker may be terminated within synchronous calls", async () => {
    for (let i = 0; i < 60; ++i) {
        const { worker, answer } = start("busy");
        await answer;
        await new Promise((resolve) => setTimeout(resolve, i / 10));
        await worker.terminate();
    }
});

test("several workers may be terminated at once, also while they start", async () => {
    const workers = Array.from({ length: 4 }, () => start("pending"));
    for (const { answer } of workers) answer.catch(() => undefined);
    await workers[0]!.answer;
    await Promise.all(workers.map(({ worker }) => worker.terminate()));
    expect(same()).toHaveLength(8 * 16);
});

test("the end of a worker gives its store's lock back, and the store is as it was before or after", async () => {
    const folder = await mkdtemp(join(tmpdir(), "rtd-"));
    try {
        const path = join(folder, "store");
        const store = await Datastore.create(path, { dim: 8 });
        store.append(vectors(10, 8), tokens(10));
        await store.seal();
        await store.close();
        for (let i = 0; i < 5; ++i) {
            const { worker, answer } = start("store", path);
            expect(await answer).toBe("open");
            await worker.terminate();
            await using again = await Datastore.open(path, { writable: true });
            expect((await again.verify()).every(({ ok }) => ok)).toBe(true);
            expect(again.size).toBeGreaterThanOrEqual(10);
            expect(again.size).toBeLessThanOrEqual(11 + i);
        }
    } finally {
        await rm(folder, { recursive: true });
    }
});

test("a process may end with calls in progress", async () => {
    const program = `
        import { createIndex } from ${JSON.stringify(new URL("../../dist/lib/index.js", import.meta.url).href)};
        const index = createIndex({ dim: 32 });
        index.add(new Float32Array(32 * 20000), new Int32Array(20000));
        for (let i = 0; i < 20; ++i) void index.search(new Float32Array(32 * 100));
        process.exit(7);`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: "inherit" });
    expect(await new Promise((resolve) => child.once("close", (code, signal) => resolve(signal ?? code)))).toBe(7);
});
