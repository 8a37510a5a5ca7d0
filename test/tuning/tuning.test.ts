import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { mergeReference } from "../../lib/evaluation/merge.js";
import type { ModelRun } from "../../lib/evaluation/model-run.js";
import { createIndex, Datastore } from "../../lib/index.js";
import type { Token } from "../../lib/node-llama-cpp.js";
import { mulberry32 } from "../../lib/recipes/cut.js";
import type { Passage } from "../../lib/recipes/passage.js";
import { climb, scoreOf, tryAll, type Tried } from "../../lib/tuning/grid.js";
import { simplestAsGood } from "../../lib/tuning/tune.js";
import { foldsIn, setTo, spacesFor } from "../../lib/tuning/spaces.js";
import { findNeighbours, neighboursOf, noNeighbours, sampleOf } from "../../lib/tuning/validation.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-tuning-"));
afterAll(() => rmSync(folder, { recursive: true }));

const random = mulberry32(8);
const [dim, labels] = [6, [5, 9, 14] as Token[]];
const normals = (count: number) => Float32Array.from({ length: count }, () => random() + random() + random() - 1.5);

/** Two entries of each of 60 examples, nearly alike, as rotations are. */
const examples = 60;
const keys = new Float32Array(2 * examples * dim);
const tokens = Int32Array.from({ length: 2 * examples }, (_, i) => labels[Math.floor(i / 2) % 3]!);
for (let example = 0; example < examples; example++) {
    const key = normals(dim);
    key[example % 3]! += 1;
    for (const turn of [0, 1]) keys.set(key.map((x) => x + 0.001 * turn), (2 * example + turn) * dim); // prettier-ignore
}
const run: ModelRun = {
    dim,
    candidates: 3,
    hidden: Float32Array.from({ length: examples * dim }, (_, i) => keys[2 * Math.floor(i / dim) * dim + (i % dim)]!),
    logProbabilities: Float64Array.from({ length: examples * 3 }, () => Math.log(0.05 + 0.2 * random())),
    entropy: new Float64Array(examples),
};
const passages = Array.from({ length: examples }, (_, example) => ({
    tokens: [1],
    from: 0,
    values: [labels[example % 3]],
    example,
    position: 0,
})) as unknown as Passage[];
const canonical = (example: number) => example;
const right = Int32Array.from({ length: examples }, (_, i) => i % 3);

let store: Datastore;
beforeAll(async () => {
    store = await Datastore.create(join(folder, "store"), { dim });
    store.append(keys, tokens, {
        examples: Uint32Array.from(tokens, (_, i) => Math.floor(i / 2)),
        positions: Uint32Array.from(tokens, (_, i) => i % 2),
    });
    await store.seal();
});
afterAll(() => store.close());

describe("neighbours of a store's own examples", () => {
    it("are the nearest entries of other examples", async () => {
        const near = await neighboursOf(store, run, passages, { k: 10, tokens: labels, canonical });
        for (let row = 0; row < examples; row++) {
            const expected = Array.from({ length: 2 * examples }, (_, id) => {
                let sum = 0;
                for (let i = 0; i < dim; i++) sum += (keys[id * dim + i]! - run.hidden[row * dim + i]!) ** 2;
                return { id, distance: Math.sqrt(sum) };
            })
                .filter(({ id }) => Math.floor(id / 2) !== row)
                .sort((a, b) => a.distance - b.distance || a.id - b.id)
                .slice(0, 10);
            expect(near.counts[row]).toBe(10);
            expected.forEach(({ id, distance }, i) => {
                expect(near.distances[row * 10 + i]).toBeCloseTo(distance, 5);
                expect(near.votes[row * 10 + i]).toBe(labels.indexOf(tokens[id] as Token));
            });
        }
    });

    it("are none of an example that repeats the one that is asked", async () => {
        const pair = (example: number) => example - (example % 2);
        const near = await neighboursOf(store, run, passages, { k: 200, tokens: labels, canonical: pair });
        expect([...near.counts]).toEqual(new Array(examples).fill(2 * examples - 4));
    });

    it("of a text lie beyond what was read with it", async () => {
        const text = await Datastore.create(join(folder, "text"), { dim });
        const length = 1500;
        const states = normals(length * dim);
        text.append(
            states,
            Int32Array.from({ length }, (_, i) => i % 7),
            { positions: Uint32Array.from({ length }, (_, i) => i) },
        );
        await text.seal();
        const asked = [{ tokens: [1, 2], from: 0, values: [3, 4], example: 0, position: 700 }] as unknown as Passage[];
        const two: ModelRun = {
            dim,
            candidates: 1,
            hidden: states.slice(700 * dim, 702 * dim),
            logProbabilities: Float64Array.of(-1, -1),
            entropy: Float64Array.of(1, 1),
        };
        const near = await neighboursOf(text, two, asked, { k: 1024, tokens: [3, 4] as Token[], canonical });
        expect([...near.counts]).toEqual([188 + 287, 189 + 286]); // 0 to 187 and 1213 to 1499; 0 to 188 and 1214 to 1499
        expect(near.votes.subarray(0, 475).filter((vote) => vote === 0)).toHaveLength(
            Array.from({ length }, (_, i) => i).filter((i) => Math.abs(i - 700) > 512 && i % 7 === 3).length,
        );
        await text.close();
    });

    it("are asked of the same passages each time, until there are enough rows", () => {
        const some = Array.from({ length: 50 }, (_, example) => ({ example, values: [1, 2, 3] })) as unknown as Passage[];
        const sample = sampleOf(some, 20);
        expect(sample).toHaveLength(7);
        expect(sampleOf(some, 20)).toEqual(sample);
        expect(new Set(sample.map(({ example }) => example)).size).toBe(7);
        expect(sampleOf(some, 1000)).toHaveLength(50);
    });
});

