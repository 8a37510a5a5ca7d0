/**
 * Data files: `.jsonl` (or `.ndjson`) with one JSON object a line, and `.txt`, a single document. What a row may be depends on the task; those of label and
 * chat may also have a "subject". Other keys of a row are ignored, empty lines too. A bad row is named by file and line, with what was expected.
 */
import { extname } from "node:path";

import { describe, halfPair, invalid } from "../arguments.js";
import { RtdError } from "../errors.js";
import { readLines, type Line } from "./lines.js";

export type Task = "label" | "text" | "chat";
export const tasks: readonly Task[] = ["label", "text", "chat"];

export interface Message {
    role: "system" | "user" | "assistant";
    content: string;
}

/** A text and the label it belongs under. */
export interface LabelledContent {
    kind: "labelled";
    text: string;
    label: string;
}
/** A multiple-choice question; `answer` is the right option's index. */
export interface ChoiceContent {
    kind: "choice";
    question: string;
    options: string[];
    answer: number;
}
export interface DocumentContent {
    kind: "document";
    text: string;
}
/** A conversation; the assistant's messages are its answers. */
export interface ConversationContent {
    kind: "conversation";
    messages: Message[];
}
export interface CompletionContent {
    kind: "completion";
    prompt: string;
    completion: string;
}
export type Content = LabelledContent | ChoiceContent | DocumentContent | ConversationContent | CompletionContent;

/** A row without its label. */
export type LabelQuery = Omit<LabelledContent, "label"> | Omit<ChoiceContent, "answer">;

/** `subject`: what the row is about, of rows that say so; evaluation then also reports by it. */
export type Row<C extends Content = Content> = C & { file: string; line: number; subject?: string };

export type LabelRow = Row<LabelledContent> | Row<ChoiceContent>;
export type TextRow = Row<DocumentContent>;
export type ChatRow = Row<ConversationContent> | Row<CompletionContent>;

interface RowsOf {
    label: LabelRow;
    text: TextRow;
    chat: ChatRow;
}

const expected: Record<Task, string> = {
    label: '{"text": string, "label": string} or {"question": string, "options": [string, ...], "answer": index}',
    text: '{"text": string}',
    chat: '{"messages": [{"role": "system" | "user" | "assistant", "content": string}, ...]} or {"prompt": string, "completion": string}',
};

/** What a row asks, by which rows can be told to be of one example: a question is the same in whatever order its options stand. */
export function askedBy(row: Row): string {
    switch (row.kind) {
        case "labelled":
        case "document":
            return row.text;
        case "choice":
            return JSON.stringify([row.question, [...row.options].sort()]);
        case "completion":
            return row.prompt;
        case "conversation":
            return JSON.stringify(
                row.messages.slice(
                    0,
                    row.messages.findLastIndex(({ role }) => role === "assistant"),
                ),
            );
    }
}

/** The rows of several files, in order. */
export async function readRows<T extends Task>(files: readonly string[], task: T): Promise<RowsOf[T][]> {
    if (!Array.isArray(files) || files.length === 0 || !files.every((file) => typeof file === "string"))
        invalid(`data: expected an array of file names, got ${describe(files)}`);
    const rows: Row[] = [];
    for (const file of files) {
        switch (extname(file).toLowerCase()) {
            case ".jsonl":
            case ".ndjson":
                for await (const line of readLines(file)) if (line.text.trim() !== "") rows.push(parseRow(line, file, task));
                break;
            case ".txt":
                if (task !== "text")
                    throw new RtdError(
                        "ERR_RTD_INVALID_ARGUMENT",
                        `${file}: a .txt file is for task text; task ${task} takes .jsonl rows`,
                    );
                rows.push(await readDocument(file));
                break;
            default:
                throw new RtdError("ERR_RTD_INVALID_ARGUMENT", `${file}: expected a name ending in .jsonl, .ndjson or .txt`);
        }
    }
    if (rows.length === 0)
        throw new RtdError("ERR_RTD_BAD_FORMAT", `${files.join(", ")}: no rows; task ${task} takes ${expected[task]}`);
    return rows as RowsOf[T][];
}

async function readDocument(file: string): Promise<TextRow> {
    const lines: string[] = [];
    for await (const line of readLines(file)) lines.push(line.text);
    const text = lines.join("\n");
    if (text.trim() === "") throw new RtdError("ERR_RTD_BAD_FORMAT", `${file}: the file is empty; expected text`);
    return { kind: "document", text, file, line: 1 };
}

