/** Where entries of a store come from, in words: file and line of the example as far as the data is still there, and the text around. */
import type { Datastore } from "../datastore.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import type { Row } from "./data.js";
import { recipeOf, sourceOf, type RecipeMetadata, type Source } from "./metadata.js";
import { rowsOfSource } from "./source.js";
import { readable } from "./token-text.js";

export interface ReferenceText {
    id: number;
    example: number;
    position: number;
    /** "file:line" of the example; undefined if the data is no longer where it was, or has changed. */
    origin: string | undefined;
    /** What stands before the value, the value, and what follows; cut to a few words. Parts of characters are bytes, as `<0xF0>`. */
    before: string;
    value: string;
    after: string;
}

const neighbours = 12;
const maxCharacters = 90;
/** For tokens that no entry holds. */
const gap = " … ";

export class References {
    private readonly metadata: RecipeMetadata;
    private readonly rows = new Map<Source, Promise<Row[] | undefined>>();

    constructor(
        private readonly store: Datastore,
        private readonly model: LlamaModel,
    ) {
        this.metadata = recipeOf(store);
    }

    async describe(ids: readonly number[]): Promise<ReferenceText[]> {
        const { examples, positions } = this.store.origins(ids);
        return await Promise.all(ids.map((id, i) => this.describeOne(id, examples[i] as number, positions[i] as number)));
    }

    private async describeOne(id: number, example: number, position: number): Promise<ReferenceText> {
        const source = sourceOf(this.metadata, example);
        const row = source && (await this.rowsOf(source))?.[example - source.firstExample];
        const { before, value, after } = this.around(id, example);
        const prompt = row === undefined ? "" : promptOf(row);
        return {
            id,
            example,
            position,
            origin: row && `${row.file}:${row.line}`,
            before: tail(prompt + before),
            value,
            after: [...after].slice(0, maxCharacters / 3).join(""),
        };
    }

    /** The values of the entries next to one, as far as they are of the same example: for texts and answers these are the text itself. */
    private around(id: number, example: number): { before: string; value: string; after: string } {
        const first = Math.max(0, id - neighbours);
        const ids = Array.from({ length: Math.min(this.store.index.entries, id + neighbours) - first }, (_, i) => first + i);
        const { examples, positions } = this.store.origins(ids);
        const { tokens } = this.store.index.entriesOf(ids);
        const at = id - first;
        const value = readable(this.model, [tokens[at] as Token]);
        if (this.metadata.recipe === "label") return { before: "", value, after: "" };
        // Entries follow one another in the text, but for those that pruning left out.
        const text = (begin: number, end: number) => {
            const parts: Token[][] = [];
            for (let i = begin; i < end; i++) {
                if (examples[i] !== example) continue;
                const follows = i > begin && examples[i - 1] === example && positions[i - 1] === (positions[i] as number) - 1;
                if (follows) parts.at(-1)?.push(tokens[i] as Token);
                else parts.push([tokens[i] as Token]);
            }
            return parts.map((part) => readable(this.model, part)).join(gap);
        };
        const isApart = (a: number, b: number) =>
            examples[a] === examples[b] && positions[b] !== (positions[a] as number) + 1 ? gap : "";
        return {
            before: at > 0 ? text(0, at) + isApart(at - 1, at) : "",
            value,
            after: at + 1 < ids.length ? isApart(at, at + 1) + text(at + 1, ids.length) : "",
        };
    }

    private rowsOf(source: Source): Promise<Row[] | undefined> {
        let rows = this.rows.get(source);
        if (rows === undefined) {
            rows = rowsOfSource(source, this.metadata.recipe).catch(() => undefined);
            this.rows.set(source, rows);
        }
        return rows;
    }
}

function promptOf(row: Row): string {
    switch (row.kind) {
        case "labelled":
            return `${row.text} →`;
        case "choice":
            return `${row.question} →`;
        case "completion":
            return row.prompt;
        case "conversation":
            return `${row.messages.find(({ role }) => role === "user")?.content ?? ""} → `;
        case "document":
            return "";
    }
}

function tail(text: string): string {
    const characters = [...text];
    return characters.length > maxCharacters ? `…${characters.slice(1 - maxCharacters).join("")}` : text;
}
