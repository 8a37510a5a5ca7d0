// npm test: every test this machine can run, each suite counted, and by name what could not run for want of a tool.
//
//     node dist/test/run.js [--require-all] [SUITE ...]
//
// Suites: native asan tsan aarch64 python addon addon-asan kernels instructions.
//
// --require-all (CI) makes a missing tool a failure. Output ends in a line `N passed, N failed`.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findToolkit } from "../bench/kernel/compiled.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

interface Count {
    passed: number;
    failed: number;
    /** What failed, by name and reason: repeated at the end, where it is looked for in a long log. */
    failures?: string[];
}

interface Suite {
    name: string;
    what: string;
    needs: { tool: string; args?: string[]; install: string }[];
    run(): Promise<Count>;
}

function add(one: Count, other: Count): Count {
    return {
        passed: one.passed + other.passed,
        failed: one.failed + other.failed,
        failures: [...(one.failures ?? []), ...(other.failures ?? [])],
    };
}

/** Runs a command with its output shown, and returns what it wrote to stdout. */
function show(command: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<{ status: number; stdout: string }> {
    return new Promise((resolve, reject) => {
        const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
        let stdout = "";
        child.stdout.on("data", (chunk: Buffer) => {
            stdout += chunk.toString();
            process.stdout.write(chunk);
        });
        child.on("error", reject);
        child.on("close", (code) => resolve({ status: code ?? 1, stdout }));
    });
}

/** Configures, builds and runs the C and C++ tests of one CMake preset. A program that dies before its closing line counts as one failure. */
async function native(preset: string, ctestArgs: string[] = []): Promise<Count> {
    const jobs = String(availableParallelism());
    for (const args of [
        ["--preset", preset],
        ["--build", "--preset", preset, "--parallel", jobs],
    ]) {
        const { status } = await show("cmake", args);
        if (status !== 0) return { passed: 0, failed: 1 };
    }
    const { status, stdout } = await show("ctest", ["--preset", preset, ...ctestArgs]);
    const failures = [...stdout.matchAll(/^\d+: FAILED (.*)\n\d+: +(.*)$/gm)].map(([, name, reason]) => `${name}: ${reason}`);
    const count = { passed: 0, failed: 0, failures };
    for (const [, passed, failed] of stdout.matchAll(/^\d+: (\d+) passed, (\d+) failed$/gm)) {
        count.passed += Number(passed);
        count.failed += Number(failed);
    }
    if (status !== 0 && count.failed === 0) count.failed = 1;
    return count;
}

/** What is read of vitest's JSON report. A file that could not be run has a message. */
interface VitestReport {
    numPassedTests: number;
    numFailedTests: number;
    testResults: {
        name: string;
        message: string;
        assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
    }[];
}

async function vitest(name: string, env: NodeJS.ProcessEnv = {}, filters: string[] = []): Promise<Count> {
    const report = `build/${name}.json`;
    mkdirSync(`${root}build`, { recursive: true });
    rmSync(`${root}${report}`, { force: true });
    const args = ["node_modules/vitest/vitest.mjs", "run", "--config", "test/vitest.config.ts"];
    args.push("--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...filters);
    const { status } = await show(process.execPath, args, env);
    try {
        const result = JSON.parse(readFileSync(`${root}${report}`, "utf8")) as VitestReport;
        const tests = result.testResults.flatMap((file) => file.assertionResults).filter((test) => test.status === "failed");
        const files = result.testResults.filter((file) => file.message !== "");
        return {
            passed: result.numPassedTests,
            failed: Math.max(result.numFailedTests, status === 0 ? 0 : 1),
            failures: [
                ...tests.map((test) => `${test.fullName}: ${test.failureMessages.join("\n").split("\n", 4).join("\n    ")}`),
                ...files.map((file) => `${file.name}: ${file.message}`),
                ...(status !== 0 && tests.length + files.length === 0
                    ? [`${name}: an error outside of any test, in the output above`]
                    : []),
            ],
        };
    } catch {
        return { passed: 0, failed: 1 };
    }
}

/** The addon built with sanitizers, and the tests of lib on it. Node itself is not; its runtime for them is loaded ahead, and leaks are not looked for. */
async function sanitizedAddon(): Promise<Count> {
    const build = [
        "--out",
        "build/sanitize",
        "--config",
        "RelWithDebInfo",
        "--CDRTD_SANITIZE=address,undefined",
        "--target",
        "node_rtd",
    ];
    for (const step of ["configure", "build"]) {
        const args = ["node_modules/cmake-js/bin/cmake-js", step, ...build, "--parallel", String(availableParallelism())];
        const { status } = await show(process.execPath, args);
        if (status !== 0) return { passed: 0, failed: 1 };
    }
    const runtime = spawnSync("g++", ["-print-file-name=libasan.so"], { encoding: "utf8" }).stdout.trim();
    const env = {
        RTD_ADDON: `${root}build/sanitize/RelWithDebInfo/node_rtd.node`,
        RTD_SANITIZED: "1",
        LD_PRELOAD: runtime,
        ASAN_OPTIONS: "detect_leaks=0",
        UBSAN_OPTIONS: "print_stacktrace=1",
    };
    return vitest("addon-asan", env, ["test/lib/", "--exclude", "**/{package,runtimes}.test.ts"]);
}

/** What nvcc makes of the kernels for sm_75 and sm_90, whether the other budgets are of these sources, and the programs for a machine with a GPU. */
async function kernels(): Promise<Count> {
    const { stdout } = await show(process.execPath, ["dist/bench/kernel/report.js", "75", "90"]);
    const found = /^(\d+) passed, (\d+) failed$/m.exec(stdout);
    const count = found ? { passed: Number(found[1]), failed: Number(found[2]) } : { passed: 0, failed: 1 };
    const jobs = String(availableParallelism());
    const toolkit = `-DRTD_NVCC_ROOT=${findToolkit() ?? ""}`;
    for (const args of [
        // Beside what the suite "native" has built, and for the family with the fewest kernels.
        ["--preset", "native", "-DRTD_CUDA=ON", toolkit, "-DRTD_CUDA_ARCHITECTURES=75", "-DRTD_BENCHMARKS=ON"],
        ["--build", "--preset", "native", "--parallel", jobs, "--target", "test_gpu", "rtd_decoder_step", "bench_gpu"],
    ]) {
        const { status } = await show("cmake", args);
        if (status !== 0) return { ...count, failed: count.failed + 1 };
    }
    return { ...count, passed: count.passed + 1 };
}

/** The hot loops' instructions under callgrind, against the committed ones. */
async function instructions(): Promise<Count> {
    for (const args of [
        ["--preset", "native", "-DRTD_BENCHMARKS=ON"],
        ["--build", "--preset", "native", "--parallel", String(availableParallelism()), "--target", "hot_loops"],
    ]) {
        const { status } = await show("cmake", args);
        if (status !== 0) return { passed: 0, failed: 1 };
    }
    const { stdout } = await show(process.execPath, ["dist/bench/instructions/count.js"]);
    const found = /^(\d+) passed, (\d+) failed$/m.exec(stdout);
    return found ? { passed: Number(found[1]), failed: Number(found[2]) } : { passed: 0, failed: 1 };
}

const cmake = { tool: "cmake", install: "cmake 3.25 or newer" };
const suites: Suite[] = [
    { name: "native", what: "C and C++ tests", needs: [cmake], run: () => native("native") },
    {
        name: "asan",
        what: "the same under AddressSanitizer and UndefinedBehaviorSanitizer",
        needs: [cmake],
        run: () => native("asan"),
    },
    { name: "tsan", what: "the same under ThreadSanitizer", needs: [cmake], run: () => native("tsan") },
    {
        name: "aarch64",
        what: "the same for NEON, cross-compiled and run by qemu",
        needs: [
            cmake,
            { tool: "aarch64-linux-gnu-g++", install: "g++-aarch64-linux-gnu" },
            { tool: "qemu-aarch64", install: "qemu-user" },
        ],
        run: () => native("aarch64"),
    },
    {
        name: "python",
        what: "Python's safetensors on the files of a datastore, and its HDF5 files for the benchmarks",
        needs: [
            cmake,
            {
                tool: "build/python/bin/python",
                args: ["-c", "import safetensors, numpy, h5py"],
                install: "by python3 -m venv build/python && build/python/bin/pip install safetensors numpy h5py",
            },
        ],
        run: async () => {
            const [stores, sets] = [
                await native("native", ["-C", "python", "-R", "python"]),
                await vitest("python", {}, ["test/bench/hdf5"]),
            ];
            return add(stores, sets);
        },
    },
    { name: "addon", what: "the package in TypeScript", needs: [], run: () => vitest("addon") },
    {
        name: "addon-asan",
        what: "the addon under AddressSanitizer and UndefinedBehaviorSanitizer",
        needs: [cmake, { tool: "g++", install: "g++" }],
        run: sanitizedAddon,
    },
    {
        name: "kernels",
        what: "the CUDA kernels as nvcc compiles them for sm_75 and sm_90, and that the budgets of the others are of the same sources",
        needs: [
            cmake,
            { tool: "build/cuda/bin/python", args: ["-c", "import nvidia.cu13"], install: "by npm run kernel:toolchain" },
        ],
        run: kernels,
    },
    {
        name: "instructions",
        what: "instructions of the hot loops, against the committed counts",
        needs: [cmake, { tool: "valgrind", install: "valgrind" }],
        run: instructions,
    },
];

const { values, positionals } = parseArgs({
    options: { "require-all": { type: "boolean", default: false } },
    allowPositionals: true,
});
const unknown = positionals.filter((name) => !suites.some((suite) => suite.name === name));
if (unknown.length > 0) {
    console.error(`unknown suite ${unknown.join(", ")}; suites are ${suites.map((suite) => suite.name).join(", ")}`);
    process.exit(2);
}

let total: Count = { passed: 0, failed: 0 };
const lines: string[] = [];
for (const suite of suites) {
    if (positionals.length > 0 && !positionals.includes(suite.name)) continue;
    const missing = suite.needs.filter(({ tool, args }) => spawnSync(tool, args ?? ["--version"]).status !== 0);
    if (missing.length > 0) {
        const names = missing.map(({ tool, install }) => `${tool} (install ${install})`).join(", ");
        lines.push(`${suite.name.padEnd(12)} not run, missing ${names}: ${suite.what}`);
        if (values["require-all"]) total.failed += 1;
        continue;
    }
    const started = Date.now();
    const count = await suite.run();
    const seconds = ((Date.now() - started) / 1000).toFixed(0);
    total = add(total, count);
    lines.push(`${suite.name.padEnd(12)} ${count.passed} passed, ${count.failed} failed in ${seconds} s: ${suite.what}`);
}

for (const failure of total.failures ?? []) console.log(`\nFAILED ${failure}`);
console.log(`\n${lines.join("\n")}`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);