describe("scores of the grid", () => {
    it("are those of a reference merged in", async () => {
        const index = createIndex({ dim });
        index.add(keys, tokens);
        const fusion = { k: 8, temperature: 0.4, referenceWeight: 0.7 };
        const near = await neighboursOf(store, run, passages.map((passage) => ({ ...passage, example: 1000 })), { k: 12, tokens: labels, canonical }); // prettier-ignore
        const merged = await mergeReference(index, run, { fusion, tokens: labels });
        const scores = scoreOf(run, near, right, 8, 0.4)(0.7);
        scores.forEach((score, row) => expect(score).toBeCloseTo(merged[row * 3 + right[row]!]!, 4));
    });

    it("are the model's own where no entry may answer", async () => {
        const near = await neighboursOf(store, run, passages, { k: 4, tokens: labels, canonical: () => 0 });
        expect(near.counts.every((count) => count === 0)).toBe(true);
        const scores = scoreOf(run, near, right, 4, 0.4)(0.9);
        scores.forEach((score, row) => expect(score).toBeCloseTo(run.logProbabilities[row * 3 + right[row]!]!, 12));
    });

    it("are best where the reference knows more than the model", async () => {
        const near = await neighboursOf(store, run, passages, { k: 64, tokens: labels, canonical });
        const { tried, bestOfEach } = await tryAll(run, near, right, { space: "s", unit: 1 });
        const best = tried.reduce((a, b) => (b.score > a.score ? b : a));
        expect(best.space).toBe("s");
        for (const one of bestOfEach) {
            const { rows, ...setting } = one;
            expect(setting).toEqual(tried.filter(({ k }) => k === one.k).reduce((a, b) => (b.score > a.score ? b : a)));
            expect(rows.reduce((sum, row) => sum + row, 0) / rows.length).toBeCloseTo(one.score, 12);
        }
        expect(best.referenceWeight).toBeGreaterThan(0.5);
        expect(best.k).toBeGreaterThan(1);
    });
});

describe("the simplest setting", () => {
    const inSpace = (space: string, most: number): Tried[] =>
        [1, 4, 16, 64].map((k) => ({ space, k, temperatureScale: 0.4, referenceWeight: 0.5, score: most - 1 / k }));
    const [plain, heads, projected] = [inSpace("plain", 0), inSpace("heads", 0.5), inSpace("projected", 1)];
    const bests = [plain, heads, projected];

    it("has the fewest hits that are not told apart from the best", () => {
        expect(simplestAsGood([plain], plain[3]!, ({ k }) => k >= 4)).toBe(plain[1]);
    });

    it("is in the simplest space that is not told apart from the best", () => {
        expect(simplestAsGood(bests, projected[3]!, ({ space, k }) => space !== "plain" && k >= 16)).toBe(heads[2]);
    });

    it("is the best where all others are worse", () => {
        expect(simplestAsGood(bests, projected[3]!, () => false)).toBe(projected[3]);
    });
});

