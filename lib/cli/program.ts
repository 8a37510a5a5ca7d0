/** The command `rtd`. */
import { Command } from "commander";

import { packageRoot, versionIn } from "../package-root.js";
import { benchCommand } from "./bench.js";
import { buildCommand } from "./build.js";
import { classifyCommand } from "./classify.js";
import { demoCommand } from "./demo.js";
import { evalCommand } from "./eval.js";
import { report } from "./exit.js";
import { generateCommand } from "./generate.js";
import { infoCommand } from "./info.js";
import { tuneCommand } from "./tune.js";
import { verifyCommand } from "./verify.js";

const afterHelp = `
Exit codes:
  0    done
  1    failed; the reason is on stderr
  2    the command line is wrong
  130  interrupted by Ctrl-C; a build goes on when the same command is given again
  141  whatever read the output has gone, as head does

Examples:
  $ rtd demo
  $ rtd build animals.rtd --model model.gguf --task label --data train.jsonl
  $ rtd eval animals.rtd --model model.gguf --task label --data test.jsonl
  $ rtd tune animals.rtd --model model.gguf
  $ rtd classify animals.rtd --model model.gguf --text "a small songbird"
  $ rtd generate facts.rtd --model model.gguf --prompt "Question: ..." --references
  $ rtd bench animals.rtd
  $ rtd help build
`;

export function createProgram(): Command {
    const program = new Command("rtd")
        .description("Reference Trustable Decoding: adapts a language model to your data without training it.")
        .version(versionIn(packageRoot))
        .option("--debug", "print stack traces of errors")
        .addHelpText("after", afterHelp);
    const commands = [
        buildCommand(),
        evalCommand(),
        tuneCommand(),
        classifyCommand(),
        generateCommand(),
        infoCommand(),
        verifyCommand(),
        demoCommand(),
        benchCommand(),
    ];
    for (const command of [program, ...commands]) command.exitOverride().showHelpAfterError("(--help says more)");
    for (const command of commands) program.addCommand(command);
    return program;
}

/** Runs a command line (without node and the script's name) and gives its exit code. */
export async function runProgram(args: readonly string[]): Promise<number> {
    const program = createProgram();
    try {
        await program.parseAsync([...args], { from: "user" });
        return 0;
    } catch (error) {
        return report(error, program.opts<{ debug?: boolean }>().debug ?? false);
    }
}
