import { describe, expect, test } from "vitest";
import { createIndex, fuse } from "../../lib/index.js";
import { bytesOf, detach, shared, shifted, tokens, vectors } from "./support/data.js";
import { both, expectError } from "./support/expect.js";

const V = 1000;
const index = createIndex({ dim: 16 });
index.add(vectors(20_000, 16), tokens(20_000));
index.sealSync();
const queries = vectors(4, 16, 2);
const logits = (): Float32Array => vectors(4, V, 3);
const expected = logits();
const hits = index.searchAndFuseSync(queries, expected).hits;

describe("views", () => {
    test("that begin inside their buffer are what they show", async () => {
        const mine = createIndex({ dim: 16 });
        mine.add(shifted(vectors(50, 16)), tokens(60).subarray(10), { namespaces: new Uint32Array(60).fill(7).subarray(10) });
        expect(mine.keysOf([0, 49])).toEqual(
            Float32Array.of(...vectors(50, 16).subarray(0, 16), ...vectors(50, 16).subarray(49 * 16)),
        );
        expect(mine.entriesOf(new Uint32Array([9, 0]).subarray(1))).toMatchObject({
            tokens: Int32Array.of(10),
            namespaces: Uint32Array.of(7),
        });
        expect(
            await both(
                () => index.search(shifted(queries)),
                () => index.searchSync(shifted(queries)),
            ),
        ).toEqual(hits);
    });

    test("of logits are written and their surroundings are not", async () => {
        for (const fuse of [index.searchAndFuse.bind(index), index.searchAndFuseSync.bind(index)]) {
            const around = new Float32Array(4 * V + 20).fill(42);
            const view = around.subarray(7, 7 + 4 * V);
            view.set(logits());
            await fuse(queries, view);
            expect(bytesOf(view)).toEqual(bytesOf(expected));
            expect([...around.subarray(0, 7), ...around.subarray(7 + 4 * V)]).toEqual(Array(20).fill(42));
        }
    });

    test("of shared memory work like others", async () => {
        const mine = createIndex({ dim: 16 });
        mine.add(shared(vectors(20_000, 16)), tokens(20_000));
        mine.sealSync();
        for (const fuse of [mine.searchAndFuse.bind(mine), mine.searchAndFuseSync.bind(mine)]) {
            const rows = shared(logits());
            expect((await fuse(shared(queries), rows)).hits).toEqual(hits);
            expect(bytesOf(rows)).toEqual(bytesOf(expected));
        }
    });
});

describe("while a call is running", () => {
    test("queries may change: they were copied", async () => {
        const mine = queries.slice();
        const running = index.search(mine);
        mine.fill(NaN);
        expect(await running).toEqual(hits);
    });

    test("queries may be transferred", async () => {
        const mine = queries.slice();
        const running = index.search(mine);
        detach(mine);
        expect(await running).toEqual(hits);
    });

    test("logits that are transferred make it reject, and nothing is written anywhere", async () => {
        for (const start of [
            (rows: Float32Array) => index.searchAndFuse(queries, rows),
            (rows: Float32Array) => fuse(hits!, rows, { temperature: 1 }),
        ]) {
            const rows = logits();
            const running = start(rows);
            const moved = structuredClone(rows.buffer, { transfer: [rows.buffer as ArrayBuffer] });
            await expectError(
                () => running,
                "ERR_RTD_INVALID_ARGUMENT",
                "logits: the array was detached, transferred or resized while the call was running",
            );
            expect(bytesOf(new Float32Array(moved))).toEqual(bytesOf(logits()));
        }
    });

    test("logits that the memory of WebAssembly takes away do too", async () => {
        const { Memory } = (
            globalThis as unknown as {
                WebAssembly: { Memory: new (options: object) => { buffer: ArrayBuffer; grow(pages: number): number } };
            }
        ).WebAssembly;
        const memory = new Memory({ initial: 1 });
        const rows = new Float32Array(memory.buffer, 0, 4 * V);
        rows.set(logits());
        const running = index.searchAndFuse(queries, rows);
        memory.grow(1);
        await expectError(() => running, "ERR_RTD_INVALID_ARGUMENT", "logits: the array was detached");
    });

    test("what is written into logits is overwritten by the result", async () => {
        const rows = logits();
        const running = index.searchAndFuse(queries, rows);
        rows.fill(1);
        await running;
        expect(bytesOf(rows)).toEqual(bytesOf(expected));
    });

    test("the index may be disposed", async () => {
        const mine = createIndex({ dim: 16 });
        mine.add(vectors(20_000, 16), tokens(20_000));
        const running = [mine.search(queries), mine.search(queries), mine.seal()];
        mine.dispose();
        const [first, second] = await Promise.all(running);
        expect(first).toEqual(hits);
        expect(second).toEqual(hits);
        await expectError(() => mine.search(queries), "ERR_RTD_CLOSED", "disposed");
    });

    test("entries may be added and removed: it sees those of its beginning or its end, never a mixture of ids", async () => {
        const mine = createIndex({ dim: 16 });
        mine.add(vectors(5_000, 16), tokens(5_000));
        const running = Array.from({ length: 20 }, () => mine.search(queries, { k: 2048 }));
        for (let i = 0; i < 100; ++i) {
            mine.add(vectors(10, 16, i), tokens(10));
            mine.remove([i]);
        }
        for (const { ids } of await Promise.all(running)) expect(new Set(ids.subarray(0, 2048)).size).toBe(2048);
        expect(mine.info()).toMatchObject({ entries: 6_000, size: 5_900 });
    });
});