/** Rows without labels, to be labelled: `.jsonl` with {"text"} or {"question", "options"} a line, `.txt` with a text a line. */
export async function readQueries(files: readonly string[]): Promise<LabelQuery[]> {
    const queries: LabelQuery[] = [];
    for (const file of files) {
        const isPlain = extname(file).toLowerCase() === ".txt";
        for await (const line of readLines(file)) {
            if (line.text.trim() === "") continue;
            const fields = isPlain
                ? undefined
                : parseFields(line, file, 'a row is {"text": string} or {"question": string, "options": [string, ...]}');
            if (fields === undefined) queries.push({ kind: "labelled", text: line.text });
            else if (fields.has("question"))
                queries.push({ kind: "choice", question: fields.string("question"), options: optionsOf(fields) });
            else queries.push({ kind: "labelled", text: fields.string("text") });
        }
    }
    return queries;
}

/** Checks one line of JSON. */
export function parseRow(line: Line, file: string, task: Task): Row {
    const fields = parseFields(line, file, `a ${task} row is ${expected[task]}`);
    const subject = task !== "text" && fields.has("subject") ? { subject: fields.string("subject") } : {};
    return { ...contentOf(fields, task), ...subject, file, line: line.number };
}

function parseFields(line: Line, file: string, expected: string): Fields {
    const bad = (what: string): never => {
        throw new RtdError("ERR_RTD_BAD_FORMAT", `${file}:${line.number}: ${what}; ${expected}`);
    };
    let value: unknown;
    try {
        value = JSON.parse(line.text, (key, inner: unknown) => {
            for (const text of [key, inner])
                if (typeof text === "string" && halfPair.test(text))
                    bad(`${describe(text)} holds half of a surrogate pair, which is no text`);
            return inner;
        });
    } catch (error) {
        if (error instanceof RtdError) throw error;
        return bad(`not JSON (${(error as Error).message})`);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) return bad("not a JSON object");
    return new Fields(value as Record<string, unknown>, bad);
}

function contentOf(fields: Fields, task: Task): Content {
    switch (task) {
        case "text":
            return { kind: "document", text: fields.string("text") };
        case "label":
            return fields.has("question") ? choiceOf(fields) : labelledOf(fields);
        case "chat":
            return fields.has("messages")
                ? { kind: "conversation", messages: fields.messages() }
                : { kind: "completion", prompt: fields.string("prompt"), completion: fields.string("completion") };
    }
}

function labelledOf(fields: Fields): LabelledContent {
    const label = fields.string("label");
    if (label.trim() !== label) fields.bad('"label" begins or ends with white space');
    return { kind: "labelled", text: fields.string("text"), label };
}

function choiceOf(fields: Fields): ChoiceContent {
    const question = fields.string("question");
    const options = optionsOf(fields);
    const answer = fields.value("answer");
    if (typeof answer !== "number" || !Number.isInteger(answer) || answer < 0 || answer >= options.length)
        return fields.bad(`"answer" is ${JSON.stringify(answer)}, not an index from 0 to ${options.length - 1}`);
    return { kind: "choice", question, options, answer };
}

function optionsOf(fields: Fields): string[] {
    const options = fields.strings("options");
    if (options.length < 2 || options.length > 26) fields.bad(`"options" has ${options.length} entries, not 2 to 26`);
    return options;
}

/** The fields of a row; what is missing or of the wrong type is reported through `bad`. */
class Fields {
    constructor(
        private readonly values: Record<string, unknown>,
        readonly bad: (what: string) => never,
    ) {}

    has(name: string): boolean {
        return Object.hasOwn(this.values, name);
    }

    value(name: string): unknown {
        return this.has(name) ? this.values[name] : this.bad(`"${name}" is missing`);
    }

    string(name: string): string {
        const value = this.value(name);
        if (typeof value !== "string") return this.bad(`"${name}" is ${kindOf(value)}, not a string`);
        return value === "" ? this.bad(`"${name}" is empty`) : value;
    }

    strings(name: string): string[] {
        const value = this.value(name);
        if (!Array.isArray(value) || !value.every((entry) => typeof entry === "string" && entry !== ""))
            return this.bad(`"${name}" is not an array of strings that are not empty`);
        return value as string[];
    }

    messages(): Message[] {
        const value = this.value("messages");
        if (!Array.isArray(value) || value.length === 0) return this.bad('"messages" is not an array with messages in it');
        const messages = value.map((entry: unknown, index): Message => {
            const { role, content } = (entry ?? {}) as Partial<Record<keyof Message, unknown>>;
            if (role !== "system" && role !== "user" && role !== "assistant")
                return this.bad(`messages[${index}].role is ${JSON.stringify(role)}, not "system", "user" or "assistant"`);
            if (typeof content !== "string" || content === "")
                return this.bad(`messages[${index}].content is not a string with text in it`);
            return { role, content };
        });
        if (!messages.some((message) => message.role === "assistant"))
            return this.bad('"messages" has no assistant message to learn from');
        return messages;
    }
}

function kindOf(value: unknown): string {
    if (value === null) return "null";
    return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}
