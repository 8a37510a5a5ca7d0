import { describe, expect, test } from "vitest";
import {
    buildDatastore,
    classify,
    createIndex,
    evaluate,
    fitSpace,
    fitTransform,
    fuse,
    fuseSync,
    logProbabilities,
    tune,
} from "../../lib/index.js";
import { detach, resizable, tokens, vectors } from "./support/data.js";
import { expectError } from "./support/expect.js";

/** What JavaScript may pass although the types forbid it. */
const any = (value: unknown): never => value as never;

const index = createIndex({ dim: 4 });
index.add(vectors(10, 4), tokens(10));
index.sealSync();
const queries = vectors(2, 4, 2);
const logits = (): Float32Array => vectors(2, 100, 3);

type Case = [what: string, call: () => unknown, message: string | RegExp];
const invalid = (cases: Case[]): void => {
    test.each(cases)("%s", async (_, call, message) => expectError(call, "ERR_RTD_INVALID_ARGUMENT", message));
};

describe("createIndex refuses", () => {
    invalid([
        ["no options", () => createIndex(any(undefined)), "dim: expected an integer from 1 to 65536, got undefined"],
        ["options that are no object", () => createIndex(any(5)), "options: expected an object, got 5"],
        ["null", () => createIndex(any(null)), "options: expected an object, got null"],
        ["dim 0", () => createIndex({ dim: 0 }), "dim: expected an integer from 1 to 65536, got 0"],
        ["dim 1.5", () => createIndex({ dim: 1.5 }), "got 1.5"],
        ["dim NaN", () => createIndex({ dim: NaN }), "got NaN"],
        ["dim -1", () => createIndex({ dim: -1 }), "got -1"],
        ["dim 65537", () => createIndex({ dim: 65537 }), "got 65537"],
        ["a BigInt", () => createIndex({ dim: any(4n) }), "got the BigInt 4n"],
        ["a numeric string", () => createIndex({ dim: any("4") }), 'got "4"'],
        [
            "an unknown metric",
            () => createIndex({ dim: 4, metric: any("cosine") }),
            'metric: expected one of "l2", "l2sq", "dot", got "cosine"',
        ],
        [
            "an unknown dtype",
            () => createIndex({ dim: 4, dtype: any("f64") }),
            'dtype: expected one of "f32", "f16", "bf16", got "f64"',
        ],
        [
            "a back end nobody knows",
            () => createIndex({ dim: 4, backend: any("tpu") }),
            /backend: expected one of "auto", .*"serial".*, got "tpu"/,
        ],
        ["heads that do not divide dim", () => createIndex({ dim: 4, heads: 3 }), "3"],
        ["more heads than dimensions", () => createIndex({ dim: 4, heads: 8 }), "heads: expected an integer from 1 to 4, got 8"],
        ["no heads", () => createIndex({ dim: 4, heads: 0 }), "heads: expected an integer from 1 to 4, got 0"],
        ["threads 0", () => createIndex({ dim: 4, threads: 0 }), "threads: expected an integer from 1 to 1024, got 0"],
    ]);
});

