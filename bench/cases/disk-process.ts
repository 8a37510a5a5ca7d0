/** The process of disk.ts that has little memory: searches a datastore and prints a {@link DiskAnswer}. STORE QUERIES COUNT K CASCADE THREADS */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { performance } from "node:perf_hooks";

import { Datastore, type CascadeUse } from "../../lib/index.js";

export interface DiskAnswer {
    times: number[];
    /** Of files, in all searches. */
    bytesRead: number;
    ids: number[][];
    distances: number[][];
}

const [path, queryFile, ...numbers] = process.argv.slice(2) as [string, string, string, string, CascadeUse, string];
const [count, k, threads] = [numbers[0], numbers[1], numbers[3]].map(Number) as [number, number, number];
const bytesRead = () => Number(/^read_bytes: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))![1]);

await using store = await Datastore.open(path, { threads, cascade: numbers[2], verify: false });
const { dim } = store.index;
const query = new Float32Array(dim);
const file = openSync(queryFile, "r");
const answer: DiskAnswer = { times: [], bytesRead: 0, ids: [], distances: [] };
const before = bytesRead();
for (let i = 0; i < count; i++) {
    readSync(file, query, 0, query.byteLength, i * query.byteLength);
    const begin = performance.now();
    const hits = store.index.searchSync(query, { k });
    answer.times.push(performance.now() - begin);
    answer.ids.push([...hits.ids]);
    answer.distances.push([...hits.distances]);
}
answer.bytesRead = bytesRead() - before;
closeSync(file);
console.log(JSON.stringify(answer));
