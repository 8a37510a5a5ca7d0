#!/usr/bin/env node
import { endWithOutput } from "./exit.js";
import { runProgram } from "./program.js";

endWithOutput();
process.exitCode = await runProgram(process.argv.slice(2));
