/** What demo and reproduce do with their tasks, on small ones and a model of noise. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { measure, type Measurement } from "../../lib/demo/measure.js";
import { summary } from "../../lib/demo/summary.js";
import { tables } from "../../lib/demo/document.js";
import { demoTasks, fullTasks, plain, type MeasuredTask, type Variant } from "../../lib/demo/tasks.js";
import { readRows } from "../../lib/recipes/data.js";
import { cutRows } from "../../lib/recipes/cut.js";
import { noiseModel } from "../llama/models.js";
import { stateAfter } from "../llama/states.js";

const directory = mkdtempSync(path.join(tmpdir(), "rtd-measure-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const file = (name: string, content: string) => {
    writeFileSync(path.join(directory, name), content);
    return path.join(directory, name);
};
const label = file(
    "label.jsonl",
    Array.from({ length: 20 }, (_, i) => JSON.stringify({ text: `${i}`, label: i % 2 ? "odd" : "even" })).join("\n"),
);
const text = file("text.txt", "call me what you will ".repeat(20));
const tasks: MeasuredTask[] = [
    {
        name: "labels",
        title: "Labels",
        task: "label",
        prompt: "{labels}: {text}\n",
        references: { data: label, seed: 1, limit: 12 },
        tests: [{ name: "heldout", title: "held out", data: label, seed: 1, offset: 12 }],
    },
    {
        name: "text",
        title: "Text",
        task: "text",
        references: { data: text, limit: 300 },
        tests: [{ name: "next", title: "next", data: text, offset: 300, limit: 50 }],
    },
];

async function measureAll(known?: ReadonlyMap<string, Measurement>): Promise<Measurement[]> {
    const measurements: Measurement[] = [];
    const model = await noiseModel();
    for await (const measurement of measure(tasks, { model, directory, threads: 1, ...(known && { known }) }))
        measurements.push(measurement);
    return measurements;
}

describe("measurements", () => {
    it("are made task by task, and shown in a table", async () => {
        const measurements = await measureAll();
        expect(
            measurements.map(({ name, entries, evaluation }) => [name, entries, evaluation.task, evaluation.rtd.count]),
        ).toEqual([
            ["labels/keys as they are/heldout", 12, "label", 8],
            ["text/keys as they are/next", 300, "text", 50],
        ]);
        const lines = summary(measurements, { markdown: true }).split("\n");
        expect(lines).toHaveLength(4);
        expect(lines[2]).toMatch(/^\| Labels, held out \| 12 +\| 8 +\| accuracy +\| \d+\.\d% +\| \d+\.\d% +\| \d+\.\d% +\|$/);
        expect(lines[3]).toMatch(/^\| Text, next +\| 300 +\| 50 +\| perplexity \| \d+\.\d\d +\| - +\| \d+\.\d\d +\|$/);
        expect(existsSync(path.join(directory, "text.rtd"))).toBe(true);
    });

    it("are not made twice", async () => {
        const [first] = await measureAll();
        rmSync(path.join(directory, "labels.rtd"), { recursive: true });
        const marked = { ...first!, title: "known" };
        const measurements = await measureAll(new Map([[marked.name, marked]]));
        expect(measurements[0]).toEqual(marked);
        expect(measurements).toHaveLength(2);
        expect(existsSync(path.join(directory, "labels.rtd"))).toBe(false);
    });
});

describe("variants", () => {
    const [labels] = tasks as [MeasuredTask];
    const variants: Variant[] = [
        plain,
        { name: "two heads", space: { name: "two heads", heads: 2 } },
        { name: "projected", space: { name: "projected", heads: 1, method: "project", shrinkage: 1 } },
        { ...plain, name: "the first", examples: 6 },
        { ...plain, name: "in context", shots: { count: 2, tests: 4 } },
        { ...plain, name: "the hardest", examples: 5, areHardest: true },
    ];
    const run = async (task: MeasuredTask, folder: string): Promise<Measurement[]> => {
        const measurements: Measurement[] = [];
        for await (const one of measure([task], { model: await noiseModel(), directory: folder, threads: 1 }))
            measurements.push(one);
        return measurements;
    };

    it("search the same store in their own ways, and leave nothing to the next", async () => {
        const folder = mkdtempSync(path.join(directory, "variants-"));
        const measurements = await run({ ...labels, variants }, folder);
        expect(measurements.map(({ variant, settings, entries }) => [variant, settings.space, settings.k, entries])).toEqual([
            ["keys as they are", "keys as they are", 16, 12],
            ["two heads", "two heads", 16, 12],
            ["projected", "projected", 16, 12],
            ["the first", "keys as they are", 16, 6],
            ["in context", "keys as they are", 16, 12],
            ["the hardest", "keys as they are", 16, 5],
        ]);
        const [first, , projected, , shots] = measurements.map(({ evaluation }) => evaluation);
        expect(shots?.task === "label" && shots.shots.length).toBe(2);
        expect(shots?.rtd.count).toBe(4);
        // Yardsticks see the keys, not what they are searched through.
        const probeOf = (of: typeof first) => (of?.task === "label" ? of.linearProbe?.calibrationError : undefined);
        expect(probeOf(projected)).toBe(probeOf(first));
        expect(probeOf(first)).toBeTypeOf("number");
        // The order makes no difference.
        const [last] = await run(
            { ...labels, variants: [variants[2]!, plain] },
            mkdtempSync(path.join(directory, "variants-")),
        ).then((all) => all.slice(1));
        const untimed = { seconds: 0, milliseconds: 0 };
        expect({ ...last!.evaluation, ...untimed }).toEqual({ ...first!, ...untimed });
        // The reference of a part is that of a store of that part.
        const part = await run(
            { ...labels, references: { ...labels.references, limit: 6 } },
            mkdtempSync(path.join(directory, "variants-")),
        );
        expect({ ...part[0]!.evaluation, ...untimed, storeBytes: 0 }).toEqual({
            ...measurements[3]!.evaluation,
            ...untimed,
            storeBytes: 0,
        });

        expect(summary(measurements).split("\n")[0]).toMatch(/^task +searched +entries/);
        const page = tables(measurements);
        expect(page).toContain("## Labels: accuracy");
        expect(page).toMatch(/\| Labels, held out \| projected, k 16, T 0.4, a 0.8 +\| 12 +\| 8 +\|/);
        expect(page).toContain("## In-context examples beside references");
        expect(page.match(/2-shot, seed 1, and rtd/g)).toHaveLength(1);
        expect(page).not.toContain("## Text");
        expect(readdirSync(folder).sort()).toEqual(["labels.rtd", "runs"]);
    });
});

describe("texts after retrieved ones", () => {
    it("have those with the nearest states before them, the nearest last, and never themselves", async () => {
        const folder = mkdtempSync(path.join(directory, "context-"));
        const model = await noiseModel();
        const [labels] = tasks as [MeasuredTask];
        const context = { from: labels.name, count: 2, beforeLabel: " is ", beforeText: "; " };
        const measurements: Measurement[] = [];
        for await (const one of measure([labels, { ...labels, name: "after", context }], {
            model,
            directory: folder,
            threads: 1,
        }))
            measurements.push(one);
        expect(measurements.map(({ name, entries }) => [name, entries])).toEqual([
            ["labels/keys as they are/heldout", 12],
            ["after/keys as they are/heldout", 12],
        ]);

        const rowsOf = async ({ data, ...cut }: { data: string }) =>
            cutRows(await readRows([data], "label"), cut) as unknown as { text: string; label: string }[];
        const references = await rowsOf(labels.references);
        const stateOf = async ({ text }: { text: string }) => (await stateAfter(model, `even, odd: ${text}\n`)).hidden;
        const keys = await Promise.all(references.map(stateOf));
        for (const [name, part] of [
            ["references", labels.references],
            ["heldout", labels.tests[0]!],
        ] as const) {
            // prettier-ignore
            const asked = await rowsOf(part);
            const written = await rowsOf({ data: path.join(folder, `after-${name}.jsonl`) });
            for (const [i, row] of asked.entries()) {
                const state = await stateOf(row);
                const distance = (key: Float32Array) => key.reduce((sum, x, j) => sum + (x - state[j]!) ** 2, 0);
                const nearest = [...references.keys()]
                    .filter((other) => references[other]!.text !== row.text)
                    .sort((a, b) => distance(keys[a]!) - distance(keys[b]!));
                const [second, first] = [references[nearest[1]!]!, references[nearest[0]!]!];
                const text = `${second.text} is ${second.label}; ${first.text} is ${first.label}; ${row.text}`;
                expect([written[i]!.text, written[i]!.label]).toEqual([text, row.label]);
            }
        }
    });
});

describe("the shipped data", () => {
    it.each([...demoTasks(), ...fullTasks()].map((task) => [`${task.name}, ${task.references.limit ?? "all"}`, task] as const))(
        "of %s has what its task takes, and tests are no references",
        async (_, { task, references, tests }) => {
            for (const test of tests) {
                if (task === "text") {
                    expect(test.offset).toBe(references.limit);
                    expect(readFileSync(test.data).length).toBeGreaterThan(4 * ((test.offset ?? 0) + (test.limit ?? 0)));
                    continue;
                }
                const stored = cutRows(await readRows([references.data], task), references);
                const asked = cutRows(await readRows([test.data], task), test);
                expect(stored).toHaveLength(references.limit ?? (task === "label" ? 1024 : 3000));
                expect(asked).toHaveLength(test.limit ?? 2000);
                const texts = new Set(stored.map((row) => `${row.file}:${row.line}`));
                expect(asked.filter((row) => texts.has(`${row.file}:${row.line}`))).toEqual([]);
            }
        },
    );
});
