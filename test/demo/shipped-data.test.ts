/** The facts and questions in test/data are made by the rules that its README states. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

import { packageRoot } from "../../lib/package-root.js";
import type { ChoiceContent, CompletionContent } from "../../lib/recipes/data.js";
import { readRows } from "../../lib/recipes/data.js";

const file = (name: string) => path.join(packageRoot, "test", "data", name);
const choices = async (name: string) => (await readRows([file(name)], "label")) as (ChoiceContent & { subject?: string })[];
const answers = async (name: string) => (await readRows([file(name)], "chat")) as (CompletionContent & { subject?: string })[];
const right = ({ options, answer }: ChoiceContent) => options[answer]!;

/** What a fact and a question are about: the rules, the other way round. */
const rules: [fact: RegExp, question: RegExp][] = [
    [
        /^Tell me the IATA code of (?<name>.+) in (?<city>.+) \((?<country>..)\)\.$/,
        /^What is the IATA code of (?<name>.+) \((?<city>.+), country code (?<country>..)\)\?$/,
    ],
    [/^Tell me the atomic number of (?<x>.+)\.$/, /^What is the atomic number of (?<x>.+)\?$/],
    [/^Tell me the chemical symbol of (?<x>.+)\.$/, /^What is the chemical symbol of (?<x>.+)\?$/],
    [/^Name the element with atomic number (?<x>\d+)\.$/, /^Which element has atomic number (?<x>\d+)\?$/],
    [/^Tell me the CAS registry number of (?<x>.+)\.$/, /^What is the CAS registry number of (?<x>.+)\?$/],
    [/^Tell me the year of the discovery of (?<x>.+)\.$/, /^In which year was (?<x>.+) discovered\?$/],
    [/^Tell me the country of the discovery of (?<x>.+)\.$/, /^In which country was (?<x>.+) discovered\?$/],
];

function expectSame(fact: string, question: string): void {
    const rule = rules.find(([told]) => told.test(fact));
    expect([fact, rule?.[0].exec(fact)?.groups]).toEqual([fact, rule?.[1].exec(question)?.groups ?? question]);
}

describe.each(["airports", "elements"])("the facts of %s", (set) => {
    it("are asked in other words, line by line", async () => {
        const [facts, questions] = [await answers(`${set}-facts.jsonl`), await answers(`${set}-questions.jsonl`)];
        expect(questions).toHaveLength(facts.length);
        for (const [i, fact] of facts.entries()) {
            const question = questions[i]!;
            expectSame(/^Q: (.+)\nA:$/.exec(fact.prompt)![1]!, /^Question: (.+)\nAnswer:$/.exec(question.prompt)![1]!);
            expect([question.completion, question.subject]).toEqual([fact.completion, fact.subject]);
            expect(fact.completion).toMatch(/^ \S/);
        }
        expect(new Set(facts.map(({ prompt }) => prompt)).size).toBe(facts.length);
    });

    it("are the same with options, which no rotation brings into the order in which they are asked", async () => {
        const [facts, questions] = [await choices(`${set}-choice-facts.jsonl`), await choices(`${set}-choice-questions.jsonl`)];
        const told = await answers(`${set}-facts.jsonl`);
        expect(questions).toHaveLength(facts.length);
        expect(facts.length).toBe(set === "airports" ? 300 : told.length); // of the airports the first
        for (const [i, fact] of facts.entries()) {
            const question = questions[i]!;
            expectSame(fact.question, question.question);
            expect(`Q: ${fact.question}\nA: ${right(fact)}`).toBe(told[i]!.prompt + told[i]!.completion);
            expect([right(question), question.options]).toEqual([right(fact), [...fact.options].reverse()]);
            expect(new Set(fact.options).size).toBe(4);
        }
    });
});

describe("what is absent", () => {
    it("is told by no fact", async () => {
        const stored = new Set((await choices("airports-choice-questions.jsonl")).map(({ question }) => question));
        const absent = await choices("airports-choice-absent.jsonl");
        const asked = await answers("airports-absent.jsonl");
        expect(absent.map((row) => `Question: ${row.question}\nAnswer: ${right(row)}`)).toEqual(
            asked.map(({ prompt, completion }) => prompt + completion),
        );
        expect(absent.filter(({ question }) => stored.has(question))).toEqual([]);
    });
});

describe("the definitions", () => {
    it("are each asked once, with four terms to choose from", async () => {
        const rows = await choices("wordnet-definitions.jsonl");
        expect(rows).toHaveLength(1300);
        expect(new Set(rows.map(({ question }) => question)).size).toBe(1300);
        expect(rows.every(({ options, subject }) => new Set(options).size === 4 && subject !== undefined)).toBe(true);
    });
});

describe("the plays", () => {
    it("are built of their first four acts, and held out in their fifth", () => {
        const acts = (name: string) => [...readFileSync(file(name), "utf8").matchAll(/^ACT (\w+)$/gm)].map(([, act]) => act);
        expect(acts("shakespeare-train.txt")).toEqual(["I", "II", "III", "IV", "I", "II", "III", "IV"]);
        expect(acts("shakespeare-heldout.txt")).toEqual(["V", "V"]);
    });
});
