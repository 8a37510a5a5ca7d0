import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { readRows, type Task } from "../../lib/recipes/data.js";
import { readLines } from "../../lib/recipes/lines.js";

const directory = mkdtempSync(join(tmpdir(), "rtd-data-"));
afterAll(() => rmSync(directory, { recursive: true }));

function file(content: string | Uint8Array, name = "rows.jsonl"): string {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
}

async function texts(path: string, limit?: number): Promise<string[]> {
    const lines: string[] = [];
    for await (const line of readLines(path, limit)) lines.push(line.text);
    return lines;
}

describe("lines", () => {
    it("join to the file again", async () => {
        expect(await texts(file("a\n\nb\n"))).toEqual(["a", "", "b", ""]);
        expect(await texts(file("a\nb"))).toEqual(["a", "b"]);
        expect(await texts(file(""))).toEqual([""]);
    });

    it("leave out the byte order mark and carriage returns", async () => {
        expect(await texts(file("\uFEFFa\r\nb\r\n"))).toEqual(["a", "b", ""]);
        expect(await texts(file("a\n\uFEFFb"))).toEqual(["a", "\uFEFFb"]);
    });

    it("go across the pieces in which a file is read", async () => {
        const long = "é".repeat(100_000);
        expect(await texts(file(`${long}\n${long}x\n`))).toEqual([long, `${long}x`, ""]);
    });

    it("are named when they are not UTF-8", async () => {
        const path = file(Buffer.concat([Buffer.from("good\n"), Buffer.from([0x61, 0xff, 0x0a])]));
        await expect(texts(path)).rejects.toMatchObject({
            code: "ERR_RTD_BAD_FORMAT",
            message: `${path}:2: not valid UTF-8; convert the file to UTF-8`,
        });
    });

    it("are named when they are too long", async () => {
        const path = file(`ok\n${"x".repeat(200_000)}\n`);
        await expect(texts(path, 100_000)).rejects.toMatchObject({
            code: "ERR_RTD_BAD_FORMAT",
            message: expect.stringContaining(`${path}:2: `) as string,
        });
    });

    it("of files that cannot be read are errors that say why", async () => {
        await expect(texts(join(directory, "none"))).rejects.toMatchObject({ code: "ERR_RTD_NOT_FOUND" });
        await expect(texts(join(file("x"), "none"))).rejects.toMatchObject({ code: "ERR_RTD_NOT_FOUND" });
        await expect(texts(directory)).rejects.toMatchObject({ code: "ERR_RTD_INVALID_ARGUMENT" });
        await expect(texts("a\0b")).rejects.toMatchObject({ code: "ERR_RTD_IO" });
        if (process.getuid?.() === 0) return; // root may read anything
        const path = file("x", "locked.jsonl");
        chmodSync(path, 0);
        await expect(texts(path)).rejects.toMatchObject({ code: "ERR_RTD_PERMISSION" });
    });
});

