/** rtd verify */
import { Command } from "commander";

import { Datastore } from "../datastore.js";
import { Failed } from "./exit.js";
import { jsonOption } from "./options.js";
import { print, printJson } from "./output.js";

const examples = `
Exits with 0 if every file is as it was written, with 1 if one is not.

Examples:
  $ rtd verify animals.rtd
  $ rtd verify animals.rtd --json
`;

export function verifyCommand(): Command {
    return new Command("verify")
        .summary("read a datastore through and compare its checksums")
        .argument("<store>", "directory of the datastore")
        .addOption(jsonOption())
        .addHelpText("after", examples)
        .action(run);
}

async function run(path: string, { json }: { json?: boolean }): Promise<void> {
    const files = await Datastore.verify(path);
    const ok = files.every((file) => file.ok);
    if (json) printJson({ path, ok, files });
    else for (const { file, ok, message } of files) print(ok ? `ok     ${file}` : `BAD    ${file}: ${message}`);
    if (!ok) throw new Failed();
}
