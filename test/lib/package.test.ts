import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

import type { Results } from "../../bench/figures.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const platform = `${process.platform}-${process.arch}`;
let folder: string; // an application with the packed package installed
let packed: { filename: string; size: number; files: { path: string }[] };

async function run(command: string, args: string[], cwd = folder): Promise<string> {
    const env = { ...process.env, RTD_ADDON: "", LD_PRELOAD: "", NODE_OPTIONS: "" };
    const { stdout } = await promisify(execFile)(command, args, { cwd, env, maxBuffer: 2 ** 26 });
    return stdout;
}

beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "rtd-"));
    await run("npm", ["run", "stage"], root);
    [packed] = JSON.parse(await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root)) as [
        typeof packed,
    ];
    await writeFile(join(folder, "package.json"), JSON.stringify({ name: "application", private: true }));
    await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", join(folder, packed.filename)]);
}, 300_000);
afterAll(async () => rm(folder, { recursive: true, force: true }));

const use = `
    const index = createIndex({ dim: 2 });
    index.add(Float32Array.of(0, 0, 3, 4), Int32Array.of(1, 2));
    console.log(index.searchSync(Float32Array.of(3, 4), { k: 1 }).tokens[0]);`;

test("holds what is needed to run and to build, and nothing else", () => {
    const paths = packed.files.map(({ path }) => path);
    expect(paths).toEqual(
        expect.arrayContaining([
            "package.json",
            "README.md",
            "LICENSE",
            "CMakeLists.txt",
            "cpp/rtd.h",
            "cpp/napi/module.cpp",
            "dist/lib/index.js",
            "dist/lib/index.d.ts",
            "dist/bench/suite.js",
            "bench/peers/faiss_process.py",
            `prebuilds/${platform}/node_rtd.node`,
        ]),
    );
    expect(
        paths.filter((path) =>
            /^(test(?!\/data\/)|bench(?!\/peers\/.*\.py)|build|lib|node_modules|dist\/(?!lib\/|bench\/(?!kernel|instructions)))/.test(
                path,
            ),
        ),
    ).toEqual([]);
    expect(packed.size).toBeLessThan(5 * 2 ** 20);
});

test("installed, it can be imported", async () => {
    await writeFile(join(folder, "import.mjs"), `import { createIndex } from "node-rtd";${use}`);
    expect(await run(process.execPath, ["import.mjs"])).toBe("2\n");
});

test("installed, it can be required", async () => {
    await writeFile(join(folder, "require.cjs"), `const { createIndex } = require("node-rtd");${use}`);
    expect(await run(process.execPath, ["require.cjs"])).toBe("2\n");
});

test("installed, it measures a datastore, and says which peers and tools are missing and how to get them", async () => {
    const make = `
        import { Datastore } from "node-rtd";
        const store = await Datastore.create("keys.rtd", { dim: 16 });
        store.append(Float32Array.from({ length: 5000 * 16 }, Math.random), new Int32Array(5000));
        await store.seal();
        await store.close();`;
    await writeFile(join(folder, "make.mjs"), make);
    await run(process.execPath, ["make.mjs"]);
    const { figures, missing, advice } = JSON.parse(
        await run("npx", ["rtd", "bench", "keys.rtd", "--quick", "--json"]),
    ) as Results;
    expect(new Set(figures.map(({ way }) => way))).toEqual(new Set(["rtd scan", "rtd"]));
    expect(advice).toHaveLength(availableParallelism() > 1 ? 4 : 3);
    const { devDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
        devDependencies: Record<string, string>;
    };
    for (const name of ["usearch", "benny", "vega", "vega-lite"])
        expect(missing).toContainEqual({
            name,
            reason: "not installed",
            install: `npm install ${name}@${devDependencies[name]}`,
        });
    expect(missing).toContainEqual({ name: "hnswlib-node", reason: "not installed", install: "npm install hnswlib-node@3.0.0" });
    expect(JSON.parse(await readFile(join(folder, "rtd-bench", "results.json"), "utf8"))).toMatchObject({ missing });
}, 120_000);