describe("rows", () => {
    it.each([[undefined], ["rows.jsonl"], [[]], [["rows.jsonl", 5]]])("are not those of %j", async (files) => {
        await expect(readRows(files as string[], "label")).rejects.toMatchObject({
            code: "ERR_RTD_INVALID_ARGUMENT",
            message: expect.stringContaining("data: expected an array of file names, got ") as string,
        });
    });

    const rows = async (task: Task, ...lines: (object | string)[]) =>
        readRows([file(lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"))], task);

    it("of each kind are read, other keys ignored, and know their line", async () => {
        expect(await rows("label", { text: "a", label: "b", word: "c" })).toMatchObject([
            { kind: "labelled", text: "a", label: "b", line: 1 },
        ]);
        expect(await rows("label", "", { question: "q", options: ["x", "y"], answer: 1 })).toMatchObject([
            { kind: "choice", question: "q", options: ["x", "y"], answer: 1, line: 2 },
        ]);
        expect(await rows("text", { text: "a" }, "  ", { text: "b" })).toMatchObject([
            { kind: "document", text: "a", line: 1 },
            { kind: "document", text: "b", line: 3 },
        ]);
        const messages = [
            { role: "user", content: "hi" },
            { role: "assistant", content: "hello" },
        ];
        expect(await rows("chat", { messages }, { prompt: "p", completion: "c" })).toMatchObject([
            { kind: "conversation", messages, line: 1 },
            { kind: "completion", prompt: "p", completion: "c", line: 2 },
        ]);
    });

    it("say what they are about, where they do", async () => {
        const fact = { prompt: "p", completion: "c" };
        expect(await rows("chat", { ...fact, subject: "year" }, fact)).toEqual([
            expect.objectContaining({ subject: "year" }),
            expect.not.objectContaining({ subject: expect.anything() as unknown }),
        ]);
        expect(await rows("text", { text: "a", subject: 3 })).toHaveLength(1);
    });

    it("of a .txt file are one document, as it is", async () => {
        const path = file("one\r\ntwo\n\nthree\n", "book.txt");
        expect(await readRows([path], "text")).toEqual([{ kind: "document", text: "one\ntwo\n\nthree\n", file: path, line: 1 }]);
    });

    it("of several files come in order", async () => {
        const files = [file('{"text":"a"}', "1.jsonl"), file('{"text":"b"}', "2.ndjson"), file("c", "3.txt")];
        expect((await readRows(files, "text")).map(({ text }) => text)).toEqual(["a", "b", "c"]);
    });

    const user = { role: "user", content: "hi" };
    const bad: [string, Task, object | string, string][] = [
        ["broken JSON", "label", "{", "not JSON"],
        ["an array", "label", [1], "not a JSON object"],
        ["null", "label", "null", "not a JSON object"],
        [
            "half of a surrogate pair",
            "label",
            '{"text": "a", "label": "b \\ud83d"}',
            '"b \\ud83d" holds half of a surrogate pair, which is no text',
        ],
        ["half of a surrogate pair in a name", "text", '{"text": "a", "\\udc00": 1}', '"\\udc00" holds half of a surrogate pair'],
        ["a text without label", "label", { text: "a" }, '"label" is missing'],
        ["a label without text", "label", { label: "a" }, '"text" is missing'],
        ["a label that is a number", "label", { text: "a", label: 3 }, '"label" is a number, not a string'],
        ["an empty text", "label", { text: "", label: "b" }, '"text" is empty'],
        ["a label with space around it", "label", { text: "a", label: " b" }, "begins or ends with white space"],
        ["a question without options", "label", { question: "q", answer: 0 }, '"options" is missing'],
        [
            "options that are no strings",
            "label",
            { question: "q", options: ["a", 1], answer: 0 },
            '"options" is not an array of strings',
        ],
        ["one option", "label", { question: "q", options: ["a"], answer: 0 }, '"options" has 1 entries'],
        ["27 options", "label", { question: "q", options: Array(27).fill("a"), answer: 0 }, '"options" has 27 entries'],
        [
            "an answer beyond the options",
            "label",
            { question: "q", options: ["a", "b"], answer: 2 },
            '"answer" is 2, not an index from 0 to 1',
        ],
        ["an answer in words", "label", { question: "q", options: ["a", "b"], answer: "a" }, '"answer" is "a"'],
        ["a fractional answer", "label", { question: "q", options: ["a", "b"], answer: 0.5 }, '"answer" is 0.5'],
        ["a subject that is a number", "label", { text: "a", label: "b", subject: 3 }, '"subject" is a number, not a string'],
        ["no text", "text", { label: "a" }, '"text" is missing'],
        ["a text that is null", "text", { text: null }, '"text" is null, not a string'],
        ["neither messages nor prompt", "chat", { text: "a" }, '"prompt" is missing'],
        ["a prompt without completion", "chat", { prompt: "a" }, '"completion" is missing'],
        ["no messages", "chat", { messages: [] }, '"messages" is not an array with messages'],
        ["messages of another role", "chat", { messages: [{ role: "tool", content: "x" }] }, 'messages[0].role is "tool"'],
        ["a message that is no object", "chat", { messages: [null] }, "messages[0].role is undefined"],
        ["a message without content", "chat", { messages: [user, { role: "assistant" }] }, "messages[1].content is not a string"],
        ["messages without an answer", "chat", { messages: [user] }, "no assistant message"],
    ];
    it.each(bad)("with %s are named by file and line", async (_, task, row, what) => {
        const good = { label: { text: "a", label: "b" }, text: { text: "a" }, chat: { prompt: "a", completion: "b" } }[task];
        const error = await rows(task, good, row).then(
            () => undefined,
            (error: Error) => error,
        );
        expect(error).toMatchObject({ code: "ERR_RTD_BAD_FORMAT" });
        expect(error?.message).toContain("rows.jsonl:2: ");
        expect(error?.message).toContain(what);
        expect(error?.message).toContain(`a ${task} row is {`);
    });

    it("must be there", async () => {
        await expect(rows("label", "", " ")).rejects.toMatchObject({
            code: "ERR_RTD_BAD_FORMAT",
            message: expect.stringContaining("no rows") as string,
        });
        await expect(readRows([file(" \n", "empty.txt")], "text")).rejects.toMatchObject({ code: "ERR_RTD_BAD_FORMAT" });
    });

    it("are not taken from other kinds of files", async () => {
        await expect(readRows([file("a", "a.csv")], "text")).rejects.toMatchObject({ code: "ERR_RTD_INVALID_ARGUMENT" });
        await expect(readRows([file("a", "a.txt")], "chat")).rejects.toMatchObject({ code: "ERR_RTD_INVALID_ARGUMENT" });
    });
});
