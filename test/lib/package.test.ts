import { execFile } from "node:child_process";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

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
            `prebuilds/${platform}/node_rtd.node`,
        ]),
    );
    expect(paths.filter((path) => /^(test(?!\/data\/)|bench|build|lib|node_modules|dist\/(?!lib\/))/.test(path))).toEqual([]);
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

test("its types hold in a strict consumer", async () => {
    const consumer = `
        import { createIndex, Datastore, RtdError, type Hits, type IndexOptions } from "node-rtd";
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
        export { code };`;
    await writeFile(join(folder, "consumer.mts"), consumer);
    const strict = [
        "--strict",
        "--exactOptionalPropertyTypes",
        "--noUncheckedIndexedAccess",
        "--noEmit",
        "--skipLibCheck",
        "true",
    ];
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    for (const lib of ["ES2022,DOM", "ESNext,DOM"]) {
        await run(process.execPath, [
            tsc,
            ...strict,
            "--target",
            "es2022",
            "--module",
            "nodenext",
            "--lib",
            lib,
            "consumer.mts",
        ]).catch((error: unknown) => {
            throw new Error((error as { stdout: string }).stdout);
        });
    }
});

test("built from source by rtd-build, it runs without the shipped binary", async () => {
    const installed = join(folder, "node_modules/node-rtd");
    await rm(join(installed, "prebuilds"), { recursive: true });
    await expect(run(process.execPath, ["import.mjs"])).rejects.toThrow(/npx rtd-build/);
    await run("npx", ["rtd-build", "--CDRTD_SIMD=OFF"]);
    expect((await stat(join(installed, "build/Release/node_rtd.node"))).isFile()).toBe(true);
    expect(await run(process.execPath, ["import.mjs"])).toBe("2\n");
}, 600_000);
