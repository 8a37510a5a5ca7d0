import { describe, expect, test } from "vitest";
import { createIndex, fuse, fuseSync, logProbabilities, type FuseOptions, type FuseResult, type Hits } from "../../lib/index.js";
import { bits16, fused, kept, logSumExp, type Hit } from "./support/oracle.js";
import { expectMerged } from "./support/expect.js";
import { bytesOf, tokens, vectors } from "./support/data.js";

const V = 100;
const index = createIndex({ dim: 8 });
index.add(vectors(60, 8), tokens(60, 20));
index.sealSync();
const queries = vectors(3, 8, 5);
const logits = (): Float32Array => vectors(3, V, 7).map((value) => value * 8);

/** Hits of one row, for the oracle. */
const hitsOf = ({ ids, distances, tokens, counts, k }: Hits, row: number): Hit[] =>
    Array.from({ length: counts[row]! }, (_, i) => ({
        id: ids[row * k + i]!,
        distance: distances[row * k + i]!,
        token: tokens[row * k + i]!,
    }));

/** All forms of fusing must write the same bits and return the same statuses. */
async function everyWay(
    options: FuseOptions & { k?: number },
    given = logits(),
): Promise<{ result: FuseResult; rows: Float32Array }> {
    const rows = given.slice();
    const result = index.searchAndFuseSync(queries, rows, options);
    const later = given.slice();
    expect(await index.searchAndFuse(queries, later, options)).toEqual(result);
    const hits = index.searchSync(queries, { k: options.k });
    const [foreignNow, foreignLater] = [given.slice(), given.slice()];
    const own = { temperature: index.temperature, ...options };
    const foreign = { ...result };
    delete foreign.hits;
    expect(fuseSync(hits, foreignNow, own)).toEqual(foreign);
    expect(await fuse(hits, foreignLater, own)).toEqual(foreign);
    for (const other of [later, foreignNow, foreignLater]) expect(bytesOf(other)).toEqual(bytesOf(rows));
    return { result, rows };
}

