/** --report of rtd eval and rtd tune, on a model of noise. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { writeModel } from "../llama/gguf.js";
import { all, cellsOf, parse, sectionOf, textOf } from "../report/parse.js";
import { rtd } from "./run.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-reports-"));
const inFolder = (name: string) => path.join(folder, name);
const model = inFolder("noise.gguf");
const common = ["--model", model, "--no-gpu", "--threads", "1"];
const pageOf = (name: string) => parse(readFileSync(inFolder(name), "utf8"));
const percent = (share: number) => `${(100 * share).toFixed(1)}%`;

beforeAll(async () => {
    vi.stubEnv("RTD_CACHE", inFolder("cache"));
    writeModel(model);
    const rows = Array.from({ length: 40 }, (_, i) => ({ text: `it has ${i} legs`, label: i % 2 ? "<b>ant" : "bee & co" }));
    writeFileSync(inFolder("label.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
    writeFileSync(inFolder("text.txt"), Array.from({ length: 3000 }, (_, i) => `${(i * i) % 97} `).join(""));
    const chat = [1, 2].map((i) => JSON.stringify({ prompt: `a code of ${i}:`, completion: ` XY${i}` })).join("\n");
    writeFileSync(inFolder("chat.jsonl"), chat);
    for (const [task, data, ...rest] of [
        ["label", "label.jsonl", "--prompt", "{labels}\\n{text} ("],
        ["text", "text.txt", "--limit", "1000"],
        ["chat", "chat.jsonl"],
    ] as [string, string, ...string[]][]) {
        const built = await rtd("build", inFolder(`${task}.rtd`), ...common, "--task", task, "--data", inFolder(data), ...rest);
        expect(built.code).toBe(0);
    }
});
afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
});

const evaluate = (task: string, data: string, ...rest: string[]) =>
    rtd("eval", inFolder(`${task}.rtd`), ...common, "--data", inFolder(data), ...rest);

interface Score {
    accuracy: number;
    calibrationError: number;
    calibration: { confidence: number; accuracy: number; count: number }[];
    count: number;
}

describe("--report", () => {
    it("writes what --json has of labels, with the bins that its calibration error comes from", async () => {
        const flags = ["--seed", "1", "--limit", "20", "--json", "--report", inFolder("label.html")];
        const { code, stdout, stderr } = await evaluate("label", "label.jsonl", ...flags);
        expect([code, stderr]).toEqual([0, ""]);
        const json = JSON.parse(stdout) as Record<"model" | "rtd", Score> & { provenance: object };
        expect(json.provenance).toMatchObject({
            task: "label",
            store: { path: inFolder("label.rtd"), entries: 40 },
            model: { file: "noise.gguf" },
            data: [{ path: inFolder("label.jsonl") }],
            cut: { seed: 1, limit: 20 },
            versions: { rtd: "0.1.0", nodeLlamaCpp: expect.stringMatching(/^3\./) as string, node: process.versions.node },
        });
        for (const { calibration, calibrationError, accuracy, count } of [json.model, json.rtd]) {
            expect(calibration.reduce((sum, bin) => sum + bin.count, 0)).toBe(count);
            expect(calibration.reduce((sum, bin) => sum + bin.count * bin.accuracy, 0)).toBeCloseTo(accuracy * count, 9);
            const gaps = calibration.reduce((sum, bin) => sum + bin.count * Math.abs(bin.confidence - bin.accuracy), 0);
            expect(gaps / count).toBeCloseTo(calibrationError, 9);
        }
        expect((JSON.parse(stdout) as { nearest: object }).nearest).not.toHaveProperty("calibration"); // it is never unsure
        const page = pageOf("label.html");
        const rows = cellsOf(all(page, "table")[0]!).map(([name, value]) => [name, value]);
        expect(rows).toContainEqual(["model", percent(json.model.accuracy)]);
        expect(rows).toContainEqual(["rtd", percent(json.rtd.accuracy)]);
        expect(all(page, "th").map(textOf)).toEqual(expect.arrayContaining(["<b>ant", "bee & co"]));
    });

    it("writes the course of a text, and exact matches with intervals", async () => {
        const text = await evaluate("text", "text.txt", "--offset", "1000", "--limit", "300", "--json", "--report", inFolder("text.html")); // prettier-ignore
        const { course } = JSON.parse(text.stdout) as { course: { from: number; to: number; model: number; rtd: number }[] };
        expect([text.code, course[0]!.from, course.at(-1)!.to, course.length]).toEqual([0, 0, 300, 6]);
        expect(cellsOf(all(pageOf("text.html"), "table")[1]!)).toHaveLength(7);
        const chat = await evaluate(
            "chat",
            "chat.jsonl",
            "--weight",
            "1",
            "--k",
            "1",
            "--json",
            "--report",
            inFolder("chat.html"),
        );
        expect(JSON.parse(chat.stdout)).toMatchObject({ rtd: { exactMatch: 1, interval: [1, 1], gain: { value: 1 } } });
        expect(textOf(pageOf("chat.html"))).toContain("With the reference 100.0% of 2 answers match exactly");
    });

    it("writes what tuning tried", async () => {
        const { code, stdout } = await rtd("tune", inFolder("label.rtd"), ...common, "--dry-run", "--json", "--report", inFolder("tune.html")); // prettier-ignore
        const { tried, provenance } = JSON.parse(stdout) as { tried: { k: number; score: number }[]; provenance: object };
        expect([code, provenance]).toEqual([0, expect.objectContaining({ data: [] })]);
        const best = Math.max(...tried.filter(({ k }) => k === 4).map(({ score }) => score));
        const byK = all(sectionOf(pageOf("tune.html"), "By k"), "table")[0]!;
        const row = cellsOf(byK).find(([k]) => k === "4")!;
        expect(row.at(-1)).toBe(best.toFixed(4).replace("-", "\u2212"));
    });

    it("is refused before the model runs where it cannot be written", async () => {
        for (const command of [
            ["eval", inFolder("label.rtd"), "--data", inFolder("label.jsonl")],
            ["tune", inFolder("label.rtd")],
        ]) {
            const flags = ["--model", inFolder("no-model.gguf"), "--report", inFolder("gone/report.html")];
            const { code, stderr, stdout } = await rtd(...command, ...flags);
            expect([code, stdout, stderr]).toEqual([1, "", expect.stringContaining("there is no folder")]);
        }
        expect(existsSync(inFolder("gone"))).toBe(false);
        expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
    });
});
