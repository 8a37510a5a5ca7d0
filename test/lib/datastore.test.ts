import { mkdtemp, readdir, rm, stat, truncate, writeFile, open as openFile, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createIndex, Datastore, type ModelFingerprint } from "../../lib/index.js";
import { detach, resizable, tokens, vectors } from "./support/data.js";
import { expectError } from "./support/expect.js";

let folder: string;
let number = 0;
const fresh = (): string => join(folder, `store-${++number}`);
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "rtd-"))));
afterAll(async () => rm(folder, { recursive: true, force: true }));

const dim = 8;
const model: ModelFingerprint = {
    file: "small.gguf",
    sha256: "ab".repeat(32),
    bytes: 1000,
    architecture: "llama",
    quantization: "Q4_1",
    embeddingSize: dim,
    vocabulary: 100,
    chatTemplate: "{{ messages }}",
};

/** A sealed store of 100 entries, open for writing. */
async function filled(path = fresh()): Promise<Datastore> {
    const store = await Datastore.create(path, { dim, model, metadata: { recipe: "text" } });
    store.append(vectors(100, dim), tokens(100), { examples: 4, positions: Uint32Array.from({ length: 100 }, (_, i) => i) });
    await store.seal();
    return store;
}

describe("a datastore", () => {
    test("keeps its cascade beside its segments, and is whole without it", async () => {
        const path = fresh();
        const store = await Datastore.create(path, { dim, model, cascade: "always" });
        for (let part = 0; part < 3; part++) {
            store.append(vectors(50, dim, part + 1), tokens(50));
            await store.seal();
        }
        expect(store.index.info().cascaded).toBe(150);
        const queries = vectors(5, dim, 9);
        const hits = store.index.searchSync(queries, { k: 20 });
        await store.close();

        const derived = (await readdir(path)).filter((name) => name.startsWith("derived-"));
        expect(derived.length).toBeGreaterThan(0);
        const opened = await Datastore.open(path, { model, cascade: "always" });
        expect(opened.index.info().cascaded).toBe(150);
        expect(opened.index.searchSync(queries, { k: 20 })).toEqual(hits);
        await opened.close();

        for (const name of derived) await rm(join(path, name));
        const without = await Datastore.open(path, { model, writable: true, cascade: "always" });
        expect(without.index.info().cascaded).toBe(0);
        expect(without.index.searchSync(queries, { k: 20 })).toEqual(hits);
        const bad = (await without.verify()).filter((report) => !report.ok);
        expect(bad.map((report) => report.file).toSorted()).toEqual(derived.toSorted());
        await without.seal();
        expect(without.index.info().cascaded).toBe(150);
        expect((await without.verify()).every((report) => report.ok)).toBe(true);
        await without.close();
    });

    test("is made, filled, closed and found again", async () => {
        const path = fresh();
        const store = await Datastore.create(path, {
            dim,
            metric: "dot",
            dtype: "f16",
            heads: 2,
            model,
            metadata: { a: [1, "ä"] },
        });
        expect(store).toMatchObject({ path, dim, size: 0, metadata: { a: [1, "ä"] } });
        expect(
            store.append(vectors(10, dim), tokens(10), {
                namespaces: 3,
                examples: Uint32Array.from(tokens(10)),
                positions: new Uint32Array(10).fill(9),
            }),
        ).toBe(0);
        expect(store.append(vectors(5, dim, 2), tokens(5))).toBe(10);
        expect(store.size).toBe(15);
        const before = store.index.searchSync(vectors(2, dim, 7));
        await store.seal();
        expect(store.index.searchSync(vectors(2, dim, 7))).toEqual(before);
        expect(store.manifest).toMatchObject({
            dim,
            metric: "dot",
            dtype: "f16",
            heads: 2,
            model,
        });
        expect(Math.fround(store.manifest.temperature!)).toBe(store.index.temperature);
        expect(store.manifest.segments.map(({ entries }) => entries)).toEqual([15]);
        await store.close();

        const again = await Datastore.open(path, { model });
        expect(again.size).toBe(15);
        expect(again.index.searchSync(vectors(2, dim, 7))).toEqual(before);
        expect(again.manifest).toEqual(store.manifest);
        expect(again.origins([3, 12])).toEqual({ examples: Uint32Array.of(3, 0), positions: Uint32Array.of(9, 0) });
        expect(again.index.entriesOf([0, 14])).toMatchObject({ namespaces: Uint32Array.of(3, 0) });
        await again.close();
    });

    test("keeps only what was sealed", async () => {
        const store = await filled();
        store.append(vectors(1, dim), tokens(1));
        expect(store.size).toBe(101);
        await store.close();
        await using again = await Datastore.open(store.path);
        expect(again.size).toBe(100);
    });

    test("removes durably", async () => {
        const store = await filled();
        await store.remove([5, 6]);
        await store.remove(Uint32Array.of(7));
        await store.close();
        await using again = await Datastore.open(store.path);
        expect(again.size).toBe(97);
        expect([...again.index.entriesOf([4, 5, 7, 8]).live]).toEqual([1, 0, 0, 1]);
        expect(again.manifest.removed).toMatchObject({ entries: 3 });
    });

    test("replaces its metadata", async () => {
        const store = await filled();
        expect(store.metadata).toEqual({ recipe: "text" });
        await store.setMetadata({ other: { deep: [null, true] } });
        expect(store.metadata).toEqual({ other: { deep: [null, true] } });
        await store.close();
        await using again = await Datastore.open(store.path);
        expect(again.metadata).toEqual({ other: { deep: [null, true] } });
    });

    test("does writing calls in their order, and closes after them", async () => {
        const store = await Datastore.create(fresh(), { dim });
        const done: string[] = [];
        const note = (what: string) => (): void => void done.push(what);
        for (let i = 0; i < 4; ++i) {
            store.append(vectors(10, dim, i), tokens(10));
            void store.seal().then(note(`seal ${i}`));
            void store.setMetadata({ i }).then(note(`metadata ${i}`));
        }
        const ids = Uint32Array.of(1);
        const removing = store.remove(ids).then(note("remove"));
        ids[0] = 2;
        const closing = store.close().then(note("close"));
        await Promise.all([removing, closing]);
        expect(done).toEqual([...Array.from({ length: 4 }, (_, i) => [`seal ${i}`, `metadata ${i}`]).flat(), "remove", "close"]);
        await using again = await Datastore.open(store.path);
        expect(again).toMatchObject({ size: 39, metadata: { i: 3 } });
        expect([...again.index.entriesOf([1, 2]).live]).toEqual([0, 1]);
    });

    test("goes on after a call that failed", async () => {
        const store = await filled();
        const bad = store.remove([1000]);
        const good = store.setMetadata({ after: 1 });
        await expectError(() => bad, "ERR_RTD_UNKNOWN_ID", "1000");
        await good;
        expect(store.metadata).toEqual({ after: 1 });
        await store.close();
    });

    test("is read-only unless opened for writing, and its index always", async () => {
        const store = await filled();
        for (const call of [() => store.index.add(vectors(1, dim), tokens(1)), () => store.index.remove([0])])
            await expectError(call, "ERR_RTD_READ_ONLY", "store");
        await store.close();
        await using again = await Datastore.open(store.path);
        for (const call of [
            () => again.append(vectors(1, dim), tokens(1)),
            () => again.seal(),
            () => again.remove([0]),
            () => again.setMetadata({}),
        ])
            await expectError(call, "ERR_RTD_READ_ONLY", "writ");
    });

    test("lets one writer in, and any number of readers", async () => {
        const store = await filled();
        await expectError(() => Datastore.open(store.path, { writable: true }), "ERR_RTD_LOCKED", store.path);
        await using one = await Datastore.open(store.path);
        await using two = await Datastore.open(store.path, { verify: false });
        expect([one.size, two.size]).toEqual([100, 100]);
        await store.close();
        const next = await Datastore.open(store.path, { writable: true });
        next.append(vectors(3, dim), tokens(3));
        await next.seal();
        await next.close();
        expect(one.size).toBe(100);
    });

    test("is CLOSED once closed, by name or by symbol", async () => {
        for (const close of [(store: Datastore) => store.close(), (store: Datastore) => store[Symbol.asyncDispose]()]) {
            const store = await filled();
            const searching = store.index.search(vectors(1, dim));
            await Promise.all([close(store), close(store)]);
            await close(store);
            expect((await searching).counts[0]).toBe(16);
            for (const call of [
                () => store.append(vectors(1, dim), tokens(1)),
                () => store.seal(),
                () => store.remove([0]),
                () => store.setMetadata({}),
                () => store.verify(),
                () => store.origins([0]),
                () => store.size,
                () => store.index.searchSync(vectors(1, dim)),
            ])
                await expectError(call, "ERR_RTD_CLOSED", /closed/);
            expect(store.manifest.segments).toHaveLength(1); // what was read stays readable
        }
    });

    test("stops sealing when told", async () => {
        const store = await filled();
        store.append(vectors(10, dim), tokens(10));
        const reason = new Error("enough");
        await expect(store.seal({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
        await store.seal();
        expect(store.manifest.segments.map(({ entries }) => entries)).toEqual([100, 10]);
        await store.close();
    });
});

describe("opening and creating refuse", () => {
    test("arguments that are none", async () => {
        await expectError(
            () => Datastore.create(5 as never, { dim }),
            "ERR_RTD_INVALID_ARGUMENT",
            "path: expected a string, got 5",
        );
        await expectError(
            () => Datastore.create("a\0b", { dim }),
            "ERR_RTD_INVALID_ARGUMENT",
            "path: a string may not hold a NUL character",
        );
        await expectError(
            () => Datastore.create(fresh(), undefined as never),
            "ERR_RTD_INVALID_ARGUMENT",
            "dim: expected an integer",
        );
        await expectError(() => Datastore.create(fresh(), { dim: 0 }), "ERR_RTD_INVALID_ARGUMENT", "dim: expected an integer");
        await expectError(
            () => Datastore.create(fresh(), { dim, metadata: { big: 1n } }),
            "ERR_RTD_INVALID_ARGUMENT",
            "metadata: not an object that JSON can hold",
        );
        await expectError(
            () => Datastore.create(fresh(), { dim, metadata: { deep: ["\ud83d alone"] } }),
            "ERR_RTD_INVALID_ARGUMENT",
            'metadata: not an object that JSON can hold (Error: "\\ud83d alone" holds half of a surrogate pair)',
        );
        await expectError(
            () => Datastore.create(fresh(), { dim, metadata: [] as never }),
            "ERR_RTD_INVALID_ARGUMENT",
            "metadata",
        );
        await expectError(
            () => Datastore.open(fresh(), { writable: 1 as never }),
            "ERR_RTD_INVALID_ARGUMENT",
            "writable: expected true or false, got 1",
        );
        await using store = await filled();
        const cases: [object, string][] = [
            [{ examples: new Uint32Array(2) }, "examples: expected 1 elements, one for each key, got 2"],
            [{ positions: new Int32Array(1) }, "positions: expected a Uint32Array, got an Int32Array of 1"],
            [{ positions: detach(new Uint32Array(1)) }, "positions: its buffer was detached"],
        ];
        for (const [options, message] of cases)
            await expectError(() => store.append(vectors(1, dim), tokens(1), options), "ERR_RTD_INVALID_ARGUMENT", message);
        await expectError(
            () => store.append(resizable(vectors(1, dim)), tokens(1)),
            "ERR_RTD_INVALID_ARGUMENT",
            "keys: its buffer is resizable",
        );
        await expectError(() => store.append(vectors(1, dim).fill(NaN), tokens(1)), "ERR_RTD_NOT_FINITE", /nan/i);
        expect(store.size).toBe(100);
    });

    test("what is not there, and what is already", async () => {
        await expectError(() => Datastore.open(join(folder, "nothing")), "ERR_RTD_NOT_FOUND", "nothing");
        const store = await filled();
        await store.close();
        await expectError(() => Datastore.create(store.path, { dim }), "ERR_RTD_EXISTS", store.path);
    });

    test("damage, each kind by its own name", async () => {
        const segment = "segment-000001.safetensors";
        const damaged = async (damage: (path: string) => Promise<unknown>): Promise<string> => {
            const store = await filled();
            await store.close();
            await damage(store.path);
            return store.path;
        };
        const flip = async (file: string, at: number): Promise<void> => {
            const bytes = await readFile(file);
            bytes[at]! ^= 1;
            await writeFile(file, bytes);
        };
        const cut = await damaged(async (path) => truncate(join(path, segment), (await stat(join(path, segment))).size - 1));
        await expectError(() => Datastore.open(cut), "ERR_RTD_TRUNCATED", segment);
        const flipped = await damaged(async (path) => flip(join(path, segment), (await stat(join(path, segment))).size - 3));
        await expectError(() => Datastore.open(flipped), "ERR_RTD_CHECKSUM", segment);
        const greedy = await damaged(async (path) => {
            const file = await openFile(join(path, segment), "r+");
            await file.write(Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 127), 0, 8, 0); // the header's length
            await file.close();
        });
        await expectError(() => Datastore.open(greedy, { verify: false }), "ERR_RTD_BAD_FORMAT", segment);
        const nonsense = await damaged((path) => writeFile(join(path, "manifest.json"), "{}"));
        await expectError(() => Datastore.open(nonsense), "ERR_RTD_TRUNCATED", "manifest.json");
        const missing = await damaged((path) => rm(join(path, segment)));
        await expectError(() => Datastore.open(missing), "ERR_RTD_NOT_FOUND", segment);

        await using store = await Datastore.open(flipped, { verify: false });
        const reports = await store.verify();
        expect(reports).toContainEqual({ file: "manifest.json", ok: true });
        expect(reports.find(({ file }) => file === segment)).toMatchObject({
            ok: false,
            code: "ERR_RTD_CHECKSUM",
            message: expect.stringContaining(segment) as unknown,
        });

        // Those that cannot be opened too; every file is told of.
        for (const [path, file, code] of [
            [cut, segment, "ERR_RTD_TRUNCATED"],
            [greedy, segment, "ERR_RTD_BAD_FORMAT"],
            [nonsense, "manifest.json", "ERR_RTD_TRUNCATED"],
            [missing, segment, "ERR_RTD_NOT_FOUND"],
        ] as const) {
            const all = await Datastore.verify(path);
            expect(all.filter(({ ok }) => !ok)).toMatchObject([{ file, code }]);
            if (file === segment) expect(all).toContainEqual({ file: "manifest.json", ok: true });
        }
        await expectError(() => Datastore.verify(join(cut, "nowhere")), "ERR_RTD_NOT_FOUND", "nowhere");
        await expectError(() => Datastore.verify(undefined as never), "ERR_RTD_INVALID_ARGUMENT", "path: expected a string");
        const misspelt = { singal: undefined, sginal: 1 } as never;
        await expectError(() => Datastore.verify(cut, misspelt), "ERR_RTD_INVALID_ARGUMENT", 'no option "sginal" here');
    });

    test("nothing in a good store", async () => {
        await using store = await filled();
        expect((await store.verify()).map(({ ok }) => ok)).not.toContain(false);
        await expectError(() => store.verify(5 as never), "ERR_RTD_INVALID_ARGUMENT", "options: expected an object, got 5");
        expect((await readdir(store.path)).sort()).toEqual(
            expect.arrayContaining(["manifest.json", "segment-000001.safetensors"]),
        );
    });
});

describe("the model", () => {
    test("must be the one that made the keys; the message says what differs and what to pass", async () => {
        const { path, close } = await filled().then((store) => ({ path: store.path, close: () => store.close() }));
        await close();
        const other = { ...model, file: "other.gguf", sha256: "cd".repeat(32), quantization: "Q8_0", chatTemplate: undefined };
        await expectError(
            () => Datastore.open(path, { model: other }),
            "ERR_RTD_MODEL_MISMATCH",
            /not made with other\.gguf, but with small\.gguf/,
        );
        await expectError(
            () => Datastore.open(path, { model: other }),
            "ERR_RTD_MODEL_MISMATCH",
            'quantization: the store has "Q4_1", the model "Q8_0"',
        );
        await expectError(
            () => Datastore.open(path, { model: other }),
            "ERR_RTD_MODEL_MISMATCH",
            'allowModelMismatch: ["sha256", "quantization", "chatTemplate"]',
        );
        await expectError(
            () => Datastore.open(path, { model: other, allowModelMismatch: ["sha256"] }),
            "ERR_RTD_MODEL_MISMATCH",
            '["quantization", "chatTemplate"]',
        );
        await (
            await Datastore.open(path, { model: other, allowModelMismatch: ["sha256", "quantization", "chatTemplate"] })
        ).close();
        await (await Datastore.open(path, { model: { ...model, file: "renamed.gguf" } })).close();
        await expectError(
            () => Datastore.open(path, { model, allowModelMismatch: ["hash" as never] }),
            "ERR_RTD_INVALID_ARGUMENT",
            'got "hash"',
        );
        await expectError(() => Datastore.open(path, { model: other, writable: true }), "ERR_RTD_MODEL_MISMATCH", "other.gguf");
        await (await Datastore.open(path, { writable: true })).close(); // the refusal holds no lock
    });

    test.each<[string, unknown, string | RegExp]>([
        ["null options", null, "options: expected an object, got null"],
        ["a misspelt option", { writeable: true }, 'options: there is no option "writeable" here; known are writable,'],
        ["null for a model", { model: null }, "model: expected an object, got null"],
        ["a number for a model", { model: 5 }, "model: expected an object, got 5"],
        [
            "one name without an array",
            { model, allowModelMismatch: "sha256" },
            /allowModelMismatch: expected an array of some of "sha256", .*, got "sha256"/,
        ],
    ])("is not compared with %s", async (_, options, message) => {
        const store = await filled();
        await store.close();
        await expectError(() => Datastore.open(store.path, options as never), "ERR_RTD_INVALID_ARGUMENT", message);
        await (await Datastore.open(store.path, { writable: true })).close();
    });

    test("of a store that names none is refused by name too", async () => {
        const store = await Datastore.create(fresh(), { dim });
        await store.close();
        await expectError(() => Datastore.open(store.path, { model }), "ERR_RTD_MODEL_MISMATCH", 'allowModelMismatch: ["model"]');
        await (await Datastore.open(store.path, { model, allowModelMismatch: ["model"] })).close();
    });
});

test("a store's index gives the same bits as one in memory", async () => {
    await using store = await filled();
    const index = createIndex({ dim });
    index.add(vectors(100, dim), tokens(100));
    index.sealSync();
    expect(store.index.temperature).toBe(index.temperature);
    const [one, two] = [vectors(3, 100, 5), vectors(3, 100, 5)];
    const queries = vectors(3, dim, 6);
    expect(store.index.searchAndFuseSync(queries, one)).toEqual(await index.searchAndFuse(queries, two));
    expect(one).toEqual(two);
});
