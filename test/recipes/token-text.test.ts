import type { LlamaModel, Token } from "node-llama-cpp";
import { describe, expect, it } from "vitest";

import { readable, TokenStream } from "../../lib/recipes/token-text.js";

/** A model whose tokens are these runs of bytes, named as in GPT-2's vocabularies. */
function bytesModel(vocabulary: Record<string, number[]>): LlamaModel {
    const bytes = Object.values(vocabulary);
    const model = {
        tokenize: () => [],
        detokenize: (tokens: readonly Token[]) => Buffer.from(tokens.flatMap((token) => bytes[token] ?? [])).toString("utf8"),
        fileInfo: { metadata: { tokenizer: { ggml: { model: "gpt2", tokens: Object.keys(vocabulary) } } } },
    };
    return model as unknown as LlamaModel;
}

const model = bytesModel({
    ĠðŁĺ: [0x20, 0xf0, 0x9f, 0x98],
    Ģ: [0x80],
    x: [0x78],
    ĭ日å: [0x8b, 0xe6, 0x97, 0xa5, 0xe5], // the end of one character, a whole one, the beginning of the next
    Ń: [0xad],
});
const [grin, end, x, across, soft] = [0, 1, 2, 3, 4] as Token[] as [Token, Token, Token, Token, Token];
const streamed = (...tokens: Token[]) => {
    const stream = new TokenStream(model, []);
    return tokens.map((token) => stream.next(token));
};

describe("the text of tokens", () => {
    it("comes in whole characters", () => {
        expect(streamed(x, grin, end, x)).toEqual(["x", " ", "😀", "x"]);
        expect(streamed(grin, across)).toEqual([" ", "😋日"]);
    });

    it("is not held back for what never becomes a character", () => {
        expect(streamed(grin, x, x)).toEqual([" ", "\ufffdx", "x"]);
        expect(streamed(end, end, end, x).join("")).toBe("\ufffd\ufffd\ufffdx");
    });

    it("is readable where a character is cut", () => {
        expect(readable(model, [x, grin, end, x])).toBe("x 😀x");
        expect(readable(model, [x, grin])).toBe("x <0xF0><0x9F><0x98>");
        expect(readable(model, [end, x, grin, end, soft])).toBe("<0x80>x 😀<0xAD>");
        expect(readable(model, [grin, x, grin, end])).toBe(" <0xF0><0x9F><0x98>x <0xF0><0x9F><0x98><0x80>");
        expect(readable(model, [])).toBe("");
    });
});
