/** The text recipe: one key per token, read in windows of `newTokens` after `contextTokens` of what came before. */
import { RtdError } from "../errors.js";
import type { LlamaModel, Token } from "../node-llama-cpp.js";
import { shuffle, type Cut } from "./cut.js";
import type { TextRow } from "./data.js";
import { withBos, type Passage } from "./passage.js";

export const textWindow = { newTokens: 448, contextTokens: 64 } as const;

/**
 * Documents in the files' order (or shuffled by the seed). A key is a position with a token after it, so a document of n tokens has n - 1;
 * offset and limit count keys over all documents, and a window's context may reach back before the offset.
 */
export function textPassages(
    model: LlamaModel,
    rows: readonly TextRow[],
    { seed, offset = 0, limit = Infinity }: Cut,
): Passage[] {
    const passages: Passage[] = [];
    let before = 0; // keys of the documents so far
    for (const [example, row] of (seed === undefined ? rows : shuffle(rows, seed)).entries()) {
        const tokens = model.tokenize(row.text);
        const keys = Math.max(0, tokens.length - 1);
        const begin = Math.max(0, offset - before);
        const end = Math.min(keys, offset + limit - before);
        before += keys;
        for (let position = begin; position < end; position += textWindow.newTokens)
            passages.push(windowAt(model, tokens, position, Math.min(position + textWindow.newTokens, end), example, row));
    }
    const files = [...new Set(rows.map(({ file }) => file))].join(", ");
    if (before === 0)
        throw new RtdError("ERR_RTD_BAD_FORMAT", `${files}: no text of two tokens; a key is a token that another one follows`);
    if (passages.length === 0)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `${files}: offset ${offset}${limit === Infinity ? " leaves" : ` and limit ${limit} leave`} nothing of ${before} tokens; give a smaller offset`,
        );
    return passages;
}

function windowAt(
    model: LlamaModel,
    document: readonly Token[],
    begin: number,
    end: number,
    example: number,
    row: TextRow,
): Passage {
    const room = textWindow.contextTokens - (model.tokens.shouldPrependBosToken ? 1 : 0);
    const tokens = withBos(model, document.slice(Math.max(0, begin - room), end));
    const values = document.slice(begin + 1, end + 1);
    return { tokens, from: tokens.length - values.length, values, example, position: begin, origin: `${row.file}:${row.line}` };
}
