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
        const { examples } = this.store.origins(ids);
        const tokens = [...this.store.index.entriesOf(ids).tokens].map((token, i) =>
            examples[i] === example ? (token as Token) : undefined,
        );
        const text = (part: (Token | undefined)[]) =>
            readable(
                this.model,
                part.filter((token) => token !== undefined),
            );
        if (this.metadata.recipe === "label") return { before: "", value: text([tokens[id - first]]), after: "" };
        return {
            before: text(tokens.slice(0, id - first)),
            value: text([tokens[id - first]]),
            after: text(tokens.slice(id - first + 1)),
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