/** Type-checks a file of the application, strictly; fails with the compiler's words. */
async function typeCheck(file: string, settings: { module: string; lib?: string; skipLibCheck?: boolean }): Promise<void> {
    const { module, lib = "ES2022,DOM", skipLibCheck = false } = settings;
    const strict = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--noEmit", "--target", "es2022"];
    const resolution = module === "esnext" ? ["--moduleResolution", "bundler"] : [];
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const args = [tsc, ...strict, "--module", module, ...resolution, "--lib", lib, "--skipLibCheck", String(skipLibCheck), file];
    await run(process.execPath, args).catch((error: unknown) => {
        throw new Error((error as { stdout: string }).stdout);
    });
}

test("its types hold in a strict consumer, without node-llama-cpp", async () => {
    const consumer = `
        import { attach, createIndex, Datastore, RtdError, type Hits, type IndexOptions } from "node-rtd";
        const options: IndexOptions = { dim: 4, metric: "l2" };
        using index = createIndex(options);
        const first: number = index.add(new Float32Array(4), new Int32Array(1), { namespaces: first32() });
        function first32(): Uint32Array { return new Uint32Array(1); }
        const hits: Hits = await index.search(new Float32Array(4), { k: 3, rows: [{ namespaces: [1] }] });
        const distance: number | undefined = hits.distances[first];
        await using store = await Datastore.open("store", { model: undefined });
        const code: string = new RtdError("ERR_RTD_IO", \`\${distance} \${store.size}\`).code;
        // @ts-expect-error no such metric
        createIndex({ dim: 4, metric: "cosine" });
        // @ts-expect-error numbers in an array
        index.searchSync([1, 2, 3, 4]);
        // @ts-expect-error a synchronous call cannot be aborted
        index.searchSync(new Float32Array(4), { signal: AbortSignal.abort() });
        // @ts-expect-error not a number: all but the context keeps its type
        await attach({}, index, { k: "3" });
        export { code };`;
    await writeFile(join(folder, "consumer.mts"), consumer);
    for (const module of ["node16", "nodenext", "esnext"]) await typeCheck("consumer.mts", { module });
    await typeCheck("consumer.mts", { module: "nodenext", lib: "ESNext,DOM" });
}, 300_000);

test("its types know a context and tokens of node-llama-cpp where that is installed", async () => {
    const peer = join(folder, "node_modules/node-llama-cpp");
    await symlink(join(root, "node_modules/node-llama-cpp"), peer);
    const consumer = `
        import type { LlamaContext, Token } from "node-llama-cpp";
        import { attach, createIndex, createRecorder } from "node-rtd";
        declare const context: LlamaContext;
        const attachment = await attach(context, createIndex({ dim: 4 }));
        attachment.forSequence(context.getSequence(), null);
        const recorder = await createRecorder(context);
        const { hidden }: { hidden: Float32Array } = await recorder.record([1 as Token]);
        // @ts-expect-error not a context
        await attach({}, createIndex({ dim: 4 }));
        // @ts-expect-error not tokens
        await recorder.record([1]);
        export { hidden };`;
    await writeFile(join(folder, "peer.mts"), consumer);
    for (const module of ["node16", "nodenext", "esnext"]) await typeCheck("peer.mts", { module, skipLibCheck: true }); // its own declarations do not pass the check
    await rm(peer);
}, 300_000);

test("built from source by rtd-build, it runs without the shipped binary", async () => {
    const installed = join(folder, "node_modules/node-rtd");
    await rm(join(installed, "prebuilds"), { recursive: true });
    await expect(run(process.execPath, ["import.mjs"])).rejects.toThrow(/npx rtd-build/);
    await run("npx", ["rtd-build", "--CDRTD_SIMD=OFF"]);
    expect((await stat(join(installed, "build/Release/node_rtd.node"))).isFile()).toBe(true);
    expect(await run(process.execPath, ["import.mjs"])).toBe("2\n");
}, 600_000);