describe("add refuses", () => {
    invalid([
        [
            "numbers in an array",
            () => index.add(any([1, 2, 3, 4]), tokens(1)),
            "keys: expected a Float32Array or a Uint16Array, got an array of 4",
        ],
        [
            "doubles",
            () => index.add(any(new Float64Array(4)), tokens(1)),
            "keys: expected a Float32Array or a Uint16Array, got a Float64Array of 4",
        ],
        ["nothing", () => index.add(any(undefined), tokens(1)), "keys: expected a Float32Array or a Uint16Array, got undefined"],
        ["a bare buffer", () => index.add(any(new ArrayBuffer(16)), tokens(1)), "got an ArrayBuffer: make a typed array over it"],
        ["a DataView", () => index.add(any(new DataView(new ArrayBuffer(16))), tokens(1)), "got an object"],
        [
            "half a row",
            () => index.add(vectors(1, 6), tokens(1)),
            "keys: expected a whole number of rows of dim = 4 numbers, got 6 numbers",
        ],
        [
            "16-bit keys for f32",
            () => index.add(new Uint16Array(4), tokens(1)),
            "keys: a Uint16Array holds numbers in the index's own dtype",
        ],
        ["too few tokens", () => index.add(vectors(2, 4), tokens(1)), "tokens: expected 2 elements, one for each key, got 1"],
        [
            "unsigned tokens",
            () => index.add(vectors(1, 4), any(new Uint32Array(1))),
            "tokens: expected an Int32Array, got a Uint32Array of 1",
        ],
        [
            "too few namespaces",
            () => index.add(vectors(2, 4), tokens(2), { namespaces: new Uint32Array(1) }),
            "namespaces: expected 2 elements, one for each key, got 1",
        ],
        [
            "a negative namespace",
            () => index.add(vectors(1, 4), tokens(1), { namespaces: -1 }),
            "namespaces: expected an integer from 0 to 4294967295, got -1",
        ],
        [
            "signed namespaces",
            () => index.add(vectors(1, 4), tokens(1), { namespaces: any(new Int32Array(1)) }),
            "got an Int32Array of 1",
        ],
        ["keys that were transferred", () => index.add(detach(vectors(1, 4)), tokens(1)), "keys: its buffer was detached"],
        ["tokens that were transferred", () => index.add(vectors(1, 4), detach(tokens(1))), "tokens: its buffer was detached"],
        ["keys that may shrink", () => index.add(resizable(vectors(1, 4)), tokens(1)), "keys: its buffer is resizable"],
    ]);

    test.each([NaN, Infinity, -Infinity])("a key with %d", async (value) => {
        const keys = vectors(3, 4);
        keys[9] = value;
        await expectError(() => index.add(keys, tokens(3)), "ERR_RTD_NOT_FINITE", "2");
    });

    test("a key that does not fit its dtype", async () => {
        const half = createIndex({ dim: 1, dtype: "f16" });
        await expectError(() => half.add(Float32Array.of(1, 70000), tokens(2)), "ERR_RTD_NOT_FINITE", "f16");
        expect(half.size).toBe(0);
    });

    test("a negative token", async () => {
        await expectError(() => index.add(vectors(2, 4), Int32Array.of(1, -1)), "ERR_RTD_TOKEN_RANGE", "-1");
        expect(index.size).toBe(10); // nor the good one
    });
});

describe("search refuses", () => {
    const cases: [string, Parameters<typeof index.searchSync>, string | RegExp][] = [
        ["doubles", [any(new Float64Array(4))], "queries: expected a Float32Array or a Uint16Array, got a Float64Array of 4"],
        ["half a row", [vectors(1, 6)], "queries: expected a whole number of rows of dim = 4 numbers, got 6 numbers"],
        ["k 0", [queries, { k: 0 }], "k: expected an integer from 1 to 2048, got 0"],
        ["k 1.5", [queries, { k: 1.5 }], "k: expected an integer from 1 to 2048, got 1.5"],
        ["k 2049", [queries, { k: 2049 }], "k: expected an integer from 1 to 2048, got 2049"],
        ["k NaN", [queries, { k: NaN }], "k: expected an integer from 1 to 2048, got NaN"],
        ["k null", [queries, { k: any(null) }], "k: expected an integer from 1 to 2048, got null"],
        ["k true", [queries, { k: any(true) }], "got true"],
        ["k as a symbol", [queries, { k: any(Symbol("k")) }], "got a symbol"],
        ["k as a function", [queries, { k: any(() => 3) }], "got a function"],
        ["options that are no object", [queries, any("k")], 'options: expected an object, got "k"'],
        [
            "rows that are no array",
            [queries, { rows: any({}) }],
            "rows: expected an array with one object for each query, got an object",
        ],
        ["too few rows", [queries, { rows: [{}] }], "rows: expected 2 elements, one for each query, got 1"],
        ["a row that is no object", [queries, { rows: [{}, any(3)] }], "rows[1]: expected an object, got 3"],
        ["a bad k of a row", [queries, { rows: [{}, { k: -1 }] }], "rows[1].k: expected an integer from 1 to 2048, got -1"],
        ["maxDistance NaN", [queries, { maxDistance: NaN }], "maxDistance: expected a number, got NaN"],
        ["maxDistance as text", [queries, { maxDistance: any("1") }], 'maxDistance: expected a number, got "1"'],
        [
            "a fraction among namespaces",
            [queries, { namespaces: [1, 2.5] }],
            "namespaces[1]: expected an integer from 0 to 4294967295, got 2.5",
        ],
        [
            "a namespace alone",
            [queries, { namespaces: any(1) }],
            "namespaces: expected a Uint32Array or an array of integers, got 1",
        ],
        ["2,049 seeds", [queries, { seeds: new Uint32Array(2049) }], "seeds: expected at most 2048, got 2049"],
        ["65 namespaces", [queries, { namespaces: new Uint32Array(65) }], "namespaces: expected at most 64, got 65"],
        ["threads 1.5", [queries, { threads: 1.5 }], "threads: expected an integer from 1 to 1024, got 1.5"],
        [
            "queries that may shrink",
            [resizable(queries)],
            "queries: its buffer is resizable, which is not safe to work on; pass a copy, queries.slice()",
        ],
        ["queries that were transferred", [detach(vectors(1, 4))], "queries: its buffer was detached"],
        ["hits without measure", [new Float32Array(4 * 200_000), { k: 2048 }], "queries: more than 268435456 hits in one call"],
    ];
    describe("now", () => invalid(cases.map(([what, args, message]) => [what, () => index.searchSync(...args), message])));
    describe("later", () => invalid(cases.map(([what, args, message]) => [what, () => index.search(...args), message])));
    invalid([["a signal that is none", () => index.search(queries, { signal: any({}) }), "signal: expected an AbortSignal"]]);

    test.each([NaN, Infinity, -Infinity])("a query with %d", async (value) => {
        const bad = queries.slice();
        bad[5] = value;
        await expectError(() => index.search(bad), "ERR_RTD_NOT_FINITE", "1");
        await expectError(() => index.searchSync(bad), "ERR_RTD_NOT_FINITE", "1");
    });

    test("what a getter throws passes through as it is", async () => {
        const mine = new TypeError("mine");
        const options = {
            get k(): number {
                throw mine;
            },
        };
        expect(() => index.searchSync(queries, options)).toThrow(mine);
        await expect(index.search(queries, options)).rejects.toBe(mine);
    });

    test("a getter that detaches the queries", async () => {
        const lost = queries.slice();
        const options = {
            get k(): number {
                detach(lost);
                return 1;
            },
        };
        await expectError(() => index.searchSync(lost, options), "ERR_RTD_INVALID_ARGUMENT", "queries: its buffer was detached");
    });
});

