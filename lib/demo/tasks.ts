/** What the demo and `npm run reproduce` measure: the same tasks, in parts or whole. The data lies in test/data. */
import { join } from "node:path";

import { packageRoot } from "../package-root.js";
import type { Cut } from "../recipes/cut.js";
import type { Task } from "../recipes/data.js";

export interface Part extends Cut {
    data: string;
}

export interface MeasuredTask {
    name: string;
    title: string;
    task: Task;
    prompt?: string;
    /** What goes into the store. */
    references: Part;
    tests: (Part & { name: string; title: string })[];
}

const data = (file: string): string => join(packageRoot, "test", "data", file);

/** That of authorship is the best of seven on rows of the training file alone. */
export const prompts = {
    wordnet: "Categories: {labels}.\nDefinition: {text}\nCategory:",
    authorship: "Text and its source: {labels}.\nText: {text}\nSource:",
} as const;

interface Sizes {
    labels: { references: number; tests: number };
    text: { references: number; tests: number };
    facts: { references: number; tests: number; absent: number };
}

/** About seven minutes at 180 prompt tokens a second. */
export const demoSizes: Sizes = {
    labels: { references: 500, tests: 200 },
    text: { references: 30_000, tests: 2_500 },
    facts: { references: 200, tests: 100, absent: 25 },
};

export const fullSizes: Sizes = {
    labels: { references: 2_048, tests: 1_500 },
    text: { references: 104_999, tests: 5_000 },
    facts: { references: 300, tests: 300, absent: 100 },
};

export function labelTask({ references, tests }: Sizes["labels"]): MeasuredTask {
    const file = { data: data("wordnet-category.jsonl"), seed: 1 };
    return {
        name: "wordnet",
        title: "Labels: class of a definition (WordNet)",
        task: "label",
        prompt: prompts.wordnet,
        references: { ...file, limit: references },
        tests: [{ name: "heldout", title: "held-out definitions", ...file, offset: references, limit: tests }],
    };
}

export function authorshipTask(): MeasuredTask {
    return {
        name: "authorship",
        title: "Labels: source of a sentence",
        task: "label",
        prompt: prompts.authorship,
        references: { data: data("authorship-train.jsonl") },
        tests: [{ name: "heldout", title: "sentences of other works", data: data("authorship-heldout.jsonl") }],
    };
}

export function textTask({ references, tests }: Sizes["text"]): MeasuredTask {
    const file = data("moby-dick-in-order.txt");
    return {
        name: "moby-dick",
        title: "Text: Moby Dick",
        task: "text",
        references: { data: file, limit: references },
        tests: [{ name: "next", title: "the pages that follow", data: file, offset: references, limit: tests }],
    };
}

export function factsTask({ references, tests, absent }: Sizes["facts"]): MeasuredTask {
    return {
        name: "airports",
        title: "Facts: IATA codes of airports",
        task: "chat",
        references: { data: data("airports-facts.jsonl"), limit: references },
        tests: [
            { name: "stored", title: "stored facts, in other words", data: data("airports-questions.jsonl"), limit: tests },
            { name: "absent", title: "facts that are not stored", data: data("airports-absent.jsonl"), limit: absent },
        ],
    };
}

export const demoTasks = (): MeasuredTask[] => [
    labelTask(demoSizes.labels),
    textTask(demoSizes.text),
    factsTask(demoSizes.facts),
];

export const fullTasks = (): MeasuredTask[] => [
    labelTask(fullSizes.labels),
    authorshipTask(),
    textTask(fullSizes.text),
    factsTask(fullSizes.facts),
];
