/** How labels are written, as tokens: in one way or several, by their first tokens or whole. */
import { describe, expectObject, invalid } from "../arguments.js";
import { RtdError } from "../errors.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import { tokenizeAfter } from "./passage.js";
import { readable } from "./token-text.js";

export interface Label {
    /** As rows have it. */
    name: string;
    /** The first of the label's tokens. */
    token: Token;
    /** How it is written; prompts and entries have the first. Without any: as the name, of one token. */
    spellings?: Spelling[];
}

export interface Spelling {
    text: string;
    /** The first of its tokens or, of whole labels, all. */
    tokens: Token[];
}

/** Spellings of labels, by name: the first is the one that prompts and entries have. Rows may have the name or any of them. */
export type Spellings = Readonly<Record<string, readonly string[]>>;

const spellingsOf = ({ name, token, spellings = [{ text: name, tokens: [token] }] }: Label): Spelling[] => spellings;

export const writtenOf = (label: Label): string => spellingsOf(label)[0]?.text ?? label.name;

/** The values of a label's entries. */
export const valuesOfLabel = (label: Label): Token[] => spellingsOf(label)[0]?.tokens ?? [label.token];

/** The label that a row means: by its name, else by a spelling. */
export function labelNamed(labels: readonly Label[], name: string): Label | undefined {
    return (
        labels.find((label) => label.name === name) ??
        labels.find((label) => spellingsOf(label).some(({ text }) => text === name))
    );
}

/** The names of labels that rows mean. */
export function namesOf(labels: Iterable<string>, spellings: Spellings = {}): string[] {
    const given = [...labels];
    const named = (label: string) =>
        Object.hasOwn(spellings, label) ? label : Object.keys(spellings).find((name) => spellings[name]?.includes(label));
    return [...new Set(given.map((label) => named(label) ?? label))].sort();
}

/** A label's spellings of which none begins with another: its probability is the sum of theirs. */
export function distinctSpellings(label: Label): Token[][] {
    const all = spellingsOf(label).map(({ tokens }) => tokens);
    return all.filter(
        (one, i) => !all.some((other, j) => i !== j && beginsWith(one, other) && (other.length < one.length || j < i)),
    );
}

/** Of each label the first tokens that stand for it. */
export const firstTokens = (labels: readonly Label[]): Token[][] =>
    labels.map((label) => [...new Set(distinctSpellings(label).map(([token]) => token as Token))]);

/** All tokens of all labels, once each. */
export const allTokens = (labels: readonly Label[]): Token[] => [...new Set(labels.flatMap(distinctSpellings).flat())];

/** Throws unless these are spellings of labels that `given`, the rows' own, are of. */
export function expectSpellings(spellings: Spellings | undefined, given: readonly string[]): void {
    if (spellings === undefined) return;
    if (Array.isArray(spellings)) invalid("labels: expected an object of spellings by name, got an array");
    expectObject(spellings, "labels");
    for (const [name, ways] of Object.entries(spellings) as [string, unknown][]) {
        const isList =
            Array.isArray(ways) &&
            ways.length > 0 &&
            ways.every((way) => typeof way === "string" && way !== "" && way.trim() === way);
        if (!isList)
            invalid(
                `labels: expected an array of spellings of ${JSON.stringify(name)}, without white space around, got ${describe(ways)}`,
            );
        if (!given.some((label) => label === name || (ways as string[]).includes(label)))
            invalid(
                `labels: no row has the label ${JSON.stringify(name)} or a spelling of it; the rows have ${given.join(", ")}`,
            );
    }
}

export interface LabelTokensOptions {
    /** What stands before a label, and whether it joins without a space between. */
    ending: string;
    joins: boolean;
    spellings?: Spellings | undefined;
    /** All of a label's tokens, not only the first. */
    whole?: boolean | undefined;
}

/** The tokens of labels. Two that could not be told apart by them are an error. */
export function labelTokens(model: LlamaModel, names: readonly string[], options: LabelTokensOptions): Label[] {
    const { ending, joins, spellings = {}, whole = false } = options;
    const labels = names.map((name): Label => {
        const ways = Object.hasOwn(spellings, name) ? (spellings[name] as readonly string[]) : [name];
        const all = ways.map((text): Spelling => {
            const tokens = tokenizeAfter(model, ending, joins ? text : ` ${text}`);
            return { text, tokens: whole ? tokens : tokens.slice(0, 1) };
        });
        const { tokens = [], text } = all[0] ?? {};
        const isPlain = all.length === 1 && text === name && tokens.length === 1;
        return { name, token: tokens[0] as Token, ...(!isPlain && { spellings: all }) };
    });
    for (const [i, label] of labels.entries()) for (const rival of labels.slice(0, i)) expectApart(model, rival, label, whole);
    return labels;
}

function expectApart(model: LlamaModel, rival: Label, label: Label, whole: boolean): void {
    for (const one of distinctSpellings(rival))
        for (const other of distinctSpellings(label)) {
            if (!beginsWith(one, other) && !beginsWith(other, one)) continue;
            const shared = JSON.stringify(readable(model, one.length < other.length ? one : other));
            const names = `the labels ${JSON.stringify(rival.name)} and ${JSON.stringify(label.name)}`;
            throw new RtdError(
                "ERR_RTD_INVALID_ARGUMENT",
                whole
                    ? `${names} cannot be told apart: one begins with all of the other, ${shared}; rename one`
                    : `${names} begin with the same token ${shared} and could not be told apart; rename one, or build with whole labels`,
            );
        }
}

const beginsWith = (tokens: readonly Token[], beginning: readonly Token[]): boolean =>
    beginning.length <= tokens.length && beginning.every((token, i) => token === tokens[i]);
