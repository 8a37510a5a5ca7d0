import { homedir } from "node:os";
import { join } from "node:path";

/** Where all that can be made or fetched again is kept: RTD_CACHE, or a folder in the user's cache directory. */
export function cacheDirectory(): string {
    return process.env["RTD_CACHE"] || join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "node-rtd");
}
