/** A worker thread's part of smoke.ts and of the tests of worker threads. */
import { parentPort, workerData } from "node:worker_threads";
import { createIndex, Datastore } from "../../../lib/index.js";
import { tokens, vectors } from "./data.js";

const { task, path = "" } = workerData as { task: keyof typeof tasks; path?: string };
const [entries, dim] = [20_000, 32];
const index = createIndex({ dim });
index.add(vectors(entries, dim), tokens(entries));
const queries = vectors(8, dim, 2);

const tasks = {
    /** Answers once and lives on. */
    search: async () => parentPort?.postMessage([...(await index.search(queries)).ids]),
    /** Has calls of every kind in progress, and more waiting for a thread, when it is terminated. Answers how long one of its 60 searches takes. */
    pending: () => {
        const { signal } = new AbortController();
        const many = vectors(200, dim, 3);
        const started = performance.now();
        index.searchSync(many, { k: 100 });
        const one = performance.now() - started;
        for (let i = 0; i < 30; ++i) {
            void index.search(many, { k: 100, signal });
            void index.searchAndFuse(many, vectors(200, 60), { temperature: 1 });
            void index.seal();
        }
        index.dispose();
        parentPort?.postMessage(one);
    },
    /** Never leaves JavaScript and the addon. */
    busy: () => {
        parentPort?.postMessage("busy");
        for (;;) {
            const small = createIndex({ dim: 8 });
            small.add(vectors(50, 8), tokens(50));
            for (let i = 0; i < 5; ++i) small.searchSync(vectors(1, 8, i), { k: 3 });
            small.dispose();
        }
    },
    /** Holds a store's lock, with entries that were never sealed. */
    store: async () => {
        const store = await Datastore.open(path, { writable: true });
        store.append(vectors(1, store.dim), Int32Array.of(1));
        void store.seal();
        parentPort?.postMessage("open");
    },
};
await tasks[task]();
setInterval(() => {}, 1000); // stays until it is terminated
