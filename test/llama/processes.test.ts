/** Worker threads, a second copy of node-llama-cpp, a release that is not known: each in a process of its own, with the built package. */
import { execFile } from "node:child_process";
import {
    cpSync,
    mkdirSync,
    mkdtempSync,
    readdirSync,
    readFileSync,
    renameSync,
    rmSync,
    symlinkSync,
    writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { writeModel } from "./gguf.js";

const root = new URL("../..", import.meta.url).pathname;
const packages = path.join(root, "node_modules");
const platform = `linux-${process.arch}`;
const folder = mkdtempSync(path.join(tmpdir(), "rtd-processes-"));
const model = path.join(folder, "noise.gguf");

vi.setConfig({ testTimeout: 150_000 }); // each loads everything anew, several times
beforeAll(() => writeModel(model));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a module and returns what it printed as JSON. It finds `rtd`, `open(llamaPackage)`, `model` and `answers(context)` in its scope. */
async function run(name: string, body: string): Promise<unknown> {
    const prelude = `
        import { pathToFileURL } from "node:url";
        const rtd = await import(${JSON.stringify(path.join(root, "dist/lib/index.js"))});
        const { tap } = await import(${JSON.stringify(path.join(root, "dist/lib/llama/tap.js"))});
        const open = async (folder = ${JSON.stringify(packages)}) => {
            const { getLlama } = await import(pathToFileURL(folder + "/node-llama-cpp/dist/index.js").href);
            const llama = await getLlama({ gpu: false, build: "never", logLevel: "disabled", maxThreads: 1 });
            const model = await llama.loadModel({ modelPath: ${JSON.stringify(model)} });
            return () => model.createContext({ contextSize: 256, threads: 1 });
        };
        const constant = (token) => {
            const index = rtd.createIndex({ dim: 64, threads: 1 });
            index.add(new Float32Array(64), Int32Array.of(token));
            index.sealSync();
            return index;
        };
        const answers = async (context) => {
            const sequence = context.getSequence();
            const tokens = [];
            for await (const token of sequence.evaluate([50, 51], { temperature: 0 })) if (tokens.push(token) === 3) break;
            await sequence.dispose();
            return tokens;
        };
    `;
    const file = path.join(folder, `${name}.mjs`);
    writeFileSync(file, prelude + body);
    const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 150_000 });
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "null");
}

/** A copy of node-llama-cpp and its binaries, with everything else linked. */
function copyOfLlama(name: string): { folder: string; bins: string } {
    const copy = path.join(folder, name, "node_modules");
    mkdirSync(path.join(copy, "@node-llama-cpp"), { recursive: true });
    for (const entry of readdirSync(packages)) {
        if (!["node-llama-cpp", "@node-llama-cpp"].includes(entry) && !entry.startsWith("."))
            symlinkSync(path.join(packages, entry), path.join(copy, entry));
    }
    cpSync(path.join(packages, "node-llama-cpp"), path.join(copy, "node-llama-cpp"), {
        recursive: true,
        filter: (source) => !source.endsWith(".bundle") && !source.endsWith(".map"),
    });
    cpSync(path.join(packages, "@node-llama-cpp", platform), path.join(copy, "@node-llama-cpp", platform), { recursive: true });
    return { folder: copy, bins: path.join(copy, "@node-llama-cpp", platform, "bins", platform) };
}

