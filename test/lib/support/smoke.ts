/**
 * What every runtime must do: run as `RUNTIME dist/test/lib/support/smoke.js FOLDER` under Node, Bun and Deno. FOLDER is empty and may be written
 * to. Prints the names of its checks; the last line is "all well".
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { Worker } from "node:worker_threads";
import {
    backends,
    createIndex,
    Datastore,
    fuseSync,
    RtdError,
    type Float16ArrayLike,
    type RtdErrorCode,
} from "../../../lib/index.js";
import { detach, resizable, shared, tokens, vectors } from "./data.js";

const is = (code: RtdErrorCode) => (error: unknown) => error instanceof RtdError && error.code === code;
const rejects = (promise: Promise<unknown>, code: RtdErrorCode): Promise<void> => assert.rejects(promise, is(code));
const throws = (call: () => unknown, code: RtdErrorCode): void => assert.throws(call, is(code));

const [entries, dim, V] = [20_000, 32, 500];
const index = createIndex({ dim });
const queries = vectors(8, dim, 2);
const expected = () => index.searchSync(queries);

const checks: Record<string, () => unknown> = {
    "back ends are listed": () => assert(backends().some(({ name, usable }) => name === "serial" && usable)),
    "keys are added and sealed": async () => {
        assert.equal(index.add(vectors(entries, dim), tokens(entries), { namespaces: 1 }), 0);
        await index.seal();
        assert((index.temperature ?? 0) > 0);
    },
    "searches agree": async () => {
        const all = await Promise.all(Array.from({ length: 10 }, () => index.search(queries, { namespaces: [1] })));
        for (const hits of all) assert.deepEqual(hits, expected());
    },
    "fusing works in place and through copies": async () => {
        const [now, later, foreign] = [vectors(8, V), vectors(8, V), vectors(8, V)];
        const { hits } = index.searchAndFuseSync(queries, now);
        await index.searchAndFuse(queries, later);
        assert(hits);
        fuseSync(hits, foreign, { temperature: index.temperature });
        assert.deepEqual(later, now);
        assert.deepEqual(foreign, now);
    },
    "bad arguments are errors": async () => {
        throws(() => index.searchSync(queries, { k: 0 }), "ERR_RTD_INVALID_ARGUMENT");
        await rejects(index.search(new Float64Array(dim) as never), "ERR_RTD_INVALID_ARGUMENT");
        await rejects(index.search(queries.slice().fill(NaN)), "ERR_RTD_NOT_FINITE");
        throws(() => index.searchSync(resizable(queries)), "ERR_RTD_INVALID_ARGUMENT");
        throws(() => index.searchSync(detach(queries.slice())), "ERR_RTD_INVALID_ARGUMENT");
    },
    "shared memory is copied": async () => {
        assert.deepEqual(index.searchSync(shared(queries)), expected());
        assert.deepEqual(await index.search(shared(queries)), expected());
        const logits = shared(new Float32Array(8 * V));
        index.searchAndFuseSync(queries, logits);
        const other = new Float32Array(8 * V);
        index.searchAndFuseSync(queries, other);
        assert.deepEqual([...logits], [...other]);
    },
    "arrays transferred during a call are left alone": async () => {
        for (let i = 0; i < 20; ++i) {
            const [mine, logits] = [queries.slice(), vectors(8, V)];
            const running = index.searchAndFuse(mine, logits);
            detach(mine);
            detach(logits);
            await rejects(running, "ERR_RTD_INVALID_ARGUMENT");
        }
    },
    "signals abort": async () => {
        const controller = new AbortController();
        const running = Array.from({ length: 8 }, () => index.search(queries, { signal: controller.signal }));
        controller.abort(new Error("enough"));
        for (const result of await Promise.allSettled(running)) {
            if (result.status === "rejected") assert.equal((result.reason as Error).message, "enough");
        }
        await assert.rejects(index.search(queries, { signal: AbortSignal.abort(new Error("before")) }), /before/);
    },
    "float16 arrays are taken": () => {
        const halves = createIndex({ dim: 2, dtype: "f16" });
        halves.add(Uint16Array.of(0x3c00, 0xc000), Int32Array.of(1));
        const { Float16Array } = globalThis as { Float16Array?: { of(...values: number[]): Float16ArrayLike } };
        if (Float16Array) halves.add(Float16Array.of(1, -2), Int32Array.of(1));
        for (let id = 0; id < halves.entries; ++id) assert.deepEqual([...halves.keysOf([id])], [1, -2]);
    },
    "workers have indexes of their own": async () => {
        const answers = await Promise.all(Array.from({ length: 3 }, () => inWorker("search")));
        for (const ids of answers) assert.deepEqual(ids, [...expected().ids]);
    },
    "workers are terminated with work pending": async () => {
        for (let i = 0; i < 10; ++i) {
            await inWorker("pending");
        }
        assert.equal(index.size, entries);
    },
    "stores are kept": async () => {
        const path = join(process.argv[2] ?? ".", "store");
        const store = await Datastore.create(path, { dim, metadata: { by: "smoke" } });
        store.append(vectors(100, dim), tokens(100), { examples: 3 });
        await store.seal();
        await rejects(Datastore.open(path, { writable: true }), "ERR_RTD_LOCKED");
        await store.close();
        const again = await Datastore.open(path);
        assert.equal(again.size, 100);
        assert.deepEqual([...again.origins([7]).examples], [3]);
        assert((await again.verify()).every(({ ok }) => ok));
        await again.close();
    },
    "what is disposed is closed": async () => {
        const running = index.search(queries);
        index.dispose();
        assert.equal((await running).counts.length, 8);
        throws(() => index.size, "ERR_RTD_CLOSED");
    },
};

/** Starts worker.ts, waits for its first message and terminates it. */
async function inWorker(task: string): Promise<unknown> {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: { task } });
    try {
        return await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    } finally {
        await worker.terminate();
    }
}

for (const [name, check] of Object.entries(checks)) {
    await check();
    console.log(name);
}
console.log("all well");