describe("searchAndFuse refuses", () => {
    const cases: [string, Parameters<typeof index.searchAndFuseSync>, string | RegExp][] = [
        [
            "logits that are not whole rows",
            [queries, new Float32Array(201)],
            "logits: expected 2 rows of the vocabulary's size, got 201 numbers",
        ],
        ["no logits", [queries, new Float32Array(0)], "got 0 numbers"],
        [
            "doubles",
            [queries, any(new Float64Array(200))],
            "logits: expected a Float32Array or a Uint16Array, got a Float64Array of 200",
        ],
        ["logits that may shrink", [queries, resizable(logits())], "logits: its buffer is resizable"],
        ["logits that were transferred", [queries, detach(logits())], "logits: its buffer was detached"],
        [
            "a weight above 1",
            [queries, logits(), { referenceWeight: 1.5 }],
            "referenceWeight: expected a number from 0 to 1, got 1.5",
        ],
        [
            "a negative weight",
            [queries, logits(), { referenceWeight: -0.1 }],
            "referenceWeight: expected a number from 0 to 1, got -0.1",
        ],
        ["a weight of NaN", [queries, logits(), { referenceWeight: NaN }], "referenceWeight: expected a number, got NaN"],
        ["temperature 0", [queries, logits(), { temperature: 0 }], "temperature: expected a number above 0, got 0"],
        [
            "a temperature that float32 holds as 0",
            [queries, logits(), { temperature: 1e-50 }],
            "temperature: expected a number that float32 can hold (1.4e-45 to 3.4e38), got 1e-50",
        ],
        [
            "an infinite temperature",
            [queries, logits(), { temperature: Infinity }],
            "temperature: expected a number that float32 can hold (1.4e-45 to 3.4e38), got Infinity",
        ],
        [
            "a weight above 1 of a row",
            [queries, logits(), { rows: [{}, { referenceWeight: 2 }] }],
            "rows[1].referenceWeight: expected a number from 0 to 1, got 2",
        ],
        [
            "a negative temperature",
            [queries, logits(), { rows: [{ temperature: -1 }, {}] }],
            "rows[0].temperature: expected a number above 0, got -1",
        ],
        ["unmask as a number", [queries, logits(), { unmask: any(1) }], "unmask: expected true or false, got 1"],
        [
            "skip as text",
            [queries, logits(), { rows: [{}, { skip: any("no") }] }],
            'rows[1].skip: expected true or false, got "no"',
        ],
        ["hits as text", [queries, logits(), { hits: any("yes") }], 'hits: expected true or false, got "yes"'],
    ];
    describe("now", () => invalid(cases.map(([what, args, message]) => [what, () => index.searchAndFuseSync(...args), message])));
    describe("later", () => invalid(cases.map(([what, args, message]) => [what, () => index.searchAndFuse(...args), message])));

    test("a vocabulary that does not hold the index's tokens, and leaves the logits", async () => {
        const small = vectors(2, 9);
        const before = small.slice();
        await expectError(() => index.searchAndFuse(queries, small), "ERR_RTD_TOKEN_RANGE", "9");
        await expectError(() => index.searchAndFuseSync(queries, small), "ERR_RTD_TOKEN_RANGE", "9");
        expect(small).toEqual(before);
    });

    test("to guess a temperature", async () => {
        const unsealed = createIndex({ dim: 4 });
        unsealed.add(vectors(10, 4), tokens(10));
        await expectError(() => unsealed.searchAndFuse(queries, logits()), "ERR_RTD_NO_TEMPERATURE", "seal");
        expect(unsealed.searchAndFuseSync(queries, logits(), { temperature: 1 }).statuses).toEqual(["merged", "merged"]);
    });
});

