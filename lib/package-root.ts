import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's directory: sources and what is built of them lie at different depths in it. */
export const packageRoot = findRoot(dirname(fileURLToPath(import.meta.url)));

/** The version in a package's directory. */
export function versionIn(root: string): string {
    return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
}

/** The package that a directory lies in. */
export function findRoot(directory: string): string {
    const parent = dirname(directory);
    return existsSync(join(directory, "package.json")) || parent === directory ? directory : findRoot(parent);
}
