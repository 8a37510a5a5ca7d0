/** `npm run bench:peers`: installs the peers that are no dependency of this package in a folder of their own, build/peers. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { peersFolder, peerVersions } from "../optional.js";
import { findPeers } from "./find.js";

mkdirSync(peersFolder, { recursive: true });
writeFileSync(join(peersFolder, "package.json"), '{ "private": true }\n');

const run = (command: string, args: string[]): boolean =>
    spawnSync(command, args, { cwd: peersFolder, stdio: ["ignore", "inherit", "inherit"] }).status === 0;

// node-gyp would download Node's headers; where they came with Node it need not.
const prefix = dirname(dirname(process.execPath));
const headers = existsSync(join(prefix, "include", "node", "common.gypi")) ? [`--nodedir=${prefix}`] : [];
const hnswlib = `hnswlib-node@${peerVersions["hnswlib-node"]}`;
run("npm", ["install", "--no-audit", "--no-fund", "--foreground-scripts", ...headers, hnswlib]);

const venv = join(peersFolder, "python");
if (run("python3", ["-m", "venv", venv]))
    run(join(venv, "bin", "python"), [
        ...["-m", "pip", "install", "--quiet", "--disable-pip-version-check"],
        ...[`faiss-cpu==${peerVersions["faiss-cpu"]}`, "numpy"],
    ]);

const { peers, missing } = await findPeers();
for (const { name, version } of peers) console.log(`${name} ${version}`);
for (const { name, reason } of missing) console.log(`${name} could not be installed: ${reason}`);
process.exitCode = missing.length === 0 ? 0 : 1;
