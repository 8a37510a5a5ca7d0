import { describe, expect, test } from "vitest";
import { backends, createIndex, ReferenceIndex, RtdError, type Float16ArrayLike } from "../../lib/index.js";
import { bits16, kept } from "./support/oracle.js";
import { tokens, vectors } from "./support/data.js";
import { both, expectError } from "./support/expect.js";

/** Looks like a Float16Array where the runtime has none; support/smoke.mjs tries a real one. */
class Float16 extends Uint16Array {
    override get [Symbol.toStringTag](): never {
        return "Float16Array" as never;
    }
}

describe("an index", () => {
    test("starts empty, with what was asked for", () => {
        const index = createIndex({ dim: 64, metric: "dot", dtype: "f16", heads: 4, backend: "serial", threads: 3 });
        expect(index).toBeInstanceOf(ReferenceIndex);
        expect(index.info()).toEqual({
            dim: 64,
            searchedDim: 64,
            metric: "dot",
            dtype: "f16",
            heads: 4,
            backend: "serial",
            threads: 3,
            entries: 0,
            size: 0,
            sealed: 0,
            cascaded: 0,
            bytes: expect.any(Number) as unknown,
            maxToken: undefined,
            temperature: undefined,
        });
        const { dim, metric, dtype, heads, backend, threads, size, entries, temperature } = index;
        expect({ dim, metric, dtype, heads, backend, threads, size, entries, temperature }).toEqual({
            dim: 64,
            metric: "dot",
            dtype: "f16",
            heads: 4,
            backend: "serial",
            threads: 3,
            size: 0,
            entries: 0,
            temperature: undefined,
        });
    });

    test("takes l2, f32, one head and the fastest back end by default", () => {
        const { metric, dtype, heads, backend } = createIndex({ dim: 8 });
        expect({ metric, dtype, heads }).toEqual({ metric: "l2", dtype: "f32", heads: 1 });
        expect(backend).toBe(backends().find((candidate) => candidate.default)?.name);
    });

    test("has a cascade once it is sealed and large enough, and gives the same hits by it", async () => {
        const [dim, n] = [150, 5000];
        const keys = vectors(n, dim);
        for (let i = 0; i < keys.length; i++) keys[i]! *= 4 / (1 + (i % dim)); // a few directions that matter
        const queries = vectors(20, dim, 2);
        const [auto, off, always] = (["auto", "off", "always"] as const).map((cascade) => {
            const index = createIndex({ dim, cascade });
            index.add(keys, tokens(n));
            return index;
        }) as [ReferenceIndex, ReferenceIndex, ReferenceIndex];
        expect(auto.info().cascaded).toBe(0);
        const scanned = auto.searchSync(queries, { k: 30 });
        for (const index of [auto, off, always]) await index.seal();
        expect([auto, off, always].map((index) => index.info().cascaded)).toEqual([n, 0, n]);
        expect(auto.info().bytes).toBeGreaterThan(off.info().bytes);
        for (const index of [auto, off, always]) {
            expect(index.searchSync(queries, { k: 30 })).toEqual(scanned);
            expect(index.temperature).toBe(off.temperature);
        }
        // What comes later is scanned beside it.
        for (const index of [auto, off]) index.add(queries, tokens(20));
        expect(auto.searchSync(queries, { k: 3 })).toEqual(off.searchSync(queries, { k: 3 }));
        expect(auto.info().cascaded).toBe(n);
        const few = createIndex({ dim: 3, cascade: "always" });
        few.add(vectors(2, 3), tokens(2));
        await few.seal();
        expect(few.info().cascaded).toBe(2);
    });

    test("says how far a seal is", async () => {
        const index = createIndex({ dim: 512, threads: 1 });
        index.add(vectors(40_000, 512, 3), new Int32Array(40_000));
        const shares: number[] = [];
        await index.seal({ onProgress: (share) => shares.push(share) });
        expect(shares.length).toBeGreaterThan(1);
        expect(shares.at(-1)).toBe(1);
        expect(shares).toEqual(shares.toSorted((a, b) => a - b));
        expect(index.info().cascaded).toBe(40_000);
        await expect(index.seal({ onProgress: 5 as never })).rejects.toThrow("onProgress: expected a function");
    });

    test("says what a search looked at, where it is asked", async () => {
        const [n, dim] = [5000, 160];
        const keys = vectors(n, dim, 3);
        const [scanning, cascading] = (["off", "always"] as const).map((cascade) => createIndex({ dim, cascade }));
        for (const index of [scanning!, cascading!]) {
            index.add(keys, new Int32Array(n));
            await index.seal();
        }
        const queries = vectors(2, dim, 4);
        const none = { scanned: 0, level1: 0, level2: 0, level2b: 0, level3: 0, exact: 0, bytes: 0 };
        const scan = { ...none, scanned: 2 * n, bytes: n * dim * 4 }; // both queries with one reading of the keys
        expect(scanning!.searchSync(queries, { stats: true }).stats).toEqual(scan);
        expect((await scanning!.search(queries, { stats: true })).stats).toEqual(scan);
        const logits = new Float32Array(2 * 10);
        expect(scanning!.searchAndFuseSync(queries, logits, { stats: true, hits: false })).toEqual({
            statuses: ["merged", "merged"],
            stats: scan,
        });
        const { level1, level3, exact, bytes } = cascading!.searchSync(queries, { stats: true }).stats!;
        expect([level1, bytes]).toEqual([2 * Math.ceil(n / 32) * 32, Math.ceil(n / 32) * 1088 + level3 * 172 + exact * dim * 4]);
        expect(level3).toBeGreaterThan(0);
        expect(exact).toBeGreaterThanOrEqual(2 * 16);
        expect(scanning!.searchSync(queries)).not.toHaveProperty("stats");
        expect(() => scanning!.searchSync(queries, { stats: 1 as never })).toThrow(/stats: expected true or false, got 1/);
    });

    test("says which uses of cascades there are", async () => {
        await expectError(
            () => createIndex({ dim: 3, cascade: "on" as never }),
            "ERR_RTD_INVALID_ARGUMENT",
            /cascade: expected one of "auto", "off", "always", got "on"/,
        );
        process.env["RTD_CASCADE"] = "never";
        try {
            await expectError(
                () => createIndex({ dim: 3 }),
                "ERR_RTD_INVALID_ARGUMENT",
                /RTD_CASCADE is "never"; give auto, off or always/,
            );
        } finally {
            delete process.env["RTD_CASCADE"];
        }
    });

    test("that is empty finds nothing, and pads", async () => {
        const index = createIndex({ dim: 8, heads: 2 });
        const queries = vectors(3, 8);
        const hits = await both(
            () => index.search(queries, { k: 2 }),
            () => index.searchSync(queries, { k: 2 }),
        );
        expect(hits).toEqual({
            ids: new Uint32Array(12).fill(0xffffffff),
            distances: new Float32Array(12).fill(Infinity),
            tokens: new Int32Array(12).fill(-1),
            counts: new Uint32Array(6),
            k: 2,
            heads: 2,
        });
    });

    test("finds, nearest first, and pads what is over", async () => {
        const index = createIndex({ dim: 2 });
        expect(index.add(Float32Array.of(0, 0, 3, 4, 0, 1), Int32Array.of(7, 8, 9))).toBe(0);
        expect(index.add(Float32Array.of(0, 2), Int32Array.of(7))).toBe(3);
        expect(index.info()).toMatchObject({ entries: 4, size: 4, sealed: 0, maxToken: 9 });
        const hits = await both(
            () => index.search(Float32Array.of(0, 0), { k: 5 }),
            () => index.searchSync(Float32Array.of(0, 0), { k: 5 }),
        );
        expect(hits).toEqual({
            ids: Uint32Array.of(0, 2, 3, 1, 0xffffffff),
            distances: Float32Array.of(0, 1, 2, 5, Infinity),
            tokens: Int32Array.of(7, 9, 7, 8, -1),
            counts: Uint32Array.of(4),
            k: 5,
            heads: 1,
        });
    });

    test("gives 16 hits unless asked for another number, and takes more than 64 queries", () => {
        const index = createIndex({ dim: 4 });
        index.add(vectors(100, 4), tokens(100));
        const hits = index.searchSync(vectors(150, 4, 2));
        expect(hits.k).toBe(16);
        expect(hits.ids.length).toBe(150 * 16);
        expect([...hits.counts]).toEqual(Array(150).fill(16));
    });

    test("takes no query at all", async () => {
        const index = createIndex({ dim: 4 });
        index.add(vectors(10, 4), tokens(10));
        const none = new Float32Array(0);
        const hits = await both(
            () => index.search(none, { rows: [] }),
            () => index.searchSync(none),
        );
        expect(hits).toMatchObject({ ids: new Uint32Array(0), counts: new Uint32Array(0), k: 16 });
        expect(index.searchAndFuseSync(none, none).statuses).toEqual([]);
    });

    test("takes no key at all", () => {
        const index = createIndex({ dim: 4 });
        expect(index.add(new Float32Array(0), new Int32Array(0))).toBe(0);
        expect(index.size).toBe(0);
    });

    test("honours k, maxDistance and namespaces, for all rows or each", () => {
        const index = createIndex({ dim: 1 });
        index.add(Float32Array.of(0, 1, 2, 3), Int32Array.of(0, 1, 2, 3), { namespaces: Uint32Array.of(5, 6, 5, 4294967295) });
        index.add(Float32Array.of(4), Int32Array.of(4), { namespaces: 6 });
        const ids = (options: object): number[][] => {
            const hits = index.searchSync(new Float32Array(2), options);
            return [0, 1].map((row) => [...hits.ids.subarray(row * hits.k, row * hits.k + hits.counts[row]!)]);
        };
        expect(ids({ k: 2 })).toEqual([
            [0, 1],
            [0, 1],
        ]);
        expect(ids({ maxDistance: 2 })).toEqual([
            [0, 1, 2],
            [0, 1, 2],
        ]);
        expect(ids({ namespaces: [6] })).toEqual([
            [1, 4],
            [1, 4],
        ]);
        expect(ids({ namespaces: Uint32Array.of(5, 4294967295) })[0]).toEqual([0, 2, 3]);
        expect(ids({ namespaces: [] })).toEqual([[], []]);
        expect(ids({ k: 1, namespaces: [6], rows: [{}, { k: 3, namespaces: [5], maxDistance: 1 }] })).toEqual([[1], [0]]);
        expect(ids({ rows: [{ skip: true }, { k: undefined }] })).toEqual([[], [0, 1, 2, 3, 4]]);
    });

    test("forgets removed entries and never gives their ids again", () => {
        const index = createIndex({ dim: 1 });
        index.add(Float32Array.of(0, 1, 2), Int32Array.of(10, 11, 12), { namespaces: 3 });
        index.remove([1]);
        index.remove(Uint32Array.of(0));
        expect(index.add(Float32Array.of(0), Int32Array.of(13))).toBe(3);
        expect(index.info()).toMatchObject({ entries: 4, size: 2, maxToken: 13 });
        expect([...index.searchSync(Float32Array.of(0), { k: 4 }).ids]).toEqual([3, 2, 0xffffffff, 0xffffffff]);
        expect(index.entriesOf([0, 1, 2, 3])).toEqual({
            tokens: Int32Array.of(10, 11, 12, 13),
            namespaces: Uint32Array.of(3, 3, 3, 0),
            live: Uint8Array.of(0, 0, 1, 1),
        });
    });

    test("has a temperature once sealed, and the same results", async () => {
        const [one, two] = [createIndex({ dim: 16 }), createIndex({ dim: 16 })];
        const [keys, queries] = [vectors(300, 16), vectors(5, 16, 9)];
        for (const index of [one, two]) index.add(keys, tokens(300));
        const before = one.searchSync(queries);
        await one.seal();
        two.sealSync({ threads: 1 });
        expect(one.temperature).toBeGreaterThan(0);
        expect(two.temperature).toBe(one.temperature);
        expect(one.info().sealed).toBe(300);
        expect(one.searchSync(queries)).toEqual(before);
        one.add(keys, tokens(300));
        expect(one.info()).toMatchObject({ entries: 600, sealed: 300 });
    });

    test.each(["f16", "bf16"] as const)("keeps keys in %s, however they are given", async (dtype) => {
        const keys = vectors(20, 8);
        const rounded = keys.map((value) => kept(value, dtype));
        const index = createIndex({ dim: 8, dtype });
        index.add(keys, tokens(20));
        index.add(
            Uint16Array.from(rounded, (value) => bits16(value, dtype)),
            tokens(20),
        );
        const ids = Array.from({ length: 20 }, (_, i) => i);
        expect(index.keysOf(ids)).toEqual(rounded);
        expect(index.keysOf(Uint32Array.from(ids, (i) => i + 20))).toEqual(rounded);
        // Float16 queries are the numbers they are.
        const halves = keys.map((value) => kept(value, "f16"));
        const bits = Uint16Array.from(halves, (value) => bits16(value, "f16"));
        expect(await index.search(bits)).toEqual(index.searchSync(halves));
    });

    test("takes Float16Array, whatever it keeps", () => {
        const keys = vectors(20, 8);
        const rounded = keys.map((value) => kept(value, "f16"));
        const halves = Float16.from(rounded, (value) => bits16(value, "f16")) as unknown as Float16ArrayLike;
        for (const dtype of ["f32", "f16", "bf16"] as const) {
            const index = createIndex({ dim: 8, dtype });
            index.add(halves, tokens(20));
            expect(index.keysOf([0, 19])).toEqual(
                Float32Array.of(...rounded.subarray(0, 8), ...rounded.subarray(152)).map((value) => kept(value, dtype)),
            );
            expect(index.searchSync(halves)).toEqual(index.searchSync(rounded));
        }
    });

    test("is CLOSED once disposed, by name or by symbol", async () => {
        for (const dispose of [(index: ReferenceIndex) => index.dispose(), (index: ReferenceIndex) => index[Symbol.dispose]()]) {
            const index = createIndex({ dim: 4 });
            dispose(index);
            dispose(index);
            const calls: (() => unknown)[] = [
                () => index.size,
                () => index.info(),
                () => index.add(vectors(1, 4), tokens(1)),
                () => index.remove([]),
                () => index.seal(),
                () => index.sealSync(),
                () => index.search(vectors(1, 4)),
                () => index.searchSync(vectors(1, 4)),
                () => index.searchAndFuse(vectors(1, 4), new Float32Array(9)),
                () => index.searchAndFuseSync(vectors(1, 4), new Float32Array(9)),
                () => index.entriesOf([]),
                () => index.keysOf([]),
            ];
            for (const call of calls) await expectError(call, "ERR_RTD_CLOSED", "the index was disposed or closed");
        }
    });
});

describe("back ends", () => {
    test("are listed, one of them the default, with reasons", () => {
        const list = backends();
        expect(list.map(({ name }) => name)).toEqual(expect.arrayContaining(["serial", "avx2", "avx512", "neon", "cuda"]));
        expect(list.filter((backend) => backend.default)).toHaveLength(1);
        expect(list.find(({ name }) => name === "serial")?.usable).toBe(true);
        for (const { reason } of list) expect(reason).not.toBe("");
    });

    test("that cannot be used here are refused by name", async () => {
        for (const { name, usable } of backends()) {
            if (usable) expect(createIndex({ dim: 4, backend: name }).backend).toBe(name);
            else await expectError(() => createIndex({ dim: 4, backend: name }), "ERR_RTD_UNSUPPORTED", name);
        }
    });
});

test("RtdError is an Error with a code and a cause", () => {
    const cause = new Error("why");
    const error = new RtdError("ERR_RTD_IO", "what", { cause });
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toBe("RtdError: what");
    expect(error).toMatchObject({ code: "ERR_RTD_IO", cause });
});