describe("ids", () => {
    for (const [name, call] of [
        ["remove", (ids: never) => index.remove(ids)],
        ["entriesOf", (ids: never) => index.entriesOf(ids)],
        ["keysOf", (ids: never) => index.keysOf(ids)],
    ] as const) {
        invalid([
            [`${name} refuses a number`, () => call(any(3)), "ids: expected a Uint32Array or an array of integers, got 3"],
            [
                `${name} refuses signed ids`,
                () => call(any(new Int32Array(1))),
                "ids: expected a Uint32Array, got an Int32Array of 1",
            ],
            [
                `${name} refuses a fraction`,
                () => call(any([1, 0.5])),
                "ids[1]: expected an integer from 0 to 4294967295, got 0.5",
            ],
        ]);
        test(`${name} refuses what was never given`, async () => {
            await expectError(() => call(any([1, 10])), "ERR_RTD_UNKNOWN_ID", "10");
            expect(index.size).toBe(10);
        });
    }

    test("remove refuses one given twice and one removed before", async () => {
        const mine = createIndex({ dim: 1 });
        mine.add(vectors(3, 1), tokens(3));
        await expectError(() => mine.remove([1, 1]), "ERR_RTD_UNKNOWN_ID", "1");
        mine.remove([1]);
        await expectError(() => mine.remove([0, 1]), "ERR_RTD_UNKNOWN_ID", "1");
        expect(mine.size).toBe(2);
    });
});

describe("fuse refuses", () => {
    const hits = { distances: Float32Array.of(1, 2), tokens: Int32Array.of(3, 4), counts: Uint32Array.of(2), k: 2 };
    const row = (): Float32Array => vectors(1, 10);
    const cases: [string, Parameters<typeof fuseSync>, string | RegExp][] = [
        ["no hits", [any(undefined), row(), { temperature: 1 }], "hits.k: expected an integer from 1 to 2048, got undefined"],
        [
            "too few distances",
            [{ ...hits, distances: new Float32Array(1) }, row(), { temperature: 1 }],
            "hits.distances: expected 2 elements",
        ],
        [
            "too few tokens",
            [{ ...hits, tokens: new Int32Array(3) }, row(), { temperature: 1 }],
            "hits.tokens: expected 2 elements",
        ],
        [
            "heads that do not divide the counts",
            [{ ...hits, heads: 2 }, row(), { temperature: 1 }],
            "hits.counts: expected a multiple of heads = 2 elements, got 1",
        ],
        [
            "signed counts",
            [{ ...hits, counts: any(new Int32Array(1)) }, row(), { temperature: 1 }],
            "hits.counts: expected a Uint32Array",
        ],
        ["a count above k", [{ ...hits, counts: Uint32Array.of(3) }, row(), { temperature: 1 }], "3"],
        [
            "logits of other rows",
            [{ ...hits }, new Float32Array(0), { temperature: 1 }],
            "logits: expected 1 rows of the vocabulary's size",
        ],
    ];
    describe("now", () => invalid(cases.map(([what, args, message]) => [what, () => fuseSync(...args), message])));
    describe("later", () => invalid(cases.map(([what, args, message]) => [what, () => fuse(...args), message])));

    test("no temperature", async () => expectError(() => fuse(hits, row(), {}), "ERR_RTD_NO_TEMPERATURE", "temperature"));
    test("a distance that is no number", async () =>
        expectError(
            () => fuse({ ...hits, distances: Float32Array.of(1, NaN) }, row(), { temperature: 1 }),
            "ERR_RTD_NOT_FINITE",
            "NaN",
        ));
    test("a token beyond the vocabulary", async () =>
        expectError(
            () => fuse({ ...hits, tokens: Int32Array.of(3, 10) }, row(), { temperature: 1 }),
            "ERR_RTD_TOKEN_RANGE",
            "10",
        ));
});

