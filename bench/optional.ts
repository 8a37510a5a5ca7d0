/**
 * Packages that only benchmarks need. They would weigh more than all the rest of node-rtd, so an application that installs it does not get them; where one
 * is missing, what needs it is reported as missing with the command that installs it.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, sep } from "node:path";
import { pathToFileURL } from "node:url";

import { packageRoot } from "../lib/package-root.js";

export interface Missing {
    name: string;
    reason: string;
    /** The command that installs it. */
    install: string;
}

/** Where `npm run bench:peers` puts what is no dependency of this package. */
export const peersFolder = join(packageRoot, "build", "peers");

/** Versions of packages that are no development dependencies: hnswlib-node is compiled when it is installed, which not every machine can. */
export const peerVersions = { "hnswlib-node": "3.0.0", "faiss-cpu": "1.15.1" } as const;

export async function optional<Module extends object>(name: string): Promise<Module | Missing> {
    const errors: NodeJS.ErrnoException[] = [];
    for (const find of [() => name, () => pathToFileURL(createRequire(join(peersFolder, "package.json")).resolve(name)).href])
        try {
            const module = (await import(find())) as Module & { default?: Module };
            return module.default !== undefined && Object.keys(module).length <= 2 ? module.default : module;
        } catch (error) {
            errors.push(error as NodeJS.ErrnoException);
        }
    const broken = errors.find(({ code }) => !/^(ERR_)?MODULE_NOT_FOUND$/.test(code ?? ""));
    const reason = broken === undefined ? "not installed" : `cannot be loaded: ${broken.message.split("\n", 1)[0]}`;
    const [installed = name] = name.split("/", 1); // a part of a package is imported by a longer name
    return { name: installed, reason, install: `npm install ${installed}@${versionOf(installed)}` };
}

function versionOf(name: string): string {
    const versions: Record<string, string> = { ...packageJson(packageRoot).devDependencies, ...peerVersions };
    return versions[name] ?? "latest";
}

export function packageJson(folder: string): { version: string; devDependencies: Record<string, string> } {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as ReturnType<typeof packageJson>;
}

/** The installed version of a package that {@link optional} finds; undefined where it is not installed. */
export function packageVersion(name: string): string | undefined {
    for (const from of [import.meta.url, join(peersFolder, "package.json")])
        try {
            const main = createRequire(from).resolve(name);
            return packageJson(main.slice(0, main.lastIndexOf(`${sep}${name}${sep}`) + name.length + 1)).version;
        } catch {
            continue;
        }
    return undefined;
}
