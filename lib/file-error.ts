/** What the file system says, as errors of this package. */
import { RtdError, type RtdErrorCode } from "./errors.js";

type Codes = Readonly<Record<string, RtdErrorCode>>;

const denied: Codes = { EACCES: "ERR_RTD_PERMISSION", EPERM: "ERR_RTD_PERMISSION", EROFS: "ERR_RTD_PERMISSION" };
const whenReading: Codes = {
    ...denied,
    ENOENT: "ERR_RTD_NOT_FOUND",
    ENOTDIR: "ERR_RTD_NOT_FOUND",
    EISDIR: "ERR_RTD_INVALID_ARGUMENT",
};
const whenWriting: Codes = { ...denied, ENOSPC: "ERR_RTD_NO_SPACE", EDQUOT: "ERR_RTD_NO_SPACE" };

const sayings: Readonly<Record<string, string>> = {
    ERR_RTD_NOT_FOUND: ": no such file",
    ERR_RTD_PERMISSION: ": reading it is not permitted",
    ERR_RTD_INVALID_ARGUMENT: " is a directory; name the files in it",
};

/** Of a file that could not be read. */
export function readError(file: string, cause: unknown): RtdError {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const own = whenReading[code] ?? "ERR_RTD_IO";
    return new RtdError(own, `${file}${sayings[own] ?? `: it cannot be read (${message})`}`, { cause });
}

/** Of a path where `what` ("the report") could not be written; `another` is what to name in its place. */
export function writeError(path: string, what: string, another: "file" | "folder", cause: unknown): RtdError {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const text = `${path}: ${what} cannot be written (${message}); name another ${another}`;
    return new RtdError(whenWriting[code] ?? "ERR_RTD_IO", text, { cause });
}
