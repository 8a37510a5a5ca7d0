/**
 * The label recipe: classification or multiple choice. One key per example, the hidden state at the prompt's end or the mean over its text; its value is the
 * label's first token. For questions with options the labels are the options' letters, and with `rotate` each is stored once per rotation of them.
 */
import { describe, invalid } from "../arguments.js";
import { defined } from "../defined.js";
import { RtdError } from "../errors.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import type { ChoiceContent, LabelQuery, LabelRow } from "./data.js";
import { withBos, type Passage, type Shots } from "./passage.js";
import {
    expectSpellings,
    labelNamed,
    labelTokens,
    namesOf,
    valuesOfLabel,
    writtenOf,
    type Label,
    type Spellings,
} from "./spelling.js";
import { checkTemplate, fillTemplate } from "./template.js";

export interface LabelRecipe {
    prompt: string;
    labels: Label[];
    rotate: boolean;
    /** Keys are the mean of the states over the text's tokens (or the question's and options'), not the state at the prompt's end. */
    pooling?: Pooling;
    /** Entries are all tokens of a label, each after those before it, not the first alone. */
    wholeLabels?: true;
}

export const poolings = ["mean"] as const;
export type Pooling = (typeof poolings)[number];

export interface LabelSettings {
    pooling?: Pooling | undefined;
    spellings?: Spellings | undefined;
    wholeLabels?: boolean | undefined;
}

const labelledPrompt = "Categories: {labels}.\nText: {text}\nCategory:";
const choicePrompt = "Question: {question}\n{options}\nAnswer:";

/** The recipe for rows that no store has a recipe for yet: labels are all names that occur, in alphabetical order. */
export function newLabelRecipe(
    model: LlamaModel,
    rows: readonly LabelRow[],
    prompt?: string,
    rotate = false,
    { pooling, spellings, wholeLabels = false }: LabelSettings = {},
): LabelRecipe {
    if (pooling !== undefined && !poolings.includes(pooling))
        invalid(`pooling: expected ${poolings.map((name) => JSON.stringify(name)).join(" or ")}, got ${describe(pooling)}`);
    const kind = kindOf(rows);
    if (kind === "labelled" && rotate)
        throw new RtdError("ERR_RTD_INVALID_ARGUMENT", "rotating is for questions with options; these rows have labels");
    const template = prompt ?? (kind === "labelled" ? labelledPrompt : choicePrompt);
    if (kind === "labelled") checkTemplate(template, ["text"], ["labels"]);
    else checkTemplate(template, ["question", "options"], []);
    if (wholeLabels && pooling !== undefined)
        invalid(
            "wholeLabels: pooled keys are one for each text and cannot be followed token by token; leave out pooling or wholeLabels",
        );
    const given = labelNames(rows);
    expectSpellings(spellings, given);
    const labels = labelsOf(model, template, namesOf(given, spellings), spellings, wholeLabels);
    return { prompt: template, rotate, labels, ...(pooling !== undefined && { pooling }), ...(wholeLabels && { wholeLabels }) };
}

/** Labels as they are written after a prompt of this template. */
export function labelsOf(
    model: LlamaModel,
    template: string,
    names: readonly string[],
    spellings: Spellings | undefined,
    whole: boolean,
): Label[] {
    const ending = endingOf(template);
    return labelTokens(model, names, { ending, joins: joinsNext.test(ending), spellings, whole });
}

/** Passages of rows, one for each rotation; rows whose label the recipe does not have are an error. `shots`, answered, come before each prompt. */
export function labelPassages(
    model: LlamaModel,
    rows: readonly LabelRow[],
    recipe: LabelRecipe,
    shots: Shots<LabelRow> = () => [],
): Passage[] {
    kindOf(rows);
    const names = recipe.labels.map((label) => label.name).join(", ");
    const longest = Math.max(...recipe.labels.map((label) => valuesOfLabel(label).length));
    const passage = (row: LabelRow, example: number, rotation: number, name: string, query: LabelQuery): Passage => {
        const origin = `${row.file}:${row.line}`;
        const label = labelNamed(recipe.labels, name);
        if (label === undefined)
            throw new RtdError(
                "ERR_RTD_BAD_FORMAT",
                `${origin}: the label ${JSON.stringify(name)} is not one of the store's: ${names}`,
            );
        const prompt = promptOf(model, recipe, query, answeredPrompts(shots(example, rotation), recipe));
        const values = valuesOfLabel(label);
        const tokens = [...prompt.tokens, ...values.slice(0, -1)];
        const about = defined({ subject: row.subject, rotation: row.kind === "choice" ? rotation : undefined });
        return { ...prompt, tokens, values, example, position: rotation * longest, origin, ...about };
    };
    return rows.flatMap((row, example) => {
        if (row.kind === "labelled") return [passage(row, example, 0, row.label, row)];
        return rotations(row, recipe.rotate).map((turned, rotation) =>
            passage(row, example, rotation, letter(turned.answer), { ...row, options: turned.options }),
        );
    });
}

