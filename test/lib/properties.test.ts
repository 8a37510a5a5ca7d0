import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backends, createIndex, type Dtype, type FuseRowOptions, type Metric, type RowOptions } from "../../lib/index.js";
import { fused, kept, nearest, type Entry, type Hit } from "./support/oracle.js";
import { expectMerged } from "./support/expect.js";
import { bytesOf, random, shifted } from "./support/data.js";

/** Random shapes, contents and options. Values come from a seed: shrinking a shape is worth more than shrinking a number. */
const cases = fc.record({
    seed: fc.nat(),
    heads: fc.constantFrom(1, 1, 2, 3),
    slice: fc.constantFrom(1, 2, 7, 64, 127, 128, 129, 200),
    entries: fc.nat(60),
    queries: fc.integer({ min: 0, max: 5 }),
    metric: fc.constantFrom<Metric>("l2", "l2sq", "dot"),
    dtype: fc.constantFrom<Dtype>("f32", "f16", "bf16"),
    content: fc.constantFrom("uniform", "spiky", "grid", "duplicates", "equal", "tiny"),
    k: fc.integer({ min: 1, max: 70 }),
    removed: fc.double({ min: 0, max: 0.5, noNaN: true }),
    namespaces: fc.integer({ min: 1, max: 3 }),
    batches: fc.integer({ min: 1, max: 3 }),
    seal: fc.boolean(),
});
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function fill(rows: number, dim: number, { content }: Case, next: () => number): Float32Array {
    const values = Float32Array.from({ length: rows * dim }, (_, i) => {
        const value = next() * 2 - 1;
        if (content === "equal") return 0.25;
        if (content === "grid") return Math.round(value * 2) / 2; // many ties
        if (content === "tiny") return value * 1e-20; // sums that underflow
        return content === "spiky" && i % dim === Math.floor(dim / 2) ? value * 100 : value;
    });
    if (content === "duplicates") for (let row = 2; row < rows; row += 2) values.copyWithin(row * dim, 0, dim);
    return values;
}

/** One random world: an index, what the oracle knows of it, and queries with options of their own. */
function build(given: Case) {
    const next = random(given.seed);
    const dim = given.heads * given.slice;
    const keys = fill(given.entries, dim, given, next);
    const queries = fill(given.queries, dim, given, next);
    const entries: Entry[] = Array.from({ length: given.entries }, (_, i) => ({
        key: keys.slice(i * dim, (i + 1) * dim).map((value) => kept(value, given.dtype)),
        token: Math.floor(next() * 12),
        namespace: Math.floor(next() * given.namespaces),
        live: next() >= given.removed,
    }));
    const rows = Array.from({ length: given.queries }, (): RowOptions & FuseRowOptions => ({
        ...(next() < 0.5 && { k: 1 + Math.floor(next() * 20) }),
        ...(next() < 0.3 && { maxDistance: (next() - 0.3) * 4 }),
        ...(next() < 0.3 && { namespaces: [Math.floor(next() * given.namespaces)] }),
        referenceWeight: [0, 0.3, 0.9, 1][Math.floor(next() * 4)]!,
        temperature: 0.05 + next(),
        unmask: next() < 0.3,
    }));
    const index = createIndex({
        dim,
        metric: given.metric,
        dtype: given.dtype,
        heads: given.heads,
        threads: 1 + Math.floor(next() * 3),
    });
    const cut = (i: number): number => Math.floor((i * given.entries) / given.batches);
    for (let i = 0; i < given.batches; ++i) {
        const part = entries.slice(cut(i), cut(i + 1));
        index.add(
            shifted(keys.subarray(cut(i) * dim, cut(i + 1) * dim)),
            Int32Array.from(part, ({ token }) => token),
            { namespaces: Uint32Array.from(part, ({ namespace }) => namespace) },
        );
        if (given.seal) index.sealSync();
    }
    index.remove(entries.flatMap(({ live }, id) => (live ? [] : [id])));
    return { index, entries, dim, queries, rows, next };
}

const runs = { numRuns: 150 };

