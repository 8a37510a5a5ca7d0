/** The three tasks on a real model, in small parts: what it is told, it knows. Needs RTD_TEST_MODEL, a SmolLM2-135M-Instruct or better. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { prompts } from "../../lib/demo/tasks.js";
import { packageRoot } from "../../lib/package-root.js";
import { rtd } from "./run.js";

const model = process.env["RTD_TEST_MODEL"];
const folder = mkdtempSync(path.join(tmpdir(), "rtd-real-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const data = (name: string) => path.join(packageRoot, "test", "data", name);

async function run(command: string, store: string, ...args: string[]) {
    const { code, stdout, stderr } = await rtd(
        command,
        path.join(folder, store),
        "--model",
        model ?? "",
        "--no-gpu",
        "--json",
        ...args,
    );
    expect([code, stderr]).toEqual([0, ""]);
    return JSON.parse(stdout) as Record<
        "model" | "modelBiasMatched" | "rtd",
        Record<"accuracy" | "perplexity" | "exactMatch", number>
    > & { text: string };
}

describe.runIf(model !== undefined)("a real model", { timeout: 900_000 }, () => {
    it("answers with facts that are stored, asked in other words", async () => {
        await run("build", "facts.rtd", "--task", "chat", "--data", data("airports-facts.jsonl"), "--limit", "40");
        const stored = await run(
            "eval",
            "facts.rtd",
            "--task",
            "chat",
            "--data",
            data("airports-questions.jsonl"),
            "--limit",
            "20",
        );
        expect(stored.model.exactMatch).toBeLessThan(0.2);
        expect(stored.rtd.exactMatch).toBeGreaterThanOrEqual(0.6);
        const absent = await run("eval", "facts.rtd", "--task", "chat", "--data", data("airports-absent.jsonl"), "--limit", "10");
        expect(absent.rtd.exactMatch).toBeLessThan(0.2);
    });

    it("sorts definitions better than alone", async () => {
        const part = ["--task", "label", "--data", data("wordnet-category.jsonl"), "--seed", "1"];
        await run("build", "labels.rtd", ...part, "--limit", "160", "--prompt", prompts.wordnet);
        const { model, rtd } = await run("eval", "labels.rtd", ...part, "--offset", "160", "--limit", "80");
        expect(rtd.accuracy).toBeGreaterThan(model.accuracy + 0.1);
    });

    it("recites a text of its own with the reference alone", async () => {
        const text = ["--task", "text", "--data", data("moby-dick-in-order.txt")];
        await run("build", "text.rtd", ...text, "--limit", "900");
        const { text: recited } = await run(
            "generate",
            "text.rtd",
            "--prompt",
            "Call me Ishmael. Some years ago",
            "--weight",
            "1",
            "--k",
            "1",
            "--max-tokens",
            "12",
        );
        expect(recited).toBe("—never mind how long precisely—having little or no money");
    });
});