describe("fusing", () => {
    test.each([
        { referenceWeight: 0.5 },
        { referenceWeight: 0.999, temperature: 0.01 },
        { referenceWeight: 1e-6, temperature: 3 },
        { referenceWeight: 1 },
        { k: 1, referenceWeight: 0.3 },
    ])("follows the formula with %o", async (options) => {
        const { result, rows } = await everyWay(options);
        expect(result.statuses).toEqual(["merged", "merged", "merged"]);
        for (let row = 0; row < 3; ++row) {
            const before = logits().subarray(row * V, (row + 1) * V);
            const expected = fused(
                before,
                [hitsOf(result.hits!, row)],
                options.referenceWeight,
                options.temperature ?? index.temperature!,
                false,
            )!;
            expectMerged(rows.subarray(row * V, (row + 1) * V), before, expected, options.referenceWeight);
        }
    });

    test("takes 0.5 and the index's temperature by default", async () => {
        const { rows } = await everyWay({});
        expect(rows).toEqual((await everyWay({ referenceWeight: 0.5, temperature: index.temperature })).rows);
        expect(rows).not.toEqual(logits());
    });

    test("leaves a row alone at weight 0, skipped, and without hits", async () => {
        const rows = logits();
        const options = { rows: [{ referenceWeight: 0 }, { skip: true }, { maxDistance: 0 }] };
        const { statuses, hits } = await index.searchAndFuse(queries, rows, options);
        expect(statuses).toEqual(["unchanged", "unchanged", "unchanged"]);
        expect([...hits!.counts]).toEqual([16, 0, 0]);
        expect(rows).toEqual(logits());
    });

    test("leaves a row alone that cannot be merged, and merges the others", async () => {
        for (const value of [NaN, Infinity]) {
            const given = logits();
            given[V + 50] = value;
            const { result, rows } = await everyWay({}, given);
            expect(result.statuses).toEqual(["merged", "unmergeable", "merged"]);
            expect(rows.subarray(V, 2 * V)).toEqual(given.subarray(V, 2 * V));
        }
        const masked = logits();
        masked.fill(-Infinity, 0, V);
        expect((await everyWay({ referenceWeight: 1 }, masked)).result.statuses[0]).toBe("unmergeable");
    });

    test("keeps masked tokens masked, unless told otherwise", async () => {
        const masked = logits();
        for (let i = 0; i < masked.length; ++i) if (i % V < 20 && i % 2 === 0) masked[i] = -Infinity;
        const kept = (await everyWay({}, masked)).rows;
        expect([...kept].map((l) => l === -Infinity)).toEqual([...masked].map((l) => l === -Infinity));
        const unmasked = (await everyWay({ unmask: true }, masked)).rows;
        expect([...unmasked].filter((l) => l === -Infinity).length).toBeLessThan(
            [...masked].filter((l) => l === -Infinity).length,
        );
        const perRow = (await everyWay({ unmask: true, rows: [{ unmask: false }, {}, {}] }, masked)).rows;
        expect(perRow.subarray(0, V)).toEqual(kept.subarray(0, V));
        expect(perRow.subarray(V)).toEqual(unmasked.subarray(V));
    });

    test("merges into the model with a bias, by row, and only where it merges", async () => {
        const bias = { tokens: [3, 98, 40], values: [2, -1.5, 0.25] };
        const biased = logits().map((value, i) => {
            const at = bias.tokens.indexOf(i % V);
            return at < 0 ? value : value + bias.values[at]!;
        });
        const { result, rows } = await everyWay({ bias });
        expect(result.statuses).toEqual(["merged", "merged", "merged"]);
        expect(bytesOf(rows)).toEqual(bytesOf((await everyWay({}, biased)).rows));
        const typed = { tokens: Int32Array.from(bias.tokens), values: Float32Array.from(bias.values) };
        expect(bytesOf((await everyWay({ bias: typed })).rows)).toEqual(bytesOf(rows));

        const some = await everyWay({ bias, rows: [{ referenceWeight: 0 }, {}, { bias: { tokens: [], values: [] } }] });
        expect(bytesOf(some.rows.subarray(0, V))).toEqual(bytesOf(logits().subarray(0, V)));
        expect(bytesOf(some.rows.subarray(V, 2 * V))).toEqual(bytesOf(rows.subarray(V, 2 * V)));
        expect(bytesOf(some.rows.subarray(2 * V))).toEqual(bytesOf((await everyWay({})).rows.subarray(2 * V)));
        const beyond = logits();
        expect(index.searchAndFuseSync(queries, beyond, { bias, maxDistance: 0 }).statuses).toEqual(Array(3).fill("unchanged"));
        expect(bytesOf(beyond)).toEqual(bytesOf(logits()));
    });

    test.each<[unknown, string, RegExp]>([
        [{ tokens: [1], values: [1, 2] }, "INVALID_ARGUMENT", /bias\.values: expected 1 element.*bias\.tokens, got 2/],
        [{ tokens: [1] }, "INVALID_ARGUMENT", /bias\.values: expected a Float32Array or an array of numbers, got undefined/],
        [{ tokens: [-1], values: [1] }, "INVALID_ARGUMENT", /bias\.tokens\[0\]: .*got -1/],
        [{ tokens: new Uint32Array(1), values: [1] }, "INVALID_ARGUMENT", /bias\.tokens: expected an Int32Array/],
        [{ tokens: [V], values: [1] }, "TOKEN_RANGE", /bias_tokens has 100; the logits have 100 columns/],
        [{ tokens: [5, 5], values: [1, 2] }, "INVALID_ARGUMENT", /token 5 twice/],
        [{ tokens: [5], values: [Infinity] }, "INVALID_ARGUMENT", /bias\.values\[0\]: expected a finite number, got inf/],
        [{ tokens: [5], weights: [1] }, "INVALID_ARGUMENT", /bias: there is no option "weights" here; known are tokens, values/],
        [7, "INVALID_ARGUMENT", /bias: expected an object, got 7/],
    ])("refuses the bias %o", (bias, code, message) => {
        const rows = logits();
        expect(() => index.searchAndFuseSync(queries, rows, { bias } as never)).toThrow(
            expect.objectContaining({ code: `ERR_RTD_${code}`, message: expect.stringMatching(message) as unknown }),
        );
        expect(rows).toEqual(logits());
    });

    test("says what rows were weighed by, and merges by a gate of those figures", async () => {
        const entropyOf = (shares: number[]) => -shares.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);
        const gate = { bias: 0.5, hitEntropy: -0.75, largestVote: 2, modelEntropy: 0.25, maxWeight: 0.75 };
        const { result, rows } = await everyWay({ gate, k: 6, figures: true });
        const { nearest, hitEntropy, largestVote, modelEntropy, referenceWeight, temperature } = result.figures!;
        const given = logits();
        for (let row = 0; row < 3; row++) {
            const hits = hitsOf(result.hits!, row);
            const weights = hits.map(({ distance }) => Math.exp((hits[0]!.distance - distance) / index.temperature!));
            const total = weights.reduce((sum, weight) => sum + weight, 0);
            const votes = new Map<number, number>();
            for (const [i, { token }] of hits.entries()) votes.set(token, (votes.get(token) ?? 0) + weights[i]! / total);
            const before = given.subarray(row * V, (row + 1) * V);
            const lse = logSumExp(before);
            expect(nearest[row]).toBe(hits[0]!.distance);
            expect(hitEntropy[row]).toBeCloseTo(entropyOf([...votes.values()]), 10);
            expect(largestVote[row]).toBeCloseTo(Math.max(...votes.values()), 10);
            expect(modelEntropy[row]).toBeCloseTo(entropyOf(Array.from(before, (l) => Math.exp(l - lse))), 5);
            const z = 0.5 - 0.75 * hitEntropy[row]! + 2 * largestVote[row]! + 0.25 * modelEntropy[row]!;
            expect(referenceWeight[row]).toBeCloseTo(0.75 / (1 + Math.exp(-z)), 10);
            expect(temperature[row]).toBe(index.temperature);
            const expected = fused(before, [hits], referenceWeight[row]!, index.temperature!, false)!;
            for (const [v, value] of rows.subarray(row * V, (row + 1) * V).entries()) expect(value).toBeCloseTo(expected[v]!, 4);
        }
        const mixed = { gate, figures: true, rows: [{}, { referenceWeight: 0.125 }, { referenceWeight: 0 }] };
        const { figures, statuses } = (await everyWay({ ...mixed, k: 6 })).result;
        expect([...figures!.referenceWeight]).toEqual([referenceWeight[0], 0.125, 0]); // a row's own weight takes the gate back
        expect(figures!.modelEntropy).toEqual(modelEntropy); // of the row that is not merged, too
        expect(statuses).toEqual(["merged", "merged", "unchanged"]);
        const { figures: none } = index.searchAndFuseSync(queries, logits(), { maxDistance: 0, figures: true });
        expect([none!.nearest[0], none!.hitEntropy[0], none!.largestVote[0], none!.referenceWeight[0]]).toEqual([
            Infinity,
            0,
            0,
            0,
        ]);
        const skipped = index.searchAndFuseSync(queries, logits(), { rows: [{ skip: true }, {}, {}], figures: true });
        expect([skipped.figures!.modelEntropy[0], skipped.figures!.temperature[0]]).toEqual([NaN, 0]);
    });

    test.each<[unknown, RegExp]>([
        [{ bias: 0, hitEntropy: 0, largestVote: 0, modelEntropy: 0 }, /gate\.maxWeight: expected a number, got undefined/],
        [
            { bias: 0, hitEntropy: 0, largestVote: 0, modelEntropy: 0, maxWeight: 2 },
            /gate\.maxWeight: expected a number from 0 to 1, got 2/,
        ],
        [{ bias: 1e39, hitEntropy: 0, largestVote: 0, modelEntropy: 0, maxWeight: 1 }, /gate\.bias: .*float32.*, got 1e\+?39/],
        [{ weight: 1 }, /gate: there is no option "weight" here; known are bias, hitEntropy/],
        [null, /gate: expected an object, got null/],
    ])("refuses the gate %o", (gate, message) => {
        expect(() => index.searchAndFuseSync(queries, logits(), { gate } as never)).toThrow(
            expect.objectContaining({ code: "ERR_RTD_INVALID_ARGUMENT", message: expect.stringMatching(message) as unknown }),
        );
    });

    test("returns no hits where none are wanted", async () => {
        expect(index.searchAndFuseSync(queries, logits(), { hits: false })).toEqual({ statuses: ["merged", "merged", "merged"] });
        expect(await index.searchAndFuse(queries, logits(), { hits: false })).not.toHaveProperty("hits");
    });

    test("rounds float16 logits once", async () => {
        const halves = logits().map((value) => kept(value, "f16"));
        const wide = halves.slice();
        const bits = Uint16Array.from(halves, (value) => bits16(value, "f16"));
        index.searchAndFuseSync(queries, wide, { referenceWeight: 0.7 });
        const later = bits.slice();
        index.searchAndFuseSync(queries, bits, { referenceWeight: 0.7 });
        await index.searchAndFuse(queries, later, { referenceWeight: 0.7 });
        expect(bits).toEqual(Uint16Array.from(wide, (value) => bits16(kept(value, "f16"), "f16")));
        expect(later).toEqual(bits);
    });

    test("averages the votes of foreign hits over heads", () => {
        const hits = {
            distances: new Float32Array(2),
            tokens: Int32Array.of(3, 5),
            counts: Uint32Array.of(1, 1),
            k: 1,
            heads: 2,
        };
        const row = new Float32Array(8);
        expect(fuseSync(hits, row, { referenceWeight: 1, temperature: 1 }).statuses).toEqual(["merged"]);
        expect([...row].map(Math.exp).map((p) => Math.round(p * 1000) / 1000)).toEqual([0, 0, 0, 0.5, 0, 0.5, 0, 0]);
    });
});

test("log-probabilities are those of a softmax", () => {
    const rows = logits();
    const wanted = Int32Array.of(0, 99, 5, 5, 50, 1);
    const found = logProbabilities(rows, V, wanted, 2);
    expect(found).toBeInstanceOf(Float64Array);
    for (const [i, value] of found.entries()) {
        const row = rows.subarray((i >> 1) * V, ((i >> 1) + 1) * V);
        expect(value).toBeCloseTo(row[wanted[i]!]! - logSumExp(row), 6);
    }
    expect(logProbabilities(rows, V, Int32Array.of(0, 5, 50))).toEqual(Float64Array.of(found[0]!, found[2]!, found[4]!));
    rows[3] = NaN;
    expect([...logProbabilities(rows, V, Int32Array.of(0, 5, 50))].map(Number.isNaN)).toEqual([true, false, false]);
});
