/** The command line on a model of noise: what it prints, how it ends, and that it goes on after an interruption. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { Datastore } from "../../lib/index.js";
import { writeModel } from "../llama/gguf.js";
import type { TuneReport } from "../../lib/index.js";
import { rtd } from "./run.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-cli-"));
const inFolder = (name: string) => path.join(folder, name);
const model = inFolder("noise.gguf");
const prompt = "{labels}\\n{text} (";

beforeAll(() => {
    vi.stubEnv("RTD_CACHE", inFolder("cache"));
    writeModel(model);
    writeModel(inFolder("other.gguf"), { seed: 2 });
    const lines = (rows: object[]) => rows.map((row) => JSON.stringify(row)).join("\n");
    const animals = Array.from({ length: 40 }, (_, i) => ({ text: `it has ${i} legs`, label: i % 2 ? "ant" : "bee" }));
    writeFileSync(inFolder("label.jsonl"), lines(animals));
    writeFileSync(inFolder("quiz.jsonl"), lines([{ question: "Which?", options: ["x", "y", "z"], answer: 1 }]));
    writeFileSync(
        inFolder("chat.jsonl"),
        lines([
            { prompt: "a code of b:", completion: " XYZ" },
            { prompt: "a code of c:", completion: " UVW" },
        ]),
    );
    writeFileSync(inFolder("emoji.jsonl"), lines([{ prompt: "say it:", completion: " 😀é日本 ok" }]));
    writeFileSync(inFolder("text.txt"), Array.from({ length: 3000 }, (_, i) => `${(i * i) % 97} `).join(""));
    writeFileSync(inFolder("bad.jsonl"), '{"text": "a", "label": "ant"}\n{"text": "a"}\n');
});
afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
});

const common = ["--model", model, "--no-gpu", "--threads", "1"];
const build = (store: string, task: string, data: string, ...rest: string[]) =>
    rtd("build", inFolder(store), ...common, "--task", task, "--data", inFolder(data), ...rest);
const evaluate = (store: string, data: string, ...rest: string[]) =>
    rtd("eval", inFolder(store), ...common, "--data", inFolder(data), ...rest);
const json = (stdout: string) => JSON.parse(stdout) as Record<string, unknown>;

describe("rtd", () => {
    it("helps, with examples and exit codes", async () => {
        const help = await rtd("--help");
        expect(help.code).toBe(0);
        expect(help.stdout).toContain("Exit codes:");
        for (const command of ["build", "eval", "tune", "classify", "generate", "info", "verify", "demo", "bench"]) {
            expect(help.stdout).toContain(command);
            const { code, stdout } = await rtd(command, "--help");
            expect([code, stdout]).toEqual([0, expect.stringContaining("Examples:")]);
        }
        expect((await rtd("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    });

    it.each([
        ["no command", []],
        ["an unknown command", ["bild"]],
        ["an unknown option", ["info", "x", "--jsn"]],
        ["no model", ["build", "x", "--data", "d.jsonl", "--task", "label"]],
        ["an unknown task", ["build", "x", "--model", "m", "--data", "d.jsonl", "--task", "labels"]],
        ["k = 0", ["eval", "x", "--model", "m", "--data", "d.jsonl", "--k", "0"]],
        ["k beyond 2048", ["eval", "x", "--model", "m", "--data", "d.jsonl", "--k", "2049"]],
        ["nothing to label", ["classify", "x", "--model", "m"]],
        ["an empty prompt", ["generate", "x", "--model", "m", "--prompt", ""]],
        ["a weight above 1", ["eval", "x", "--model", "m", "--data", "d.jsonl", "--weight", "1.5"]],
        [
            "two temperatures",
            ["eval", "x", "--model", "m", "--data", "d.jsonl", "--temperature", "1", "--temperature-scale", "1"],
        ],
    ])("ends with 2 for %s", async (_, args) => {
        const { code, stdout, stderr } = await rtd(...args);
        expect([code, stdout]).toEqual([2, ""]);
        expect(stderr).not.toBe("");
    });

    it("ends with 1 and the reason, without a stack trace unless asked", async () => {
        const gone = await rtd("info", inFolder("gone.rtd"));
        expect([gone.code, gone.stdout]).toEqual([1, ""]);
        expect(gone.stderr).toMatch(/^rtd: .*gone\.rtd/);
        expect(gone.stderr).not.toContain("    at ");
        const traced = await rtd(
            "--debug",
            "build",
            inFolder("x.rtd"),
            ...common,
            "--task",
            "text",
            "--data",
            inFolder("gone.txt"),
        );
        expect(traced.stderr).toContain("    at ");
    });

    it("names a folder that cannot be one, or a file that is one", async () => {
        const file = inFolder("label.jsonl");
        const demo = await rtd("demo", ...common, "--directory", file);
        expect([demo.code, demo.stderr]).toEqual([1, expect.stringContaining(`${file}: the datastores cannot be written (`)]);
        const adapted = await build("x.rtd", "label", "label.jsonl", "--lora", folder);
        expect([adapted.code, adapted.stderr]).toEqual([1, `rtd: lora: ${folder} is a directory; name the files in it\n`]);
    });

    it("names a bad row by file and line, and makes no store", async () => {
        const { code, stderr } = await build("bad.rtd", "label", "bad.jsonl");
        expect(code).toBe(1);
        expect(stderr).toContain(`${inFolder("bad.jsonl")}:2: "label" is missing`);
        expect(existsSync(inFolder("bad.rtd"))).toBe(false);
    });

    it.each([
        ["is not there", "none.gguf", "no such file"],
        ["cannot be loaded", "cut.gguf", "llama\\.cpp cannot load it"],
    ])("names a model that %s, as it was given", async (_, name, reason) => {
        writeFileSync(inFolder("cut.gguf"), readFileSync(model).subarray(0, 200));
        const data = ["--task", "text", "--data", inFolder("text.txt")];
        const { code, stderr } = await rtd("build", inFolder("x.rtd"), "--model", inFolder(name), ...data);
        expect(code).toBe(1);
        expect(stderr).toMatch(new RegExp(`^rtd: ${inFolder(name)}: ${reason}`, "m"));
        expect(existsSync(inFolder("x.rtd"))).toBe(false);
    });
});

describe("a label datastore", () => {
    it("is built, added to, and not built twice", async () => {
        const part = ["--prompt", prompt, "--seed", "1", "--limit", "20", "--json"];
        const first = await build("label.rtd", "label", "label.jsonl", ...part);
        expect(first).toMatchObject({ code: 0, stderr: "" });
        expect(json(first.stdout)).toMatchObject({ recipe: "label", added: 20, entries: 20, examples: 20 });
        expect(json((await build("label.rtd", "label", "label.jsonl", ...part)).stdout)).toMatchObject({ added: 0, entries: 20 });
        const second = await build("label.rtd", "label", "label.jsonl", "--seed", "1", "--offset", "20", "--limit", "5");
        expect(second.stdout).toMatch(/5 entries added in .*; 25 entries of 25 examples/);
    });

    it("labels texts, given or from files, with what speaks for it", async () => {
        writeFileSync(inFolder("texts.txt"), "it has 3 legs\n\nit has 4 legs\n");
        const classify = (...rest: string[]) => rtd("classify", inFolder("label.rtd"), ...common, ...rest);
        const nearest = ["--k", "1", "--weight", "1", "--temperature", "1"];
        const plain = await classify("--text", "it has 77 legs", "it has 78 legs", "--references", "1", ...nearest);
        expect(plain).toMatchObject({ code: 0, stderr: "" });
        const lines = plain.stdout.trimEnd().split("\n");
        expect(lines).toHaveLength(4);
        expect(lines[0]).toMatch(/^(ant|bee) 100\.0%, (ant|bee) 0\.0% {3}"it has 77 legs"$/);
        expect(lines[1]).toMatch(/^ +100\.0% {2}distance [\d.]+ {2}.*label\.jsonl:\d+ {2}it has \d+ legs →\[(ant|bee)\]$/);
        const { stdout } = await classify(
            "--data",
            inFolder("texts.txt"),
            inFolder("label.jsonl"),
            "--json",
            "--no-matched-bias",
        );
        const found = JSON.parse(stdout) as { label: string; probabilities: object; references: object[] }[];
        expect(found).toHaveLength(42);
        expect(found[0]).toMatchObject({ label: expect.stringMatching(/ant|bee/) as unknown, references: [{}, {}, {}] });
        const bad = await classify("--data", inFolder("chat.jsonl"));
        expect([bad.code, bad.stderr]).toEqual([1, expect.stringContaining('chat.jsonl:1: "text" is missing')]);
    });

    it("takes spellings of labels from a file, and whole labels", async () => {
        writeFileSync(inFolder("spellings.json"), '{"ant": ["emmet", "ant"], "bee": ["fly"]}');
        const options = ["--prompt", prompt, "--labels", inFolder("spellings.json"), "--whole-labels", "--limit", "10"];
        const built = await build("spelt.rtd", "label", "label.jsonl", ...options, "--json");
        expect(json(built.stdout)).toMatchObject({ entries: 5 * 5 + 5 * 3, examples: 10 });
        const info = await rtd("info", inFolder("spelt.rtd"));
        expect(info.stdout).toMatch(/labels +ant, bee \(whole\)/);
        const figures = await evaluate("spelt.rtd", "label.jsonl", "--limit", "10", "--k", "1", "--weight", "0.999", "--json");
        expect(json(figures.stdout)).toMatchObject({ task: "label", rtd: { accuracy: 1 } });
        expect(json(figures.stdout)).not.toHaveProperty("linearProbe");
        writeFileSync(inFolder("spellings.json"), "{");
        const broken = await build("spelt.rtd", "label", "label.jsonl", ...options);
        expect([broken.code, broken.stderr]).toEqual([1, expect.stringMatching(/spellings\.json: cannot be read as JSON/)]);
        const gone = await build("spelt.rtd", "label", "label.jsonl", "--labels", inFolder("gone.json"));
        expect([gone.code, gone.stderr]).toEqual([1, `rtd: ${inFolder("gone.json")}: no such file\n`]);
    });

    it("keeps what it was built with", async () => {
        const changed = await build("label.rtd", "label", "label.jsonl", "--prompt", "{text}");
        expect([changed.code, changed.stderr]).toEqual([1, expect.stringContaining("was built with prompt")]);
        const otherTask = await build("label.rtd", "text", "text.txt");
        expect([otherTask.code, otherTask.stderr]).toEqual([1, expect.stringContaining("was built for task label, not text")]);
        const other = ["--model", inFolder("other.gguf"), "--no-gpu"];
        const otherModel = await rtd("eval", inFolder("label.rtd"), ...other, "--data", inFolder("label.jsonl"));
        expect([otherModel.code, otherModel.stderr]).toEqual([1, expect.stringContaining("was not made with other.gguf")]);
        const allowed = await rtd(
            "eval",
            inFolder("label.rtd"),
            ...other,
            "--data",
            inFolder("label.jsonl"),
            "--limit",
            "1",
            "--allow-mismatch",
            "sha256",
        );
        expect(allowed.code).toBe(0);
    });

    it("is evaluated beside the model and the model with the matched bias", async () => {
        const { code, stdout, stderr } = await evaluate(
            "label.rtd",
            "label.jsonl",
            "--task",
            "label",
            "--seed",
            "1",
            "--offset",
            "25",
            "--shots",
            "2",
            "--shot-seeds",
            "1",
            "--retrieved",
            "3",
            "--json",
        );
        expect([code, stderr]).toEqual([0, ""]);
        const number = expect.any(Number) as number;
        const accuracy = { accuracy: number, interval: [number, number], macroF1: number, count: 15 };
        expect(json(stdout)).toMatchObject({
            task: "label",
            k: 16,
            referenceWeight: 0.8,
            model: accuracy,
            modelBiasMatched: accuracy,
            rtd: accuracy,
            rtdBiasMatched: { ...accuracy, gain: { value: number, interval: [number, number] } },
            nearest: accuracy,
            linearProbe: accuracy,
            shots: [{ count: 2, seed: 1, model: accuracy, rtd: accuracy }],
            retrieved: { count: 3, model: accuracy, rtd: accuracy },
        });
        const { promptTokens, shots } = json(stdout) as { promptTokens: number; shots: [{ promptTokens: number }] };
        expect(shots[0].promptTokens).toBeGreaterThan(2.5 * promptTokens);
        const tables = (await evaluate("label.rtd", "label.jsonl", "--limit", "2", "--retrieved", "1")).stdout;
        expect(tables).toMatch(/model, matched bias +\d+\.\d% \[\d+\.\d%, \d+\.\d%\].*\nrtd +\d+\.\d% /);
        expect(tables).toMatch(/\n1 retrieved +\d+\.\d% .*\n1 retrieved, and rtd +\d+\.\d% /);
        expect(tables).toMatch(/\d+ tokens a prompt, \d+ 1 retrieved; /);
    });

    it("is evaluated where nothing can be kept, and is not given more examples than fit", async () => {
        vi.stubEnv("RTD_CACHE", path.join(inFolder("label.jsonl"), "no folder"));
        const flags = ["label.rtd", "label.jsonl", "--limit", "3", "--json"] as const;
        expect((await evaluate(...flags)).code).toBe(0);
        vi.stubEnv("RTD_CACHE", inFolder("cache"));
        const crowded = await evaluate(...flags, "--shots", "25");
        expect([crowded.code, crowded.stderr]).toEqual([1, expect.stringContaining("give fewer shots")]);
    });

    it("is evaluated again without the model, with the same figures", async () => {
        const figures = async (...flags: string[]) => {
            const { seconds, milliseconds, provenance, ...rest } = json(
                (await evaluate("label.rtd", "label.jsonl", "--seed", "1", "--limit", "7", "--json", ...flags)).stdout,
            );
            expect(seconds).toBeGreaterThan(0);
            const { promptToken, reference } = milliseconds as { promptToken: number; reference: number };
            expect([promptToken > 0 && promptToken < 1000 * (seconds as number), reference > 0 && reference < 1000 * (seconds as number)]).toEqual([true, true]); // prettier-ignore
            expect(provenance).toMatchObject({ model: { file: "noise.gguf" } });
            return rest;
        };
        const runs = () => readdirSync(inFolder("cache/evaluations")).length;
        const [first, known] = [await figures(), runs()];
        expect(known).toBeGreaterThan(0);
        expect([await figures(), await figures("--no-cache"), runs()]).toEqual([first, first, known]);
    });

    it("is searched through a transform that is fitted when it is built, and again by the same command", async () => {
        const flags = ["transformed.rtd", "label", "label.jsonl", "--prompt", prompt] as const;
        expect((await build(...flags, "--transform", "project", "--shrinkage", "0.5")).code).toBe(0);
        const info = async () => json((await rtd("info", inFolder("transformed.rtd"), "--json")).stdout);
        expect(await info()).toMatchObject({
            transform: "matrix",
            searchedDim: 1,
            space: { name: "projected, shrinkage 0.5", heads: 1, method: "project", shrinkage: 0.5 },
        });
        expect((await rtd("info", inFolder("transformed.rtd"))).stdout).toContain(
            "a transform (projected, shrinkage 0.5), 1 dimensions",
        );
        expect((await evaluate("transformed.rtd", "label.jsonl", "--limit", "5")).code).toBe(0);
        expect((await build(...flags)).code).toBe(0); // leaves it
        expect(await info()).toMatchObject({ transform: "matrix" });
        expect((await build(...flags, "--transform", "standardise")).code).toBe(0);
        expect(await info()).toMatchObject({ transform: "scale", space: { name: "standardised" } });
        expect((await build(...flags, "--transform", "none")).code).toBe(0);
        expect(await info()).not.toHaveProperty("transform");
        const bad = await build(...flags, "--shrinkage", "2");
        expect([bad.code, bad.stderr]).toEqual([1, expect.stringContaining("shrinkage is of a transform")]);
        const text = await build("projected.rtd", "text", "text.txt", "--transform", "project");
        expect([text.code, text.stderr]).toEqual([1, expect.stringContaining("whiten instead")]);
    });

    it("is tuned on its own examples, and keeps what is better", async () => {
        expect((await build("tuned.rtd", "label", "label.jsonl", "--prompt", prompt)).code).toBe(0);
        const tune = async (...flags: string[]) => {
            const { code, stdout, stderr } = await rtd("tune", inFolder("tuned.rtd"), ...common, "--json", ...flags);
            expect([code, stderr]).toEqual([0, ""]);
            return json(stdout) as Record<"before" | "best" | "chosen", { k: number; score: number }> & {
                rows: number;
                gain: { interval: [number, number] };
            };
        };
        const defaults = async () =>
            json((await rtd("info", inFolder("tuned.rtd"), "--json")).stdout)["defaults"] as { k: number };
        const dry = await tune("--dry-run");
        expect(dry).toMatchObject({ rows: 40, before: { k: 16 } });
        expect(dry.best.score).toBeGreaterThanOrEqual(dry.before.score);
        expect(await defaults()).toMatchObject({ k: 16 });
        const { chosen, gain } = await tune();
        expect((await defaults()).k).toBe(gain.interval[0] > 0 ? chosen.k : 16);
        expect((await rtd("tune", inFolder("tuned.rtd"), ...common)).stdout).toMatch(
            /log-probability[^]*([Nn]othing is changed|keeps it)/,
        );
    });

    it("knows its own examples with the reference alone", async () => {
        const { stdout } = await evaluate(
            "label.rtd",
            "label.jsonl",
            "--seed",
            "1",
            "--limit",
            "20",
            "--weight",
            "1",
            "--k",
            "1",
            "--json",
        );
        expect(json(stdout)).toMatchObject({ rtd: { accuracy: 1, count: 20 }, k: 1, referenceWeight: 1 });
    });

    it("describes itself", async () => {
        const info = json((await rtd("info", inFolder("label.rtd"), "--json")).stdout);
        expect(info).toMatchObject({
            entries: 25,
            live: 25,
            dim: 64,
            metric: "l2",
            recipe: "label",
            prompt: "{labels}\n{text} (",
            rotate: false,
        });
        expect(info).toMatchObject({ model: { file: "noise.gguf" }, labels: [{ name: "ant" }, { name: "bee" }] });
        expect(info["sources"]).toMatchObject([
            { seed: 1, offset: 0, limit: 20, examples: 20, firstExample: 0, complete: true },
            { seed: 1, offset: 20, limit: 5, examples: 5, firstExample: 20, complete: true },
        ]);
        expect((await rtd("info", inFolder("label.rtd"))).stdout).toMatch(/entries +25\n/);
    });

    it("of an application's own is described with what that keeps, whatever its names", async () => {
        const metadata = { labels: ["a"], sources: 5, path: "mine", dim: 9 };
        await (await Datastore.create(inFolder("own.rtd"), { dim: 4, metadata })).close();
        const info = await rtd("info", inFolder("own.rtd"));
        expect([info.code, info.stdout]).toEqual([0, expect.stringContaining(`metadata   ${JSON.stringify(metadata)}\n`)]);
        const whole = json((await rtd("info", inFolder("own.rtd"), "--json")).stdout);
        expect(whole).toMatchObject({ path: inFolder("own.rtd"), dim: 4, metadata });
        await (await Datastore.create(inFolder("bare.rtd"), { dim: 4 })).close();
        expect((await rtd("info", inFolder("bare.rtd"))).stdout).not.toContain("metadata");
    });

    it("holds each rotation of a question's options", async () => {
        const built = await build(
            "quiz.rtd",
            "label",
            "quiz.jsonl",
            "--rotate",
            "--prompt",
            "{question}\\n{options}\\n",
            "--json",
        );
        expect(json(built.stdout)).toMatchObject({ added: 3, examples: 1 });
        const share = expect.any(Number) as number;
        const positions = { said: [share, share, share], right: [1 / 3, 1 / 3, 1 / 3], spread: share };
        expect(json((await evaluate("quiz.rtd", "quiz.jsonl", "--json")).stdout)).toMatchObject({
            rtd: { count: 1, choice: { averaged: { accuracy: share }, positions } },
        });
        const { stdout } = await evaluate("quiz.rtd", "quiz.jsonl");
        expect(stdout).toMatch(/accuracy of 1, all rotations.*\n-.*\nmodel +(0\.0|33\.3|66\.7|100\.0)% /);
        expect(stdout).toMatch(/accuracy of the mean over rotations +gain\n-.*\nmodel +\d/);
        expect(stdout).toMatch(/share of answers +spread +A +B +C[^]*\nright answers +33\.3% +33\.3% +33\.3%/);
        expect((await evaluate("quiz.rtd", "quiz.jsonl", "--no-rotations")).stdout).not.toContain("rotations");
        const labels = await evaluate("label.rtd", "label.jsonl", "--rotations");
        expect([labels.code, labels.stderr]).toEqual([1, expect.stringContaining("rotations are for questions with options")]);
    });

    it("is found out when a file of it changes", async () => {
        expect(await rtd("verify", inFolder("label.rtd"))).toMatchObject({
            code: 0,
            stdout: expect.stringContaining("ok     segment-000001") as string,
        });
        const segment = path.join(inFolder("label.rtd"), "segment-000001.safetensors");
        const good = readFileSync(segment);
        const flipped = Buffer.from(good);
        flipped[flipped.length - 1]! ^= 1;
        writeFileSync(segment, flipped);
        const { code, stdout } = await rtd("verify", inFolder("label.rtd"), "--json");
        expect(code).toBe(1);
        expect(json(stdout)).toMatchObject({ ok: false });
        expect((await rtd("verify", inFolder("label.rtd"))).stdout).toContain("BAD    segment-000001.safetensors");
        writeFileSync(segment, good);
        expect((await rtd("verify", inFolder("label.rtd"))).code).toBe(0);
    });
});

describe("a text datastore", () => {
    it("is built and evaluated", async () => {
        expect(json((await build("text.rtd", "text", "text.txt", "--limit", "1000", "--json")).stdout)).toMatchObject({
            added: 1000,
        });
        const perplexity = { perplexity: expect.any(Number) as number, count: 500 };
        const { stdout } = await evaluate("text.rtd", "text.txt", "--offset", "1000", "--limit", "500", "--json");
        expect(json(stdout)).toMatchObject({ task: "text", k: 1024, referenceWeight: 0.1, model: perplexity, rtd: perplexity });
        const { model, rtd } = json(stdout) as unknown as Record<"model" | "rtd", { perplexity: number }>;
        expect(rtd.perplexity).toBeLessThan(model.perplexity); // noise knows nothing of numbers
    });

    it("takes no in-context examples", async () => {
        const { code, stderr } = await evaluate("text.rtd", "text.txt", "--shots", "2");
        expect([code, stderr]).toEqual([1, expect.stringContaining("shots is an option of label and chat stores")]);
    });

    it("is tuned, and attached contexts and evaluations use what was found", async () => {
        const { stdout, code } = await rtd("tune", inFolder("text.rtd"), ...common, "--json");
        const { chosen, gain, before } = json(stdout) as Record<"chosen" | "before", { k: number; referenceWeight: number }> & {
            gain: { interval: [number, number] };
        };
        expect([code, before.k]).toEqual([0, 1024]);
        expect(gain.interval[0]).toBeGreaterThan(0); // the text repeats itself, and noise knows nothing of it
        const evaluated = json((await evaluate("text.rtd", "text.txt", "--offset", "1000", "--limit", "500", "--json")).stdout);
        expect(evaluated).toMatchObject({ k: chosen.k, referenceWeight: chosen.referenceWeight });
    });

    it("gets a cascade that is missing from the same command", async () => {
        process.env["RTD_CASCADE"] = "always";
        try {
            const folder = inFolder("cascaded.rtd");
            const made = json((await build("cascaded.rtd", "text", "text.txt", "--limit", "300", "--json")).stdout);
            const cascaded = async () => json((await rtd("info", folder, "--json")).stdout)["cascaded"];
            expect(await cascaded()).toBe(made["entries"]);
            for (const file of readdirSync(folder)) if (file.startsWith("derived-")) rmSync(path.join(folder, file));
            expect(await cascaded()).toBe(0);
            expect(json((await build("cascaded.rtd", "text", "text.txt", "--limit", "300", "--json")).stdout)["added"]).toBe(0);
            expect(await cascaded()).toBe(made["entries"]);
        } finally {
            delete process.env["RTD_CASCADE"];
        }
    });

    it("stops at Ctrl-C, and is the same in the end", async () => {
        const whole = await build("whole.rtd", "text", "text.txt", "--json");
        const press = setInterval(() => {
            if (!existsSync(path.join(inFolder("parts.rtd"), "segment-000001.safetensors"))) return;
            clearInterval(press);
            process.emit("SIGINT");
        }, 1);
        const stopped = await build("parts.rtd", "text", "text.txt", "--json");
        expect(stopped).toMatchObject({ code: 130, stdout: "" });
        expect(stopped.stderr).toContain("interrupted; the same command goes on from here");
        expect(json((await rtd("info", inFolder("parts.rtd"), "--json")).stdout)).toMatchObject({
            sources: [{ complete: false }],
        });
        const other = await build("parts.rtd", "text", "text.txt", "--limit", "7");
        expect([other.code, other.stderr]).toEqual([1, expect.stringContaining("is still being built from")]);
        const resumed = await build("parts.rtd", "text", "text.txt", "--json");
        expect(json(resumed.stdout)["entries"]).toBe(json(whole.stdout)["entries"]);
        expect(json(resumed.stdout)["added"]).toBeLessThan(json(whole.stdout)["added"] as number);
        expect(await contents(inFolder("parts.rtd"))).toEqual(await contents(inFolder("whole.rtd")));
    });
});

describe("a store that is not tuned", () => {
    it("is one of answers without other data, and one whose data has gone", async () => {
        await build("answers.rtd", "chat", "chat.jsonl");
        const chat = await rtd("tune", inFolder("answers.rtd"), ...common);
        expect([chat.code, chat.stderr]).toEqual([1, expect.stringContaining("give other data to tune on")]);
        writeFileSync(inFolder("gone.jsonl"), '{"text": "x", "label": "ant"}\n{"text": "y", "label": "bee"}\n');
        await build("gone.rtd", "label", "gone.jsonl", "--prompt", prompt);
        rmSync(inFolder("gone.jsonl"));
        const gone = await rtd("tune", inFolder("gone.rtd"), ...common);
        expect([gone.code, gone.stderr]).toEqual([1, expect.stringContaining("gone.jsonl")]);
        writeFileSync(inFolder("short.txt"), "a few words of text, and no more than that");
        await build("short.rtd", "text", "short.txt");
        const short = await rtd("tune", inFolder("short.rtd"), ...common);
        expect([short.code, short.stderr]).toEqual([1, expect.stringContaining("too few to tune on")]);
    });
});

describe("a chat datastore", () => {
    it("is tuned on other data, which all of its entries answer, in spaces of its own", async () => {
        const facts = (wording: string) =>
            Array.from({ length: 12 }, (_, i) =>
                JSON.stringify({ prompt: `${wording} ${"abcdefghijkl"[i]}:`, completion: ` ${"XYZ"[i % 3]}${i}` }),
            ).join("\n");
        writeFileSync(inFolder("told.jsonl"), facts("tell me of"));
        writeFileSync(inFolder("asked.jsonl"), facts("what is it with"));
        await build("told.rtd", "chat", "told.jsonl");
        const { code, stdout } = await rtd("tune", inFolder("told.rtd"), ...common, "--data", inFolder("asked.jsonl"), "--json");
        expect(code).toBe(0);
        const report = json(stdout) as unknown as TuneReport;
        expect(report.spaces.map(({ space }) => space)).toEqual([
            "keys as they are",
            "4 heads",
            "16 heads",
            "standardised",
            "standardised, 4 heads",
            "standardised, 16 heads",
            "whitened",
        ]);
        // Of whole answers: each token's own log-probability is above their sum.
        expect(report.model).toBeLessThan(-5);
        expect(report.best.score).toBeGreaterThan(report.model);
        const again = await rtd(
            "tune",
            inFolder("told.rtd"),
            ...common,
            "--data",
            inFolder("asked.jsonl"),
            "--dry-run",
            "--json",
        );
        expect((json(again.stdout) as unknown as TuneReport).before.space).toBe(report.chosen.space);
        expect((await rtd("verify", inFolder("told.rtd"))).code).toBe(0);
    });

    it("is built and evaluated by real decoding", async () => {
        expect(json((await build("chat.rtd", "chat", "chat.jsonl", "--json")).stdout)).toMatchObject({ examples: 2, added: 10 });
        const { stdout } = await evaluate("chat.rtd", "chat.jsonl", "--weight", "1", "--k", "1", "--json");
        expect(json(stdout)).toMatchObject({
            task: "chat",
            model: { exactMatch: 0, count: 2 },
            rtd: { exactMatch: 1, count: 2 },
        });
        const { stdout: shown } = await evaluate("chat.rtd", "chat.jsonl", "--weight", "0", "--shots", "1", "--max-tokens", "5");
        const none = String.raw`0\.0% \[0\.0%, 0\.0%\]`;
        const gain = String.raw`\+0\.0% \[\+0\.0%, \+0\.0%\]`;
        expect(shown).toMatch(/exact match of 2 +gain +F1 +F1 gain\n/);
        expect(shown).toMatch(new RegExp(`\nmodel +${none} +${none}\nrtd +${none} +${gain} +${none} +${gain}\n`));
        expect(shown).toMatch(/\n1-shot, seed 1, and rtd +0\.0% /);
        expect(shown).toMatch(/tokens a prompt, \d+ 1-shot, seed 1, \d+ 1-shot, seed 2; /);
    });

    it("is reported by subject where rows have one", async () => {
        const rows = ["b", "c"].map((code, i) => ({
            prompt: `a code of ${code}:`,
            completion: i ? " UVW" : " no",
            subject: code,
        }));
        writeFileSync(inFolder("subjects.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
        const { stdout } = await evaluate("chat.rtd", "subjects.jsonl", "--weight", "1", "--k", "1");
        expect(stdout).toMatch(
            /subject +count +model +rtd +F1, rtd\n-.*\nb +1 +0\.0% +0\.0% +0\.0%\nc +1 +0\.0% +100\.0% +100\.0%/,
        );
    });

    it("writes its answer and says where it comes from", async () => {
        const question = ["--prompt", "a code of c:", "--weight", "1", "--k", "1"];
        expect((await rtd("generate", inFolder("chat.rtd"), ...common, ...question)).stdout).toBe(" UVW\n");
        const listed = await rtd("generate", inFolder("chat.rtd"), ...common, ...question, "--references");
        expect(listed.stdout).toContain(`"U"   100.0% of the vote\n    100.0%  distance`);
        expect(listed.stdout).toContain(`${inFolder("chat.jsonl")}:2  a code of c: [U]VW`);
        const { text, tokens } = json(
            (await rtd("generate", inFolder("chat.rtd"), ...common, ...question, "--references", "--json")).stdout,
        );
        expect(text).toBe(" UVW");
        expect(tokens).toMatchObject([{}, { text: "U", vote: 1, references: [{ example: 1, share: 1, value: "U" }] }, {}, {}]);
    });

    it("is not asked for more than the model's context holds", async () => {
        const ask = (...args: string[]) => rtd("generate", inFolder("chat.rtd"), ...common, ...args);
        const long = await ask("--prompt", "a code", "--max-tokens", "100000");
        expect([long.code, long.stdout]).toEqual([1, ""]);
        expect(long.stderr).toMatch(/the prompt's \d+ tokens and 100000 more do not fit the model's context of \d+; shorten/);
    });

    it("answers after the in-context examples that its keys were recorded after", async () => {
        await build("few.rtd", "chat", "chat.jsonl", "--shots", "1", "--shot-seed", "2");
        const { stdout } = await rtd("info", inFolder("few.rtd"));
        expect(stdout).toContain("1 in-context examples before every prompt (seed 2)");
        const [shot] = (
            json((await rtd("info", inFolder("few.rtd"), "--json")).stdout) as {
                shots: { rows: { prompt: string; completion: string }[] };
            }
        ).shots.rows;
        const generate = async (store: string, prompt: string) => {
            const flags = ["--prompt", prompt, "--weight", "0", "--max-tokens", "8"];
            return (await rtd("generate", inFolder(store), ...common, ...flags)).stdout;
        };
        const shown = `${shot!.prompt}${shot!.completion}\n\n`;
        const answer = await generate("few.rtd", "and d:");
        expect(answer).toBe(await generate("chat.rtd", `${shown}and d:`));
        expect(answer).not.toBe(await generate("chat.rtd", "and d:"));
        const chat = await rtd("generate", inFolder("few.rtd"), ...common, "--chat", "--prompt", "and d:");
        expect([chat.code, chat.stderr]).toEqual([1, expect.stringContaining("no conversations: leave out --chat")]);
        const again = await build("few.rtd", "chat", "chat.jsonl", "--shots", "0");
        expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("was built with shots 1, not 0")]);
    });

    it("writes characters of several tokens whole, and shows such tokens as bytes", async () => {
        await build("emoji.rtd", "chat", "emoji.jsonl"); // in the noise model's vocabulary all but ASCII are bytes
        const generate = (...rest: string[]) =>
            rtd("generate", inFolder("emoji.rtd"), ...common, "--prompt", "say it:", "--weight", "1", "--k", "1", ...rest);
        expect((await generate()).stdout).toBe(" 😀é日本 ok\n");
        const { text, tokens } = json((await generate("--json", "--references")).stdout) as {
            text: string;
            tokens: { text: string; piece: string; references: { before: string; value: string; after: string }[] }[];
        };
        expect(text).toBe(" 😀é日本 ok");
        expect(tokens.slice(0, 6).map(({ text }) => text)).toEqual([" ", "", "", "", "😀", ""]);
        expect(tokens.slice(0, 3).map(({ piece }) => piece)).toEqual([" ", "<0xF0>", "<0x9F>"]);
        expect(tokens[6]?.references[0]).toMatchObject({
            before: "say it: 😀<0xC3>",
            value: "<0xA9>",
            after: expect.stringMatching(/^日本/) as string,
        });
        const listed = (await generate("--references")).stdout;
        expect(listed).toContain('"<0xF0>"   100.0% of the vote');
        expect(listed).toContain("say it: 😀<0xC3>[<0xA9>]日本");
        expect(listed).not.toContain("\ufffd");
        expect((await generate("--max-tokens", "3")).stdout).toBe(" \n"); // half a character is no text
    });
});

/** All that a store holds, to the bit. */
async function contents(store: string) {
    const opened = await Datastore.open(store);
    const ids = Uint32Array.from({ length: opened.index.entries }, (_, i) => i);
    const all = { keys: opened.index.keysOf(ids), entries: opened.index.entriesOf(ids), origins: opened.origins(ids) };
    await opened.close();
    return all;
}