/** Passages of queries whose labels are not known: another label's token stands in their place. `shots`, answered, come before each prompt. */
export function queryPassages(
    model: LlamaModel,
    queries: readonly LabelQuery[],
    recipe: LabelRecipe,
    shots: readonly LabelRow[] = [],
): Passage[] {
    const [label] = recipe.labels;
    const before = answeredPrompts(shots, recipe);
    return queries.map((query, example) => ({
        ...promptOf(model, recipe, query, before),
        values: label === undefined ? [] : [label.token], // of which a run of the model asks no more than how many there are
        example,
        position: 0,
        origin: `query ${example}`,
    }));
}

type Prompt = Pick<Passage, "tokens" | "from" | "pooled" | "openLabels">;

function promptOf(model: LlamaModel, recipe: LabelRecipe, query: LabelQuery, before = ""): Prompt {
    const values = valuesOf(query, recipe);
    const tokensOf = (template: string) => withBos(model, model.tokenize(before + fillTemplate(template, values)));
    const tokens = tokensOf(recipe.prompt);
    const from = tokens.length - 1;
    const openLabels = query.kind === "choice" ? query.options.length : recipe.labels.length;
    if (recipe.pooling === undefined) return { tokens, from, openLabels };
    // Where the text begins and ends among the tokens: a tokenizer may join its ends with what is around.
    const own = [...recipe.prompt.matchAll(/\{(text|question|options)\}/g)];
    const beginning = recipe.prompt.slice(0, own[0]?.index);
    const ending = (own.at(-1)?.index ?? 0) + (own.at(-1)?.[0].length ?? 0);
    const shared = (template: string) => sharedBeginning(tokensOf(template), tokens);
    const begin = Math.min(shared(beginning), from);
    const end = Math.max(begin + 1, shared(recipe.prompt.slice(0, ending)));
    return { tokens, from, openLabels, pooled: { begin, end } };
}

function sharedBeginning(a: readonly Token[], b: readonly Token[]): number {
    const end = a.findIndex((token, i) => token !== b[i]);
    return end < 0 ? a.length : end;
}

/** In-context examples as they stand before a prompt. */
export const answeredPrompts = (shots: readonly LabelRow[], recipe: LabelRecipe): string =>
    shots.map((shot) => `${answeredPrompt(shot, recipe)}\n\n`).join("");

/** A row's prompt and its answer, as in-context examples are written. */
export function answeredPrompt(row: LabelRow, recipe: LabelRecipe): string {
    const name = row.kind === "labelled" ? row.label : letter(row.answer);
    const label = labelNamed(recipe.labels, name);
    const answer = label === undefined ? name : writtenOf(label);
    const ending = endingOf(recipe.prompt);
    const prompt = fillTemplate(recipe.prompt, valuesOf(row, recipe));
    return `${prompt}${recipe.prompt.endsWith(ending) ? "" : ending}${joinsNext.test(ending) ? "" : " "}${answer}`;
}

/** What the prompt's placeholders stand for. */
function valuesOf(query: LabelQuery, recipe: LabelRecipe): Record<string, string> {
    if (query.kind === "labelled") return { text: query.text, labels: recipe.labels.map(writtenOf).join(", ") };
    return { question: query.question, options: query.options.map(optionLine).join("\n") };
}

/** A question with its options moved on by 0, 1, ... places, or only as it is. */
export function rotations({ options, answer }: ChoiceContent, all: boolean): { options: string[]; answer: number }[] {
    const count = options.length;
    return Array.from({ length: all ? count : 1 }, (_, by) => ({
        options: options.map((_, i) => options[(i + by) % count] as string),
        answer: (answer - by + count) % count,
    }));
}

function kindOf(rows: readonly LabelRow[]): LabelRow["kind"] {
    const [first] = rows;
    const other = rows.find((row) => row.kind !== first?.kind);
    if (other !== undefined)
        throw new RtdError(
            "ERR_RTD_BAD_FORMAT",
            `${other.file}:${other.line}: rows with "label" and rows with "options" cannot share a datastore; give one kind`,
        );
    return first?.kind ?? "labelled";
}

function labelNames(rows: readonly LabelRow[]): string[] {
    const names = new Set<string>();
    for (const row of rows) {
        if (row.kind === "labelled") names.add(row.label);
        else row.options.forEach((_, i) => names.add(letter(i)));
    }
    return [...names].sort();
}

/** What a label is written after: the template's end, or a line's where a placeholder ends it. */
const endingOf = (template: string): string => template.slice(template.lastIndexOf("}") + 1) || "\n";

/** Prompts that end so are followed by the label without a space between. */
const joinsNext = /[\s("'[{<]$/;

const letter = (index: number): string => String.fromCharCode(65 + index);
const optionLine = (option: string, index: number): string => `${letter(index)}. ${option}`;
