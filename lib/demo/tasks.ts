/** What the demo and `npm run reproduce` measure: tasks, and ways of searching their stores. The data lies in test/data. */
import { join } from "node:path";

import { packageRoot } from "../package-root.js";
import type { Cut } from "../recipes/cut.js";
import type { Task } from "../recipes/data.js";
import { spaceOf, type Space } from "../tuning/spaces.js";
import type { RetrievedContext } from "./retrieved-context.js";

export interface Part extends Cut {
    data: string;
}

export interface MeasuredTask {
    name: string;
    title: string;
    task: Task;
    prompt?: string;
    /** As of `buildDatastore`. */
    layer?: number;
    rotate?: boolean;
    /** What goes into the store. */
    references: Part;
    /** Its texts, and those of its tests, stand after retrieved ones. */
    context?: RetrievedContext;
    /** In-context examples before every prompt, the stored ones included; chosen by a seed. */
    shots?: { count: number; seed: number };
    tests: (Part & { name: string; title: string })[];
    /** Whether what a smaller store is worth is measured, too. */
    isThinned?: boolean;
    /** Ways in which it is searched, each with the recipe's k, T and weight. Default: the keys as they are. */
    variants?: Variant[];
}

export interface Variant {
    name: string;
    space: Space;
    /** k, T, weight and space are then fitted to the store's own examples (`rtd tune`), to a sample of this size. */
    isTuned?: boolean;
    sample?: number;
    /** Only so many examples of the store: the first ones, or those whose labels the model alone finds least probable. */
    examples?: number;
    areHardest?: boolean;
    /** Also with so many in-context examples, on the first tests alone: prompts become long. */
    shots?: { count: number; tests: number };
    /** Also with so many retrieved examples. */
    retrieved?: { count: number; tests: number };
}

export const plain: Variant = { name: "keys as they are", space: spaceOf(1) };
const heads16: Variant = { name: "16 heads", space: spaceOf(16) };
const tuned: Variant = { ...plain, name: "tuned", isTuned: true };
const tunedLong: Variant = { ...tuned, sample: 16_384 };
const whitened: Variant = { name: "whitened", space: spaceOf(1, "whiten") };
const inContext: Variant = { ...plain, name: "5-shot", shots: { count: 5, tests: 300 } };
const retrieved: Variant = { ...plain, name: "3 retrieved", retrieved: { count: 3, tests: 100 } };
/** How results grow. */
const growth: Variant[] = [32, 128, 512].flatMap((examples) => [
    { ...plain, name: `${examples} references`, examples },
    { ...tuned, name: `${examples} references, tuned`, examples },
]);
const hardest: Variant = { ...plain, name: "512 hardest references", examples: 512, areHardest: true };

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

/** Of rows in several wordings: which are stored, asked, and absent. */
const elements = { seed: 1, stored: 500, absent: 100 } as const;

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

/** Keys recorded after the same in-context examples that stand before the tests. */
const shotTasks = (): MeasuredTask[] =>
    [1, 2].map((seed) => {
        const task = labelTask({ ...fullSizes.labels, tests: 300 });
        return {
            ...task,
            name: `wordnet-shots-${seed}`,
            title: `${task.title}, after 5 in-context examples (seed ${seed})`,
            shots: { count: 5, seed },
        };
    });

/** The same definitions, each after the three that its state finds nearest among the others, with their categories. */
const contextTask = (): MeasuredTask => {
    const task = labelTask({ ...fullSizes.labels, tests: 600 });
    return {
        ...task,
        name: "wordnet-context",
        title: `${task.title}, after 3 retrieved ones`,
        context: { from: task.name, count: 3, beforeLabel: "\nCategory: ", beforeText: "\n\nDefinition: " },
    };
};

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

/** The questions about stored facts, to another store. */
function factsOf(store: Pick<MeasuredTask, "name" | "title" | "references">): MeasuredTask {
    const { tests, ...task } = factsTask(fullSizes.facts);
    return { ...task, ...store, tests: tests.slice(0, 1) };
}