describe("for random shapes and contents", () => {
    test("ids, distance bits, tokens and counts are those of the definition", async () => {
        await fc.assert(
            fc.asyncProperty(cases, async (given) => {
                const world = build(given);
                using index = world.index;
                const { entries, dim, queries, rows } = world;
                const hits = await index.search(queries, { k: given.k, rows });
                expect(index.searchSync(queries, { k: given.k, rows })).toEqual(hits);
                for (let row = 0; row < given.queries * given.heads; ++row) {
                    const query = Math.floor(row / given.heads);
                    const options = { k: given.k, ...rows[query] };
                    const expected = nearest(
                        entries,
                        queries.subarray(query * dim, (query + 1) * dim),
                        row % given.heads,
                        given.heads,
                        given.metric,
                        options,
                    );
                    const part = <T extends { subarray(from: number, to: number): T }>(all: T): T =>
                        all.subarray(row * hits.k, (row + 1) * hits.k);
                    const padded = <T>(list: T[], pad: T): T[] => [...list, ...Array<T>(hits.k - list.length).fill(pad)];
                    expect(hits.counts[row]).toBe(expected.length);
                    expect([...part(hits.ids)]).toEqual(
                        padded(
                            expected.map(({ id }) => id),
                            0xffffffff,
                        ),
                    );
                    expect([...part(hits.tokens)]).toEqual(
                        padded(
                            expected.map(({ token }) => token),
                            -1,
                        ),
                    );
                    expect([...part(hits.distances)]).toEqual(
                        padded(
                            expected.map(({ distance }) => distance),
                            Infinity,
                        ),
                    );
                }
            }),
            runs,
        );
    });

    test("logits become what the formula says, in place and through copies", async () => {
        const V = 13;
        await fc.assert(
            fc.asyncProperty(cases, async (given) => {
                const world = build(given);
                using index = world.index;
                const { entries, dim, queries, rows, next } = world;
                const before = Float32Array.from({ length: given.queries * V }, () =>
                    next() < 0.1 ? -Infinity : (next() - 0.5) * 30,
                );
                const [now, later] = [before.slice(), shifted(before)];
                const result = index.searchAndFuseSync(queries, now, { k: given.k, rows });
                expect(await index.searchAndFuse(shifted(queries), later, { k: given.k, rows })).toEqual(result);
                expect(bytesOf(later)).toEqual(bytesOf(now));
                for (let q = 0; q < given.queries; ++q) {
                    const { referenceWeight = 0, temperature = 1, unmask = false, ...options } = { k: given.k, ...rows[q] };
                    const query = queries.subarray(q * dim, (q + 1) * dim);
                    const votes: Hit[][] = Array.from({ length: given.heads }, (_, head) =>
                        nearest(entries, query, head, given.heads, given.metric, options),
                    );
                    const was = before.subarray(q * V, (q + 1) * V);
                    const is = now.subarray(q * V, (q + 1) * V);
                    const expected = fused(was, votes, referenceWeight, temperature, unmask);
                    expect(result.statuses[q] === "merged").toBe(expected !== undefined);
                    if (expected === undefined) {
                        expect(is).toEqual(was);
                        continue;
                    }
                    expectMerged(is, was, expected, referenceWeight);
                }
            }),
            runs,
        );
    });

    test("nothing depends on back end, threads or how the keys were added", () => {
        const usable = backends().filter((backend) => backend.usable);
        fc.assert(
            fc.property(cases, (given) => {
                const world = build(given);
                using index = world.index;
                const { entries, dim, queries, rows, next } = world;
                const before = Float32Array.from({ length: given.queries * 13 }, () => next());
                const logits = before.slice();
                const expected = index.searchAndFuseSync(queries, logits, { k: given.k, rows });
                for (const { name } of usable) {
                    for (const threads of [1, 2, 5]) {
                        using other = createIndex({
                            dim,
                            metric: given.metric,
                            dtype: given.dtype,
                            heads: given.heads,
                            backend: name,
                            threads,
                        });
                        for (const { key, token, namespace } of entries)
                            other.add(key, Int32Array.of(token), { namespaces: namespace });
                        other.remove(entries.flatMap(({ live }, id) => (live ? [] : [id])));
                        const mine = before.slice();
                        expect(other.searchAndFuseSync(queries, mine, { k: given.k, rows })).toEqual(expected);
                        expect(bytesOf(mine)).toEqual(bytesOf(logits));
                    }
                }
            }),
            { numRuns: 40 },
        );
    });
});