describe("logProbabilities refuses", () => {
    invalid([
        [
            "half a row",
            () => logProbabilities(new Float32Array(5), 3, tokens(1)),
            "logits: expected a whole number of rows of vocabulary = 3 numbers, got 5 numbers",
        ],
        ["vocabulary 0", () => logProbabilities(new Float32Array(0), 0, tokens(0)), "vocabulary: expected an integer from 1 to"],
        ["too few tokens", () => logProbabilities(new Float32Array(6), 3, tokens(1)), "tokens: expected 2 elements"],
        [
            "tokensPerRow 0",
            () => logProbabilities(new Float32Array(3), 3, tokens(1), 0),
            "tokensPerRow: expected an integer from 1",
        ],
    ]);
    test("a token beyond the vocabulary", async () =>
        expectError(() => logProbabilities(new Float32Array(3), 3, Int32Array.of(3)), "ERR_RTD_TOKEN_RANGE", "3"));
});

describe("options that have to be given are missed, and stores", () => {
    const missing = "options: expected an object, got undefined";
    const call = (work: (...nothing: never[]) => unknown): (() => unknown) => work;
    invalid([
        ["buildDatastore", call(buildDatastore), missing],
        ["evaluate", call(evaluate), missing],
        ["tune", call(tune), missing],
        ["classify", call(classify), missing],
        ["fitTransform", call(fitTransform), missing],
        ["fitSpace", call(fitSpace), "store: expected a store (Datastore.open), got undefined"],
        ["tune", () => tune({ store: index } as never), "store: expected a store (Datastore.open), got an object"],
    ]);
});

describe("a misspelt option is refused", () => {
    const hits = { distances: Float32Array.of(1), tokens: Int32Array.of(3), counts: Uint32Array.of(1), k: 1 };
    const known = "k, maxDistance, namespaces, seeds, temperature, referenceWeight, unmask, bias, gate";
    invalid([
        [
            "createIndex",
            () => createIndex({ dim: 4, type: "f16" } as never),
            'options: there is no option "type" here; known are dim,',
        ],
        [
            "add",
            () => index.add(vectors(1, 4), tokens(1), { namespace: 1 } as never),
            'no option "namespace" here; known are namespaces',
        ],
        ["seal", () => index.seal({ thread: 1 } as never), 'no option "thread" here'],
        [
            "searchSync",
            () => index.searchSync(queries, { K: 1 } as never),
            `options: there is no option "K" here; known are ${known}`,
        ],
        [
            "search",
            () => index.search(queries, { rows: [{}, { K: 1 }] } as never),
            `rows[1]: there is no option "K" here; known are ${known}`,
        ],
        ["searchAndFuse", () => index.searchAndFuse(queries, logits(), { weight: 1 } as never), 'no option "weight" here'],
        ["fuse", () => fuse(hits, vectors(1, 10), { temperature: 1, weight: 1 } as never), 'no option "weight" here'],
        ["fuseSync", () => fuseSync(hits, vectors(1, 10), { temperature: 1, weight: 1 } as never), 'no option "weight" here'],
    ]);
    test("but one object may serve search and fusing, and an undefined one is left out", () => {
        const shared = { k: 1, temperature: 1, referenceWeight: 0.5, weight: undefined };
        expect(index.searchSync(queries, shared).k).toBe(1);
        expect(fuseSync(hits, vectors(1, 10), shared).statuses).toEqual(["merged"]);
    });
});
