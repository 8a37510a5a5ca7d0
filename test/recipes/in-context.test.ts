/** In-context examples of a store's own: keys and evaluations against prompts written out as text. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import type { LabelFigures } from "../../lib/evaluation/label.js";
import { classify, Datastore, evaluate } from "../../lib/index.js";
import { buildDatastore, type BuildOptions } from "../../lib/recipes/build.js";
import { recipeOf } from "../../lib/recipes/metadata.js";
import { noiseModel } from "../llama/models.js";
import { stateAfter } from "../llama/states.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-in-context-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, rows: readonly object[]): string => {
    const path = join(folder, name);
    writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
    return path;
};

const names = ["ant", "bee"];
const animals = Array.from({ length: 9 }, (_, i) => ({ text: `${(i * 37) % 101} legs`, label: names[i % 2]! }));
const [stored, others] = [animals.slice(0, 6), animals.slice(6)];
const labelled = file("labelled.jsonl", stored);
const template = "{text} is (an)\n";
const promptOf = ({ text }: { text: string }) => `${text} is (an)\n`;

async function build(name: string, options: Partial<BuildOptions> = {}): Promise<Datastore> {
    const path = join(folder, name);
    const base = { path, model: await noiseModel(), task: "label", data: [labelled], prompt: template, threads: 1 } as const;
    await buildDatastore({ ...base, shots: 2, ...options });
    return Datastore.open(path, { writable: true, threads: 1 });
}

/** The model sums in another order where it goes on after a beginning that it has read before. */
function expectNear(key: Float32Array, state: Float32Array): void {
    expect(Math.max(...key.map((x, i) => Math.abs(x - state[i]!)))).toBeLessThan(1e-4);
}

/** The examples that a store says it has before its prompts, but for those that ask the same. */
function before(store: Datastore, text: string): string {
    const shots = recipeOf(store).shots!.rows as unknown as typeof animals;
    return shots.flatMap((shot) => (shot.text === text ? [] : [`${promptOf(shot)}${shot.label}\n\n`])).join("");
}

describe("a label store with in-context examples", () => {
    it("has the states after them as keys, and no prompt is told its own answer", async () => {
        const model = await noiseModel();
        await using store = await build("few.rtd");
        const { shots } = recipeOf(store);
        expect(shots?.rows).toHaveLength(2);
        expect(stored).toEqual(expect.arrayContaining(shots!.rows.map(({ kind, file, line, ...row }) => row))); // eslint-disable-line
        const keys = store.index.keysOf(Uint32Array.from(stored, (_, i) => i));
        const lengths = new Set<number>();
        for (const [i, row] of stored.entries()) {
            lengths.add(before(store, row.text).length > 0 ? before(store, row.text).split("\n\n").length - 1 : 0);
            const { hidden } = await stateAfter(model, before(store, row.text) + promptOf(row));
            expectNear(keys.subarray(i * store.dim, (i + 1) * store.dim), hidden);
        }
        expect([...lengths].sort()).toEqual([1, 2]);
    });

    it("is asked after them, by evaluate and by classify", async () => {
        const model = await noiseModel();
        await using store = await build("asked.rtd");
        const right = new Array<boolean>();
        const labels: string[] = [];
        for (const row of others) {
            const { logits, hidden } = await stateAfter(model, before(store, row.text) + promptOf(row));
            const own = names.map((name) => logits[model.tokenize(`\n${name}`).at(-3)!]!);
            right.push(names[own.indexOf(Math.max(...own))] === row.label);
            const { tokens } = await store.index.search(hidden, { k: 1 });
            labels.push(names[recipeOf(store).labels!.findIndex(({ token }) => token === tokens[0])]!);
        }
        const figures = (await evaluate({
            store,
            model,
            data: [file("others.jsonl", others)],
            referenceWeight: 0,
            threads: 1,
        })) as LabelFigures;
        expect(figures.model.accuracy).toBe(right.filter(Boolean).length / others.length);
        const nearest = { k: 1, referenceWeight: 1, references: 0, threads: 1 };
        const classes = await classify({ store, model, texts: others.map(({ text }) => text), ...nearest });
        expect(classes.map(({ label }) => label)).toEqual(labels);
    });

    it("goes on as it began", async () => {
        const more = file("more.jsonl", others);
        await using store = await build("seeded.rtd", { shotSeed: 3 });
        const { shots } = recipeOf(store);
        expect(shots?.seed).toBe(3);
        await store.close();
        await using grown = await build("seeded.rtd", { data: [more], shotSeed: 3 });
        expect([recipeOf(grown).shots, grown.size]).toEqual([shots, animals.length]);
        await grown.close();
        await expect(build("seeded.rtd", { shots: 1 })).rejects.toThrow("was built with shots 2, not 1");
        await expect(build("seeded.rtd", { shotSeed: 1 })).rejects.toThrow("was built with shotSeed 3, not 1");
    });

    it("refuses what cannot be", async () => {
        const model = await noiseModel();
        await using store = await build("refuses.rtd");
        const data = [labelled];
        await expect(evaluate({ store, model, data, shots: 1 })).rejects.toThrow(
            /2 in-context examples of its own.*leave out shots/,
        );
        await expect(evaluate({ store, model, data, retrieved: 1 })).rejects.toThrow(/leave out retrieved/);
        await expect(build("none.rtd", { shots: 6 })).rejects.toThrow("6 of 6 rows cannot stand before all of them");
        await expect(build("none.rtd", { shots: -1 })).rejects.toThrow("shots: expected a whole number not below 0, got -1");
        await expect(build("none.rtd", { shotSeed: 0.5 })).rejects.toThrow("shotSeed: expected a whole number");
        const text = { task: "text", data: [file("text.jsonl", [{ text: "a b c d e" }])], prompt: undefined } as const;
        await expect(build("none.rtd", text)).rejects.toThrow("shots are for tasks label and chat");
        const recipe = recipeOf(store);
        await store.setMetadata({ ...recipe, shots: { seed: 1, rows: [null] } });
        expect(() => recipeOf(store)).toThrow("the metadata's in-context examples are damaged");
        const own = recipe.defaults;
        for (const defaults of [undefined, 1, { ...own, k: "4" }, { ...own, gate: null }, { ...own, gate: { bias: null } }]) {
            await store.setMetadata({ ...recipe, defaults });
            expect(() => recipeOf(store)).toThrow("the metadata's defaults are damaged");
        }
        await store.setMetadata({ ...recipe, labelLogits: 5 });
        expect(() => recipeOf(store)).toThrow("the metadata's logits of the labels are damaged");
    });
});

describe("a chat store with in-context examples", () => {
    it("has the states after them as keys", async () => {
        const model = await noiseModel();
        const facts = stored.map(({ text, label }) => ({ prompt: `Q: ${text}? A:`, completion: ` ${label}` }));
        await using store = await build("chat.rtd", { task: "chat", data: [file("facts.jsonl", facts)], prompt: undefined });
        const shots = recipeOf(store).shots!.rows as unknown as typeof facts;
        for (const [example, { prompt }] of facts.entries()) {
            const shown = shots.flatMap((shot) => (shot.prompt === prompt ? [] : [`${shot.prompt}${shot.completion}\n\n`]));
            const { hidden } = await stateAfter(model, shown.join("") + prompt);
            const ids = Uint32Array.from({ length: store.size }, (_, id) => id);
            const first = store.origins(ids).examples.indexOf(example);
            expectNear(store.index.keysOf([first]), hidden);
        }
    });
});