/** A store of ten times as many facts. */
const manyFactsTask = (): MeasuredTask =>
    factsOf({
        name: "airports-3000",
        title: "Facts: IATA codes of 3,000 airports",
        references: { data: data("airports-facts.jsonl") },
    });

/** The same facts as plain statements. */
const statementsTask = (): MeasuredTask =>
    factsOf({
        name: "airports-statements",
        title: "Facts: IATA codes of airports, stored as statements",
        references: { data: data("airports-statements.jsonl"), limit: fullSizes.facts.references },
    });

function playTask(): MeasuredTask {
    return {
        name: "shakespeare",
        title: "Text: two plays of Shakespeare",
        task: "text",
        references: { data: data("shakespeare-train.txt") },
        tests: [{ name: "next", title: "their last acts", data: data("shakespeare-heldout.txt"), limit: 5_000 }],
    };
}

function elementsTask(): MeasuredTask {
    const { seed, stored, absent } = elements;
    const questions = { data: data("elements-questions.jsonl"), seed };
    return {
        name: "elements",
        title: "Facts: the chemical elements",
        task: "chat",
        references: { data: data("elements-facts.jsonl"), seed, limit: stored },
        tests: [
            { name: "stored", title: "stored facts, in other words", ...questions, limit: 250 },
            { name: "absent", title: "facts that are not stored", ...questions, offset: stored, limit: absent },
        ],
    };
}

function elementsChoiceTask(): MeasuredTask {
    const { seed, stored, absent } = elements;
    const questions = { data: data("elements-choice-questions.jsonl"), seed };
    return {
        name: "elements-choice",
        title: "Multiple choice: the chemical elements",
        task: "label",
        rotate: true,
        references: { data: data("elements-choice-facts.jsonl"), seed, limit: stored },
        tests: [
            { name: "stored", title: "stored facts, in other words", ...questions, limit: 150 },
            { name: "absent", title: "facts that are not stored", ...questions, offset: stored, limit: absent },
        ],
    };
}

function definitionsTask(): MeasuredTask {
    const file = { data: data("wordnet-definitions.jsonl") };
    return {
        name: "definitions",
        title: "Multiple choice: terms of definitions (WordNet)",
        task: "label",
        references: { ...file, limit: 1_000 },
        tests: [{ name: "heldout", title: "held-out definitions", ...file, offset: 1_000, limit: 300 }],
    };
}

/** The same with the states that enter the model's last block as keys: the best layer for the stores' own examples, by `rtd tune --layers`. */
const ofLayer = (task: MeasuredTask): MeasuredTask => ({
    ...task,
    name: `${task.name}-layer-28`,
    title: `${task.title}, keys of block 28`,
    layer: 28,
});

/** What `npm run reproduce` measures. */
export const fullTasks = (): MeasuredTask[] => [
    {
        ...labelTask(fullSizes.labels),
        variants: [
            plain,
            heads16,
            whitened,
            tuned,
            inContext,
            { ...retrieved, retrieved: { count: 3, tests: 300 } },
            ...growth,
            hardest,
        ],
    },
    { ...authorshipTask(), variants: [plain, heads16, whitened, tuned] },
    {
        ...factsTask(fullSizes.facts),
        variants: [plain, heads16, whitened, retrieved, { ...inContext, shots: { count: 5, tests: 100 } }],
    },
    { ...textTask(fullSizes.text), variants: [plain, tunedLong, whitened], isThinned: true },
    { ...manyFactsTask(), variants: [plain, heads16, whitened] },
    { ...statementsTask(), variants: [plain, whitened] },
    { ...elementsTask(), variants: [plain, heads16, whitened] },
    { ...definitionsTask(), variants: [plain, tuned] },
    { ...playTask(), variants: [plain, tunedLong] },
    { ...elementsChoiceTask(), variants: [plain, whitened] },
    ...shotTasks(),
    { ...contextTask(), variants: [plain, heads16, tuned] },
    { ...ofLayer(textTask(fullSizes.text)), variants: [plain, tunedLong] },
    { ...ofLayer(labelTask(fullSizes.labels)), variants: [plain, heads16, tuned] },
    { ...ofLayer(authorshipTask()), variants: [plain, heads16, tuned] },
];