describe("spaces", () => {
    const answersFor = (classes: number) => spacesFor(store, classes).map(({ name }) => name);

    it("are those that the keys' dimensions allow, simpler ones first", () => {
        expect(answersFor(3)).toEqual([
            "keys as they are",
            "standardised",
            "whitened",
            ...[0.03, 0.1, 0.3, 1, 3].map((shrinkage) => `projected, shrinkage ${shrinkage}`),
        ]);
        expect(answersFor(40).filter((name) => name.startsWith("projected"))).toEqual([]);
        expect(answersFor(1)).toEqual([]);
    });

    it("are judged by entries that know nothing of the examples' labels", async () => {
        // Random keys and labels: whoever has seen an example's label tells it, everybody else guesses.
        const wide = 40;
        const noise = await Datastore.create(join(folder, "noise"), { dim: wide });
        const count = 80;
        const noiseKeys = normals(count * wide);
        const noiseTokens = Int32Array.from({ length: count }, () => labels[Math.floor(random() * 2)]!);
        noise.append(noiseKeys, noiseTokens, { examples: Uint32Array.from(noiseTokens, (_, i) => i) });
        await noise.seal();
        const noiseRun: ModelRun = {
            dim: wide,
            candidates: 2,
            hidden: noiseKeys,
            logProbabilities: new Float64Array(2 * count).fill(-1),
            entropy: new Float64Array(count),
        };
        const asked = Array.from(noiseTokens, (value, example) => ({ tokens: [1], from: 0, values: [value], example, position: 0 })) as unknown as Passage[]; // prettier-ignore
        const space = { name: "p", heads: 1, method: "project", shrinkage: 0.001 } as const;
        const near = noNeighbours(count, 1, 9);
        const options = { k: 9, tokens: labels.slice(0, 2), canonical };
        const seen: number[] = [];
        await foldsIn(noise, space, canonical, async (fold) => {
            seen.push(...Array.from({ length: count }, (_, i) => i).filter(fold.holds));
            await findNeighbours(near, noise, fold, noiseRun, asked, options);
        });
        expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
        const rightVotes = (of: typeof near) =>
            asked.filter(({ values }, row) => {
                const votes = [...of.votes.subarray(row * 9, row * 9 + 9)].map((vote) => labels[vote]);
                return votes.filter((vote) => vote === values[0]).length > 4;
            }).length / count;
        expect(rightVotes(near)).toBeLessThan(0.7);

        // And fitted to all of them, the same space knows them by heart.
        await setTo(noise, space);
        expect(noise.index.info()).toMatchObject({ heads: 1, searchedDim: 1 });
        expect(rightVotes(await neighboursOf(noise, noiseRun, asked, options))).toBeGreaterThan(0.8);
        await noise.close();
    });
});

describe("climbing", () => {
    const [ks, scales] = [[1, 2, 4, 8, 16], [0.1, 0.2, 0.4, 0.8]]; // prettier-ignore
    const visits: string[] = [];
    const from = (k: number, temperatureScale: number, score: (k: number, scale: number) => number): Promise<Tried> => {
        visits.length = 0;
        return climb(ks, scales, { k, temperatureScale }, (k, temperatureScale) => {
            visits.push(`${k} ${temperatureScale}`);
            return Promise.resolve({ space: "", k, temperatureScale, referenceWeight: 1, score: score(k, temperatureScale) });
        });
    };

    it("ends where no next k or temperature is better, and asks for none twice", async () => {
        const distance = (k: number, scale: number) => -Math.abs(Math.log2(k) - 3) - Math.abs(Math.log2(scale / 0.2));
        expect(await from(1, 0.8, distance)).toMatchObject({ k: 8, temperatureScale: 0.2, score: -0 });
        expect(new Set(visits).size).toBe(visits.length);
        expect(visits.length).toBeLessThan(ks.length * scales.length);
    });

    it("stays where it begins if all is alike, and at the ends of what there is", async () => {
        expect(await from(4, 0.4, () => 1)).toMatchObject({ k: 4, temperatureScale: 0.4 });
        expect(visits).toHaveLength(5);
        expect(await from(16, 0.1, (k, scale) => k - scale)).toMatchObject({ k: 16, temperatureScale: 0.1 });
        expect(visits).toHaveLength(3);
    });
});
