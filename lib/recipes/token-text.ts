/** Tokens as text: a character may be several tokens, and one of those alone is only bytes. */
import type { LlamaModel, Token } from "../node-llama-cpp.js";

/** What a detokenizer puts for bytes that make no character, once for all that an unfinished one has so far. */
const replacement = "\ufffd";

/** Tokens before the next by which it is spaced. */
const context = 8;

/** The text of tokens that come one by one, whole characters only. */
export class TokenStream {
    readonly #model: LlamaModel;
    #before: readonly Token[];
    #pending: Token[] = [];
    /** How much of the pending tokens' text was given. */
    #given = 0;

    /** `before`: the tokens that go before, by which a detokenizer spaces the first. */
    constructor(model: LlamaModel, before: readonly Token[]) {
        this.#model = model;
        this.#before = before;
    }

    /** The text that the next token completes: empty while a character lacks a part. */
    next(token: Token): string {
        this.#pending.push(token);
        const text = this.#model.detokenize(this.#pending, false, this.#before);
        const unfinished = text.endsWith(replacement);
        const fresh = text.slice(this.#given, unfinished ? -1 : undefined);
        this.#given += fresh.length;
        if (!unfinished) {
            this.#before = [...this.#before, ...this.#pending].slice(-context);
            this.#pending = [];
            this.#given = 0;
        }
        return fresh;
    }
}

/** Tokens from amid a text as people can read them: those that make no whole character byte by byte, as `<0xF0>`. */
export function readable(model: LlamaModel, tokens: readonly Token[]): string {
    const [first] = tokens;
    const last = tokens.at(-1);
    if (first === undefined || last === undefined) return "";
    const text = textAmid(model, tokens);
    if (!text.includes(replacement)) return text;
    if (tokens.length === 1) return bytesOf(model, first);
    return text.startsWith(replacement)
        ? readable(model, [first]) + readable(model, tokens.slice(1))
        : readable(model, tokens.slice(0, -1)) + readable(model, [last]);
}

/** After something: alone, a leading space of theirs might be taken for the tokenizer's own. */
function textAmid(model: LlamaModel, tokens: readonly Token[]): string {
    return model.detokenize(tokens, false, model.tokenize("."));
}

/** The vocabulary's own name of a token that is no text; SentencePiece's is readable as it is, as `<0xF0>`. */
function bytesOf(model: LlamaModel, token: Token): string {
    const { model: kind, tokens } = model.fileInfo.metadata.tokenizer.ggml;
    const name = tokens[token] ?? "";
    if (kind !== "gpt2") return name;
    return [...name]
        .map((character) => {
            const code = character.charCodeAt(0);
            const byte = code < 0x100 ? code : (unprintable[code - 0x100] ?? code);
            return byte < 0x80 ? String.fromCharCode(byte) : `<0x${byte.toString(16).toUpperCase()}>`;
        })
        .join("");
}

/** Vocabularies of GPT-2's kind write a byte as the Latin-1 character of its number; these, in their order, as those from U+0100 on. */
const unprintable = Array.from({ length: 0x100 }, (_, byte) => byte).filter(
    (byte) => byte <= 0x20 || (byte >= 0x7f && byte <= 0xa0) || byte === 0xad,
);
