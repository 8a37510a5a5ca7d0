/**
 * Lines of a UTF-8 file, one at a time, whatever its size: a byte order mark and carriage returns before line feeds are left out, invalid
 * UTF-8 and lines beyond a limit are errors that name file and line.
 */
import { createReadStream } from "node:fs";

import { RtdError } from "../errors.js";
import { readError } from "../file-error.js";

export interface Line {
    /** Counted from 1. */
    number: number;
    text: string;
}

/** Longer lines are refused: a whole file without line feeds would otherwise be read into memory before anything can be said about it. */
export const maxLineBytes = 64 * 1024 * 1024;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** Splits at every line feed, so that joining the texts with "\n" gives the file back. */
export async function* readLines(file: string, limit = maxLineBytes): AsyncGenerator<Line> {
    let pending: Buffer[] = [];
    let pendingBytes = 0;
    let number = 1;
    const grow = (piece: Buffer) => {
        pendingBytes += piece.length;
        if (pendingBytes > limit)
            throw new RtdError("ERR_RTD_BAD_FORMAT", `${file}:${number}: the line is longer than ${limit} bytes; split it`);
        pending.push(piece);
    };
    const take = (): Line => {
        const line = { number, text: decodeLine(Buffer.concat(pending), file, number) };
        pending = [];
        pendingBytes = 0;
        number++;
        return line;
    };
    try {
        for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
            let begin = 0;
            for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, begin)) {
                grow(chunk.subarray(begin, end));
                yield take();
                begin = end + 1;
            }
            grow(chunk.subarray(begin));
        }
    } catch (error) {
        throw error instanceof RtdError ? error : readError(file, error);
    }
    yield take();
}

function decodeLine(bytes: Buffer, file: string, number: number): string {
    const end = bytes.at(-1) === carriageReturn ? bytes.length - 1 : bytes.length;
    try {
        return new TextDecoder("utf-8", { fatal: true, ignoreBOM: number > 1 }).decode(bytes.subarray(0, end));
    } catch {
        throw new RtdError("ERR_RTD_BAD_FORMAT", `${file}:${number}: not valid UTF-8; convert the file to UTF-8`);
    }
}
