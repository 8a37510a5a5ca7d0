import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createIndex, Datastore, fitSpace, fitTransform, type KeyTransform } from "../../lib/index.js";
import { detach, tokens, vectors } from "./support/data.js";
import { expectError } from "./support/expect.js";

let folder: string;
let number = 0;
const fresh = (): string => join(folder, `store-${++number}`);
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "rtd-"))));
afterAll(async () => rm(folder, { recursive: true, force: true }));

const dim = 6;

/** W (x - mean) in double. */
function image({ mean, scale, matrix }: KeyTransform, row: Float32Array): number[] {
    const centred = [...row].map((x, i) => x - mean[i]!);
    if (scale) return centred.map((x, i) => x * scale[i]!);
    return Array.from({ length: matrix!.length / dim }, (_, j) =>
        centred.reduce((sum, x, i) => sum + x * matrix![j * dim + i]!, 0),
    );
}

/** Ids by distance of images, in double. */
function nearest(transform: KeyTransform, keys: Float32Array, query: Float32Array, k: number): number[] {
    const asked = image(transform, query);
    return Array.from({ length: keys.length / dim }, (_, id) => {
        const own = image(transform, keys.subarray(id * dim, (id + 1) * dim));
        return { id, distance: Math.hypot(...own.map((x, i) => x - asked[i]!)) };
    })
        .sort((a, b) => a.distance - b.distance)
        .slice(0, k)
        .map(({ id }) => id);
}

const stretched = (): Float32Array => vectors(200, dim).map((x, i) => x * (1 + 10 * (i % dim)) + 3);
const byParity = Int32Array.from({ length: 200 }, (_, i) => i % 2);

