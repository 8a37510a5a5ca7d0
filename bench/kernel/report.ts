/**
 * What can be known of the kernels without a GPU: what the compiler made of them, against cuda/budget.json; their occupancy; what the emulated device
 * counts; and a model of their time.
 *
 *     npm run kernel:toolchain                    once: the CUDA compiler, into build/cuda
 *     npm run kernel:report [-- sm ...]           for all architectures, or some: 90
 *
 * --json      one JSON object and nothing else on stdout (with npm run --silent)
 * --accept    write what was seen to cuda/budget.json instead of checking it
 * --jobs N    compilers at a time
 *
 * Of architectures that are not compiled, the budget must have been made of the present sources.
 *
 * The last line is `N passed, N failed`; exit code 1 if a check failed.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";

import { faultsOf as budgetFaults, readBudget, staleness, textOf as kernelText, writeBudget } from "./budget.js";
import { predictCascade, textOf as cascadeText } from "./cascade-model.js";
import { compiledKernels, families, findToolkit, nameOf, type Family } from "./compiled.js";
import { emulatedCounts, faultsOf as countFaults, textOf as countsText } from "./emulated.js";
import { calls, gpus, predict, textOf as modelText } from "./model.js";
import { occupanciesOf } from "./occupancy.js";

const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        json: { type: "boolean", default: false },
        accept: { type: "boolean", default: false },
        jobs: { type: "string", default: String(availableParallelism()) },
    },
});

const toolkit = findToolkit();
if (!toolkit) {
    console.error("no CUDA compiler in build/cuda: `npm run kernel:toolchain` installs it");
    process.exit(1);
}
const print = (line: string): void => {
    if (!values.json) console.log(line);
};
let passed = 0;
let failed = 0;
const check = (text: string, faults: string[]): string[] => {
    if (faults.length === 0) passed++;
    else failed++;
    print(faults.length === 0 ? text : `${text}  FAILED: ${faults.join("; ")}`);
    return faults;
};

const wanted = positionals.map(Number);
const known: number[] = Object.values(families).flat();
const unknown = wanted.find((sm) => !known.includes(sm));
if (unknown !== undefined) {
    console.error(`no kernels for sm_${String(unknown)}; there are some for ${known.join(" ")}`);
    process.exit(1);
}
const compiled = await compiledKernels(toolkit, wanted, Number(values.jobs));
const occupancies = occupanciesOf(toolkit, compiled);
const kernels = compiled.map((kernel, i) => ({ ...kernel, occupancy: occupancies[i]! }));
if (values.accept) writeBudget(kernels, readBudget(), toolkit);
const budget = readBudget();
const kernelResults = kernels.map((kernel) => ({
    name: nameOf(kernel),
    ...kernel,
    arithmeticShare: kernel.loop.arithmetic / kernel.loop.instructions,
    faults: check(kernelText(kernel), [...budgetFaults(kernel, budget)]),
}));
for (const family of Object.keys(families) as Family[])
    for (const sm of families[family])
        if (wanted.length > 0 && !wanted.includes(sm))
            check(`sm_${String(sm)}: not compiled now, within its budget as compiled before`, [
                ...staleness(sm, family, budget, toolkit),
            ]);
const countResults = emulatedCounts(Number(values.jobs)).map((counts) => ({
    ...counts,
    faults: check(countsText(counts), [...countFaults(counts)]),
}));
const predictions = calls.flatMap((call) => gpus.flatMap((gpu) => predict(kernels, gpu, call) ?? []));
const cascades = calls.flatMap((call) => gpus.flatMap((gpu) => predictCascade(kernels, gpu, call) ?? []));
for (const prediction of predictions) print(modelText(prediction));
for (const prediction of cascades) print(cascadeText(prediction));
if (values.json)
    console.log(JSON.stringify({ kernels: kernelResults, emulated: countResults, model: predictions, cascades, passed, failed }));
else console.log(`${String(passed)} passed, ${String(failed)} failed`);
process.exitCode = failed > 0 ? 1 : 0;
