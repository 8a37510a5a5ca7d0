/** The data that went into a store: recognised by content and cut, so that a build continues and nothing is added twice. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { resolve } from "node:path";

import { defined } from "../defined.js";
import { RtdError } from "../errors.js";
import { cutRows, shuffle, type Cut } from "./cut.js";
import { readRows, type Row, type Task } from "./data.js";
import type { RecipeMetadata, Source } from "./metadata.js";
import type { Passage } from "./passage.js";

/** The metadata's record of the data, made if it is new. Another source must not be half done. entries: of the store as it is. */
export async function sourceFor(
    metadata: RecipeMetadata,
    passages: readonly Passage[],
    { data, seed, offset = 0, limit }: Cut & { data: readonly string[] },
    entries: number,
): Promise<Source> {
    const files = await Promise.all(data.map(async (file) => ({ path: resolve(file), sha256: await hashFile(file) })));
    const wanted = identity({ files, offset, ...defined({ seed, limit }) });
    const known = metadata.sources.find((source) => identity(source) === wanted);
    if (known !== undefined) return known;
    const unfinished = metadata.sources.find((source) => !source.complete);
    if (unfinished !== undefined)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `the store is still being built from ${unfinished.files.map(({ path }) => path).join(", ")}; finish that first, by the same command as before`,
        );
    const source: Source = {
        files,
        offset,
        ...defined({ seed, limit }),
        firstExample: metadata.sources.reduce((sum, { examples }) => sum + examples, 0),
        examples: (passages.at(-1)?.example ?? -1) + 1,
        complete: false,
        ...(metadata.pruneAbove !== undefined && { firstEntry: entries }),
    };
    metadata.sources.push(source);
    return source;
}

/** Where files lie does not matter, what is in them does. */
function identity({ files, seed, offset, limit }: Pick<Source, "files" | "seed" | "offset" | "limit">): string {
    return JSON.stringify([files.map(({ sha256 }) => sha256), seed ?? null, offset, limit ?? null]);
}

/** The rows that a source is, in its order (of task text: all documents); undefined where its files are no longer what and where they were. */
export async function rowsOfSource({ files, seed, offset, limit }: Source, recipe: Task): Promise<Row[] | undefined> {
    for (const { path, sha256 } of files) if ((await hashFile(path).catch(() => "")) !== sha256) return undefined;
    const rows: Row[] = await readRows(
        files.map(({ path }) => path),
        recipe,
    );
    if (recipe === "text") return seed === undefined ? rows : shuffle(rows, seed);
    return cutRows(rows, { seed, offset, limit });
}

export async function hashFile(file: string): Promise<string> {
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) hash.update(chunk);
    return hash.digest("hex");
}