describe("a transform of keys", () => {
    test("is fitted, and an index with it finds the nearest images", async () => {
        const [keys, queries] = [stretched(), vectors(4, dim, 7)];
        for (const method of ["standardise", "whiten", "project"] as const) {
            const classes = method === "project" ? byParity : undefined;
            const transform = await fitTransform(keys, { dim, method, shrinkage: 0.1, classes });
            const searchedDim = method === "project" ? 1 : dim;
            expect(transform.mean).toHaveLength(dim);
            expect(transform.matrix?.length).toBe(method === "standardise" ? undefined : dim * searchedDim);
            const index = createIndex({ dim, transform });
            index.add(keys, tokens(200));
            expect(index.info()).toMatchObject({ dim, searchedDim });
            expect(index.transform).toEqual(transform);
            expect(index.keysOf([3])).toHaveLength(searchedDim);
            const { ids } = index.searchSync(queries, { k: 5 });
            for (let b = 0; b < 4; b++)
                expect([...ids.subarray(5 * b, 5 * b + 5)]).toEqual(
                    nearest(transform, keys, queries.subarray(b * dim, (b + 1) * dim), 5),
                );
        }
        const [mean] = [await fitTransform(keys, { dim })].map((fitted) => fitted.mean);
        for (let i = 0; i < dim; i++) {
            const column = Array.from({ length: 200 }, (_, r) => keys[r * dim + i]!);
            expect(mean![i]).toBeCloseTo(column.reduce((a, b) => a + b) / 200, 4);
        }
    });

    test("works on copies, and ends with a signal", async () => {
        const keys = stretched();
        const fitted = fitTransform(keys, { dim });
        detach(keys);
        expect((await fitted).matrix).toHaveLength(dim * dim);
        await expect(fitTransform(stretched(), { dim, signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow(
            "enough",
        );
    });

    test("that cannot be fitted or used says why", async () => {
        const keys = stretched();
        const code = "ERR_RTD_INVALID_ARGUMENT";
        await expectError(
            () => fitTransform(keys, { dim, method: "pca" as never }),
            code,
            'method: expected one of "standardise"',
        );
        await expectError(() => fitTransform(keys, { dim, shrinkage: -1 }), code, "shrinkage is -1");
        await expectError(() => fitTransform(keys, { dim: 7 }), code, "keys");
        await expectError(() => fitTransform(keys, { dim, method: "project" }), code, "classes: expected");
        await expectError(
            () => fitTransform(keys, { dim, method: "project", classes: byParity.subarray(1) }),
            code,
            "classes: expected 200",
        );
        await expectError(() => fitTransform(keys, { dim, shrink: 1 } as never), code, 'there is no option "shrink" here');
        await expectError(() => fitTransform(new Float32Array(dim * 9), { dim }), code, "do not vary");
        await expectError(
            () =>
                fitTransform(
                    keys.map(() => NaN),
                    { dim },
                ),
            "ERR_RTD_NOT_FINITE",
            "key 0 holds nan",
        );

        const transform = await fitTransform(keys, { dim });
        const create = (transform: unknown, heads = 1) => createIndex({ dim, heads, transform: transform as KeyTransform });
        await expectError(() => create({ ...transform, scale: transform.mean }), code, "transform: expected { mean, scale } or");
        await expectError(() => create({ mean: transform.mean }), code, "transform: expected { mean, scale } or");
        await expectError(() => create({ ...transform, mean: [1, 2] }), code, "transform.mean: expected");
        await expectError(() => create({ ...transform, mean: new Float32Array(5) }), code, "transform.mean: expected 6");
        await expectError(() => create({ ...transform, matrix: new Float32Array(13) }), code, "rows of 6 numbers, got 13");
        await expectError(() => create({ ...transform, means: 1 }), code, 'there is no option "means" here');
        await expectError(() => create(transform, 3), code, "mixes what heads keep apart");
    });
});

describe("a store's space", () => {
    test("is set, kept, and taken away again, and the keys stay", async () => {
        const path = fresh();
        const store = await Datastore.create(path, { dim, dtype: "f16" });
        const keys = stretched();
        store.append(keys.subarray(0, 150 * dim), tokens(150));
        await store.seal();
        store.append(keys.subarray(150 * dim), tokens(50));
        const kept = store.keysOf(Array.from({ length: 200 }, (_, i) => i));
        const before = store.index;
        const shares: number[] = [];
        const transform = await fitSpace(store, { method: "whiten", shrinkage: 0.5, onProgress: (share) => shares.push(share) });
        expect(shares.at(-1)).toBe(1);
        expect(store.index).not.toBe(before);
        expect(before.info().searchedDim).toBe(dim);
        expect(store.index.transform).toEqual(transform);
        expect(store.manifest.transform).toMatchObject({ kind: "matrix", entries: dim });
        expect(store.keysOf(Array.from({ length: 200 }, (_, i) => i))).toEqual(kept);
        const query = vectors(1, dim, 5);
        const found = store.index.searchSync(query, { k: 10 });
        expect([...found.ids]).toEqual(nearest(transform, kept, query, 10));

        store.append(query, Int32Array.of(7));
        expect(store.index.searchSync(query, { k: 1 }).distances[0]).toBeLessThan(0.01);
        await store.seal();
        await store.close();
        const opened = await Datastore.open(path, { writable: true });
        expect(opened.index.transform).toEqual(transform);
        expect(opened.index.searchSync(query, { k: 11 }).ids.slice(1)).toEqual(found.ids);
        expect((await opened.verify()).every((report) => report.ok)).toBe(true);

        await opened.setSpace({ transform: null, heads: 2 });
        expect(opened.index.info()).toMatchObject({ heads: 2, dim, searchedDim: dim });
        expect(opened.index.transform).toBeUndefined();
        expect((await readdir(path)).filter((name) => name.startsWith("transform"))).toEqual([]);
        await fitSpace(opened, { method: "standardise" });
        expect(opened.index.info().heads).toBe(2);
        await opened.setSpace({ heads: 3 }); // what is left out stays
        expect(opened.index.info().heads).toBe(3);
        expect(opened.index.transform?.scale).toHaveLength(dim);
        await opened.close();
    });

    test("that cannot be is refused, and nothing changes", async () => {
        const store = await Datastore.create(fresh(), { dim, heads: 2 });
        await expectError(() => fitSpace(store), "ERR_RTD_UNSUPPORTED", "has no entries");
        store.append(stretched(), byParity);
        await store.seal();
        const manifest = store.manifest;
        const code = "ERR_RTD_INVALID_ARGUMENT";
        await expectError(() => store.setSpace({ heads: 4 }), code, "multiple of heads");
        await expectError(() => store.setSpace({ heads: 0 }), code, "heads: expected");
        await expectError(() => store.setSpace({ head: 1 } as never), code, 'there is no option "head" here');
        await expectError(
            () => store.setSpace({ transform: { mean: new Float32Array(dim), matrix: new Float32Array(2 * dim) } }),
            code,
            "mixes what heads keep apart",
        );
        expect(store.manifest).toEqual(manifest);
        await fitSpace(store, { method: "project", shrinkage: 0.1 }); // gives the heads up
        expect(store.index.info()).toMatchObject({ heads: 1, searchedDim: 1 });
        await store.close();
        await expectError(() => store.setSpace({ heads: 1 }), "ERR_RTD_CLOSED", "was closed");
    });
});