describe("worker threads", () => {
    it("attach on their own while the main thread does, and end with theirs attached", async () => {
        const found = await run(
            "workers",
            `
            import { isMainThread, parentPort, Worker } from "node:worker_threads";
            const context = await (await open())();
            if (isMainThread) {
                const attachment = await rtd.attach(context, constant(100), { referenceWeight: 1 });
                const workers = [0, 1].map(() => new Worker(new URL(import.meta.url)));
                const theirs = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject))));
                const users = tap().llamaUsers();
                const mine = await answers(context);
                await Promise.all(workers.map((worker) => worker.terminate()));
                const left = tap().llamaUsers();
                const still = await answers(context);
                attachment.detach();
                console.log(JSON.stringify({ theirs, users, mine, left, still, none: tap().llamaUsers(), plain: await answers(context) }));
                process.exit(0);
            } else {
                await rtd.attach(context, constant(101), { referenceWeight: 1 });
                parentPort.postMessage(await answers(context));
                setInterval(() => undefined, 1000);
            }`,
        );
        const [all100, all101] = [Array(3).fill(100), Array(3).fill(101)];
        expect(found).toMatchObject({ theirs: [all101, all101], users: 3, mine: all100, left: 1, still: all100, none: 0 });
        expect((found as { plain: number[] }).plain).not.toEqual(all100);
    });

    it("may be terminated while attached, also if they alone had loaded anything", async () => {
        const found = await run(
            "terminated",
            `
            import { isMainThread, parentPort, Worker } from "node:worker_threads";
            if (isMainThread) {
                for (let round = 0; round < 3; round++) {
                    const worker = new Worker(new URL(import.meta.url));
                    await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
                    await worker.terminate(); // not in the middle of a decode: node-llama-cpp itself does not survive that
                }
                const context = await (await open())();
                await rtd.attach(context, constant(100), { referenceWeight: 1 });
                console.log(JSON.stringify({ answers: await answers(context), users: tap().llamaUsers() }));
                process.exit(0);
            } else {
                const context = await (await open())();
                await rtd.attach(context, constant(101), { referenceWeight: 1, onStep: () => undefined });
                parentPort.postMessage(await answers(context));
                setInterval(() => undefined, 1000);
            }`,
        );
        expect(found).toEqual({ answers: [100, 100, 100], users: 1 });
    });
});

it("a second copy of node-llama-cpp is told apart from the one attached to first", async () => {
    const copy = copyOfLlama("copy");
    const found = await run(
        "second",
        `
        const [first, second] = [await open(), await open(${JSON.stringify(copy.folder)})];
        const [context, foreign] = [await first(), await second()];
        const plain = await answers(foreign);
        await rtd.attach(context, constant(100), { referenceWeight: 1 });
        const error = await rtd.attach(foreign, constant(101)).catch((reason) => reason);
        const result = { code: error.code, message: error.message, mine: await answers(context), same: String(await answers(foreign)) === String(plain) };
        console.log(JSON.stringify(result));
        process.exit(0);`,
    );
    expect(found).toMatchObject({ code: "ERR_RTD_UNSUPPORTED", mine: [100, 100, 100], same: true });
    expect((found as { message: string }).message).toContain("another build of node-llama-cpp");
});

it("a release of llama.cpp that is not known is refused, and nothing redirected", async () => {
    const { folder: changed, bins } = copyOfLlama("changed");
    for (const file of readdirSync(bins)) {
        if (!/\.(so|node|json)$/.test(file)) continue;
        const bytes = readFileSync(path.join(bins, file)).toString("latin1").replaceAll("v0.5.0.so", "v9.9.9.so");
        writeFileSync(path.join(bins, file), bytes, "latin1");
        if (file.includes("v0.5.0")) renameSync(path.join(bins, file), path.join(bins, file.replace("v0.5.0", "v9.9.9")));
    }
    const found = await run(
        "release",
        `
        const context = await (await open(${JSON.stringify(changed)}))();
        const plain = await answers(context);
        const error = await rtd.attach(context, constant(100), { referenceWeight: 1 }).catch((reason) => reason);
        const recorder = await rtd.createRecorder(context).catch((reason) => reason);
        const result = { codes: [error.code, recorder.code], message: error.message, same: String(await answers(context)) === String(plain) };
        console.log(JSON.stringify(result));
        process.exit(0);`,
    );
    expect(found).toMatchObject({ codes: ["ERR_RTD_UNSUPPORTED", "ERR_RTD_UNSUPPORTED"], same: true });
    expect((found as { message: string }).message).toMatch(/libllama\.v9\.9\.9\.so.*v0\.5\.0/);
});
