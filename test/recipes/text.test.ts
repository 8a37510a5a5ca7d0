import type { Token } from "node-llama-cpp";
import { describe, expect, it } from "vitest";

import type { TextRow } from "../../lib/recipes/data.js";
import { longestPassage } from "../../lib/recipes/passage.js";
import { textPassages, textWindow } from "../../lib/recipes/text.js";
import { toyModel } from "./toy-model.js";

const words = (count: number, from = 0) => Array.from({ length: count }, (_, i) => ` w${from + i}`).join("");
const document = (text: string): TextRow => ({ kind: "document", text, file: "f", line: 1 });

describe("text recipe", () => {
    it("makes every token but the first a value, once, after what stands before it", () => {
        const model = toyModel();
        const text = words(1000);
        const tokens = model.tokenize(text);
        const passages = textPassages(model, [document(text)], {});
        expect(passages.map(({ values }) => values.length)).toEqual([448, 448, 103]);
        expect(passages.map(({ tokens }) => tokens.length)).toEqual([448, 512, 167]);
        expect(passages.map(({ position }) => position)).toEqual([0, 448, 896]);
        expect(passages.flatMap(({ values }) => values)).toEqual(tokens.slice(1));
        for (const { tokens: read, from, values, position } of passages) {
            expect(read.slice(from)).toEqual(tokens.slice(position, position + values.length));
            expect(read).toEqual(tokens.slice(position - from, position + values.length));
        }
    });

    it("counts offset and limit in tokens, over all documents", () => {
        const model = toyModel();
        const rows = [document(words(11)), document(words(21, 100))]; // 10 and 20 keys
        const cut = textPassages(model, rows, { offset: 8, limit: 5 });
        expect(cut.map(({ example, position, values }) => [example, position, values.length])).toEqual([
            [0, 8, 2],
            [1, 0, 3],
        ]);
        const whole = textPassages(model, rows, {}).flatMap(({ values }) => values);
        const parts = [textPassages(model, rows, { limit: 13 }), textPassages(model, rows, { offset: 13 })];
        expect(parts.flat().flatMap(({ values }) => values)).toEqual(whole);
    });

    it("lets context reach back before the offset", () => {
        const [passage] = textPassages(toyModel(), [document(words(200))], { offset: 100, limit: 10 });
        expect(passage).toMatchObject({ from: textWindow.contextTokens, position: 100 });
    });

    it("keeps a window's length with a token before it", () => {
        const model = toyModel({ bos: true });
        const passages = textPassages(model, [document(words(1000))], {});
        for (const { tokens } of passages) expect(tokens[0]).toBe(1);
        expect(longestPassage(model, passages)).toBe(512);
        const tokens = model.tokenize(words(1000));
        expect(passages.flatMap(({ values }) => values)).toEqual(tokens.slice(1));
    });

    it("of nothing is an error", () => {
        expect(() => textPassages(toyModel(), [document("one two")], { offset: 1 })).toThrow(
            /^f: offset 1 leaves nothing of 1 tokens; give a smaller offset$/,
        );
        expect(() => textPassages(toyModel(), [document("one")], {})).toThrow(
            /^f: no text of two tokens; a key is a token that another one follows$/,
        );
    });
});

describe("longest passage", () => {
    it("must fit the model", () => {
        const passage = { tokens: Array<Token>(9).fill(3 as Token), from: 0, values: [], example: 0, position: 0, origin: "f:3" };
        expect(longestPassage(toyModel({ contextSize: 9 }), [passage])).toBe(9);
        expect(() => longestPassage(toyModel({ contextSize: 8 }), [passage])).toThrow(
            /^f:3: 9 tokens do not fit the model's context of 8/,
        );
    });
});
