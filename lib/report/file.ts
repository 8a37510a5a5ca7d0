/** Reports on disk. */
import { randomUUID } from "node:crypto";
import { access, constants, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { describe, invalid } from "../arguments.js";
import { RtdError } from "../errors.js";
import { writeError } from "../file-error.js";
import type { Report } from "./description.js";
import { htmlOf } from "./page.js";

/**
 * Writes a report as one HTML file, which needs nothing else and works offline. An existing file is replaced, whole or not at all.
 * @throws RtdError as {@link expectReportFile}; `ERR_RTD_NO_SPACE`, `ERR_RTD_IO`
 */
export async function writeReport(path: string, report: Report): Promise<void> {
    await expectReportFile(path);
    const target = await realpath(path).catch(() => path); // through a link, which stays
    const draft = join(dirname(target), `.report-${randomUUID()}.part`);
    try {
        await writeFile(draft, htmlOf(report));
        await rename(draft, target);
    } catch (error) {
        await rm(draft, { force: true }).catch(() => undefined);
        throw writeError(path, "the report", "file", error);
    }
}

/**
 * Throws unless a report can be written there, so that nobody waits for one that cannot.
 * @throws RtdError `ERR_RTD_INVALID_ARGUMENT` (something else than a file is there), `ERR_RTD_NOT_FOUND` (its folder), `ERR_RTD_PERMISSION`
 */
export async function expectReportFile(path: string): Promise<void> {
    if (typeof path !== "string" || path === "") invalid(`report: expected the path of a file, got ${describe(path)}`);
    const folder = dirname(path);
    const [there, parent] = await Promise.all([path, folder].map((one) => stat(one).catch(() => undefined)));
    if (there !== undefined && !there.isFile())
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `${path}: expected the path of a file for the report, and this is ${there.isDirectory() ? "a folder" : "no regular file"}; name a file`,
        );
    if (parent?.isDirectory() !== true)
        throw new RtdError(
            "ERR_RTD_NOT_FOUND",
            `${path}: the report cannot be written, there is no folder ${folder}; make it first`,
        );
    for (const one of there === undefined ? [folder] : [folder, path])
        await access(one, constants.W_OK).catch((error: unknown) => {
            throw writeError(path, "the report", "file", error);
        });
}
