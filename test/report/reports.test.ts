/** What reports of evaluations and of tuning say: every figure, under its name, and the right words for it. */
import { describe, expect, it } from "vitest";

import type { Interval } from "../../lib/evaluation/bootstrap.js";
import type { Evaluation } from "../../lib/evaluation/index.js";
import type { LabelScore } from "../../lib/evaluation/label.js";
import { evaluationReport, htmlOf, tuningReport, type Provenance, type Report, type TuneReport } from "../../lib/index.js";
import { all, cellsOf, type Node, parse, sectionOf, textOf } from "./parse.js";

const provenance: Provenance = {
    measuredAt: "2026-01-02T03:04:05.678Z",
    task: "label",
    store: { path: "some/animals.rtd", entries: 1234, bytes: 5_600_000, metric: "l2", heads: 1, backend: "serial" },
    model: { file: "model.gguf", sha256: "ab".repeat(32), bytes: 98_400_000, architecture: "llama", quantization: "Q4_1" },
    data: [{ path: "test.jsonl", sha256: "cd".repeat(32) }],
    cut: { seed: 1, offset: 300, limit: undefined },
    versions: { rtd: "0.1.0", nodeLlamaCpp: "3.22.1", node: "20.19.0" },
    machine: "a processor, linux x64",
};
const fusion = {
    k: 16,
    temperature: 3.999,
    referenceWeight: 0.8,
    seconds: 12.34,
    milliseconds: { promptToken: 2.345, reference: 0.456 },
};

const gain = (value: number, ...interval: Interval) => ({ value, interval });
function labelScore(accuracy: number, against?: LabelScore["gain"]): LabelScore {
    const calibration = [{ confidence: accuracy - 0.1, accuracy, count: 200 }];
    const interval: Interval = [accuracy - 0.05, accuracy + 0.05];
    return {
        accuracy,
        interval,
        macroF1: accuracy - 0.01,
        calibrationError: 0.1,
        calibration,
        gain: against,
        count: 200,
        choice: undefined,
        bySubject: [],
    };
}
const label: Evaluation = {
    task: "label",
    ...fusion,
    model: labelScore(0.545),
    modelBiasMatched: labelScore(0.79, gain(0.245, 0.2, 0.3)),
    rtd: labelScore(0.825, gain(0.035, -0.01, 0.08)),
    rtdBiasMatched: labelScore(0.835, gain(0.045, 0.005, 0.09)),
    nearest: { ...labelScore(0.75, gain(-0.04, -0.1, 0.02)), calibration: undefined, calibrationError: undefined },
    linearProbe: undefined,
    shots: [
        {
            count: 5,
            seed: 2,
            promptTokens: 207.6,
            model: labelScore(0.641, gain(-0.149, -0.2, -0.1)),
            rtd: labelScore(0.7, gain(-0.09, -0.1, -0.08)),
        },
    ],
    retrieved: undefined,
    promptTokens: 40.2,
    storeBytes: 5_600_000,
    confusion: { labels: ["ant", "<bee>"], counts: [[90, 10], [23, 77]] }, // prettier-ignore
};

const pageOf = (report: Report): Node => parse(htmlOf(report));
const titlesOf = (page: Node) => all(page, "h2").map(textOf);
const summaryOf = (page: Node) => all(all(page, "header")[0]!, "p").map(textOf);
const factsOf = (page: Node) => {
    const [names, values] = ["dt", "dd"].map((name) => all(page, name).map(textOf));
    return Object.fromEntries(names!.map((name, i) => [name, values![i]]));
};

describe("the report of labels", () => {
    const page = pageOf(evaluationReport(label, provenance));

    it("begins with what was found", () => {
        expect(textOf(all(page, "h1")[0]!)).toBe("Evaluation of animals.rtd");
        expect(summaryOf(page)).toEqual([
            "With the reference 83.5% of answers to 200 examples are right (95% interval: 78.5% to 88.5%); the model alone has 54.5%, with the matched bias 79.0%.",
            "Against the model with the matched bias that is +4.5 points (95% interval: +0.5 to +9.0): better, beyond noise.",
        ]);
        expect(titlesOf(page)).toEqual([
            "Accuracy",
            "Gain in accuracy",
            "Calibration",
            "Confusion",
            "Costs",
            "What was measured",
        ]);
    });

    it("compares all that was measured, in plots and in a table", () => {
        const names = ["model", "model, matched bias", "rtd", "rtd, matched bias", "nearest reference", "5-shot, seed 2", "5-shot, seed 2, and rtd"]; // prettier-ignore
        const [, ...rows] = cellsOf(all(sectionOf(page, "Accuracy"), "table")[0]!);
        expect(rows.map(([name]) => name)).toEqual(names);
        expect(rows[3]).toEqual(["rtd, matched bias", "83.5%", "78.5% to 88.5%", "+4.5", "+0.5 to +9.0", "0.825", "0.100"]);
        expect(rows[4]).toEqual(["nearest reference", "75.0%", "70.0% to 80.0%", "\u22124.0", "\u221210.0 to +2.0", "0.740", ""]);
        const drawn = (title: string) =>
            all(sectionOf(page, title), "text").filter(({ attributes }) => attributes["class"] === "name");
        expect(drawn("Accuracy").map(textOf)).toEqual(names);
        expect(drawn("Gain in accuracy").map(textOf)).toEqual(names.slice(1));
        const panels = all(sectionOf(page, "Calibration"), "strong").map(textOf);
        expect(panels).toEqual(names.filter((name) => name !== "nearest reference"));
    });

    it("shows what was taken for what, and what it costs", () => {
        expect(cellsOf(all(sectionOf(page, "Confusion"), "table")[0]!)).toEqual([
            ["", "ant", "<bee>"],
            ["ant", "90", "10"],
            ["<bee>", "23", "77"],
        ]);
        expect(cellsOf(all(sectionOf(page, "Costs"), "table")[0]!).slice(1)).toEqual([
            ["model", "40", ""],
            ["rtd", "40", "5.60 MB"],
            ["5-shot, seed 2", "208", ""],
            ["5-shot, seed 2, and rtd", "208", "5.60 MB"],
        ]);
    });

    it("says what was measured, so that it can be again", () => {
        expect(factsOf(page)).toEqual({
            task: "label",
            datastore: "some/animals.rtd (1,234 entries, 5.60 MB, l2, 1 head)",
            data: "test.jsonl",
            "data, SHA-256": "cd".repeat(32),
            "part of the data": "seed 1, offset 300",
            settings: "k 16, temperature 4.00, weight 0.8",
            examples: "200",
            took: "12.3 s",
            "a token of a prompt": "2.35 ms",
            "the reference adds to a token": "0.46 ms",
            model: "model.gguf, llama, Q4_1, 98.4 MB",
            "model, SHA-256": "ab".repeat(32),
            measured: "2026-01-02 03:04:05 UTC",
            versions: "node-rtd 0.1.0, node-llama-cpp 3.22.1, Node 20.19.0",
            machine: "a processor, linux x64; search on serial",
        });
    });

    it("does without what a store does not have, and with one example", () => {
        const none: Interval = [-Infinity, Infinity];
        const one = { ...labelScore(1), interval: none, count: 1 };
        const rtd = { ...one, gain: { value: 0, interval: none } };
        const small = pageOf(
            evaluationReport({ ...label, model: one, modelBiasMatched: undefined, rtd, rtdBiasMatched: undefined, shots: [] }, provenance), // prettier-ignore
        );
        expect(summaryOf(small)).toEqual([
            "With the reference 100.0% of answers to 1 examples are right; the model alone has 100.0%.",
            "Against the model alone that is 0.0 points: within noise.",
        ]);
        expect(htmlOf(evaluationReport({ ...label, model: one, rtd }, provenance))).not.toMatch(/Infinity|NaN|undefined/);
    });
});

describe("the report of a text", () => {
    const perplexity = (value: number, change?: LabelScore["gain"]) => ({
        perplexity: value,
        interval: [value - 5, value + 5] as Interval,
        bitsPerByte: 1.355,
        firstHalf: value - 3,
        secondHalf: value + 4,
        change,
        count: 200,
    });
    const course = [
        { from: 0, to: 50, model: 40, rtd: 38 },
        { from: 50, to: 200, model: 36, rtd: 27 },
    ];
    const text: Evaluation = {
        task: "text",
        ...fusion,
        model: perplexity(39.74),
        rtd: perplexity(37.3, gain(-0.061, -0.093, -0.035)),
        course,
    };
    const page = pageOf(evaluationReport(text, { ...provenance, task: "text" }));

    it("says that less is better", () => {
        expect(summaryOf(page)).toEqual([
            "With the reference the perplexity of 200 tokens is 37.30 (95% interval: 32.30 to 42.30); of the model alone 39.74.",
            "Against the model alone that is \u22126.1% (95% interval: \u22129.3% to \u22123.5%): better, beyond noise.",
        ]);
        const worse = { ...text, rtd: perplexity(45, gain(0.1, 0.02, 0.2)) };
        expect(summaryOf(pageOf(evaluationReport(worse, provenance)))[1]).toMatch(/: worse, beyond noise\.$/);
        expect(cellsOf(all(sectionOf(page, "Perplexity"), "table")[0]!)[2]).toEqual([
            "rtd", "37.30", "32.30 to 42.30", "\u22126.1%", "\u22129.3% to \u22123.5%", "1.355", "34.30", "41.30",
        ]); // prettier-ignore
        expect(factsOf(page)["examples"]).toBe("200 tokens");
    });

    it("follows the gain along the text, each stretch and all so far by their tokens", () => {
        const sofar = Math.exp((50 * Math.log(38 / 40) + 150 * Math.log(27 / 36)) / 200) - 1;
        expect(cellsOf(all(sectionOf(page, "Along the text"), "table")[0]!)).toEqual([
            ["tokens of the text", "each stretch", "so far"],
            ["50", "\u22125.0%", "\u22125.0%"],
            ["200", "\u221225.0%", `\u2212${(-100 * sofar).toFixed(1)}%`],
        ]);
    });
});

describe("the report of questions with options", () => {
    const choice = (accuracy: number, said: number[]) => ({
        averaged: { accuracy, interval: [accuracy - 0.1, accuracy + 0.1] as Interval, gain: gain(0.1, 0.05, 0.15) },
        positions: { said, right: [0.5, 0.5], spread: 0.4 },
    });
    const subjects = (accuracy: number) => [
        { subject: "<year>", count: 12, accuracy, interval: [accuracy - 0.1, accuracy] as Interval },
    ];
    const quiz: Evaluation = {
        ...label,
        modelBiasMatched: undefined,
        rtdBiasMatched: undefined,
        model: { ...label.model, choice: choice(0.6, [0.7, 0.3]), bySubject: subjects(0.5) },
        rtd: { ...label.rtd, choice: choice(0.9, [0.45, 0.55]), bySubject: subjects(0.8) },
        shots: [],
    };
    const page = pageOf(evaluationReport(quiz, provenance));

    it("has what rotations agree on, and which letters are said", () => {
        expect(titlesOf(page).slice(0, 6)).toEqual([
            "Accuracy over all rotations",
            "Gain in accuracy over all rotations",
            "Accuracy of the mean over rotations",
            "Gain in accuracy of the mean over rotations",
            "Position bias",
            "By subject",
        ]);
        const mean = sectionOf(page, "Accuracy of the mean over rotations");
        expect(cellsOf(all(mean, "table")[0]!)[2]).toEqual(["rtd", "90.0%", "80.0% to 100.0%", "+10.0", "+5.0 to +15.0"]);
        expect(cellsOf(all(sectionOf(page, "Position bias"), "table")[0]!)).toEqual([
            ["", "spread", "ant", "<bee>"],
            ["model", "40.0%", "70.0%", "30.0%"],
            ["rtd", "40.0%", "45.0%", "55.0%"],
            ["right answers", "", "50.0%", "50.0%"],
        ]);
    });

    it("has figures by subject", () => {
        const section = sectionOf(page, "By subject");
        expect(cellsOf(all(section, "table")[0]!)).toEqual([
            ["", "examples", "model", "rtd"],
            ["<year>", "12", "50.0% (40.0% to 50.0%)", "80.0% (70.0% to 80.0%)"],
        ]);
        expect(textOf(all(section, "svg")[0]!)).toContain("<year>: rtd");
    });

    it("leaves out rotations that were not asked", () => {
        const once = (score: LabelScore) => ({ ...score, choice: { ...score.choice!, averaged: undefined } });
        const titles = titlesOf(pageOf(evaluationReport({ ...quiz, model: once(quiz.model), rtd: once(quiz.rtd) }, provenance)));
        expect(titles.slice(0, 3)).toEqual(["Accuracy", "Gain in accuracy", "Position bias"]);
    });
});

describe("the report of answers", () => {
    it("compares exact matches and F1, with in-context and retrieved examples, too", () => {
        const score = (exactMatch: number, f1: number, ...over: Interval | []) => ({
            exactMatch,
            interval: [exactMatch - 0.1, exactMatch] as Interval,
            f1,
            f1Interval: [f1 - 0.1, f1] as Interval,
            count: 20,
            gain: over.length === 0 ? undefined : gain(exactMatch, ...over),
            f1Gain: over.length === 0 ? undefined : gain(f1 - 0.1, ...over),
            bySubject: [],
        });
        const chat: Evaluation = {
            task: "chat",
            ...fusion,
            model: score(0.1, 0.2),
            rtd: score(0.95, 0.97, 0.75, 1),
            shots: [
                {
                    count: 3,
                    seed: 1,
                    promptTokens: 90,
                    model: score(0.3, 0.4, 0.1, 0.3),
                    rtd: score(0.9, 0.9, 0.8, 1),
                    answers: [],
                },
            ],
            retrieved: {
                count: 4,
                promptTokens: 110,
                model: score(0.5, 0.6, 0.3, 0.5),
                rtd: score(1, 1, 0.9, 1),
                answers: [],
            },
            promptTokens: 21.4,
            storeBytes: 1,
            answers: [],
        };
        const page = pageOf(evaluationReport(chat, { ...provenance, task: "chat" }));
        expect(titlesOf(page)).toEqual([
            "Exact match",
            "Gain in exact match",
            "F1 of words",
            "Gain in F1 of words",
            "Costs",
            "What was measured",
        ]);
        expect(cellsOf(all(page, "table")[0]!).slice(1)).toEqual([
            ["model", "10.0%", "0.0% to 10.0%", "", ""],
            ["rtd", "95.0%", "85.0% to 95.0%", "+95.0", "+75.0 to +100.0"],
            ["3-shot, seed 1", "30.0%", "20.0% to 30.0%", "+30.0", "+10.0 to +30.0"],
            ["3-shot, seed 1, and rtd", "90.0%", "80.0% to 90.0%", "+90.0", "+80.0 to +100.0"],
            ["4 retrieved", "50.0%", "40.0% to 50.0%", "+50.0", "+30.0 to +50.0"],
            ["4 retrieved, and rtd", "100.0%", "90.0% to 100.0%", "+100.0", "+90.0 to +100.0"],
        ]);
        expect(cellsOf(all(page, "table")[1]!)[2]).toEqual(["rtd", "97.0%", "87.0% to 97.0%", "+87.0", "+75.0 to +100.0"]);
        expect(cellsOf(all(sectionOf(page, "Costs"), "table")[0]!).slice(1)).toEqual([
            ["model", "21", ""],
            ["rtd", "21", "5.60 MB"],
            ["3-shot, seed 1", "90", ""],
            ["3-shot, seed 1, and rtd", "90", "5.60 MB"],
            ["4 retrieved", "110", ""],
            ["4 retrieved, and rtd", "110", "5.60 MB"],
        ]);
    });
});

describe("the report of tuning", () => {
    const tried = [1, 16, 64].flatMap((k) =>
        [0.2, 0.4].flatMap((temperatureScale) =>
            [0.5, 0.9].map((referenceWeight) => ({
                space: "16 heads",
                k,
                temperatureScale,
                referenceWeight,
                score: -1 - 1 / k - (referenceWeight - 0.5) - (temperatureScale - 0.2),
            })),
        ),
    );
    const at = (k: number, temperatureScale = 0.2, referenceWeight = 0.5) =>
        tried.find((one) => one.k === k && one.temperatureScale === temperatureScale && one.referenceWeight === referenceWeight)!;
    const tuned: TuneReport = {
        rows: 500,
        model: -1.9,
        before: at(16, 0.4, 0.9),
        best: at(64),
        chosen: at(16),
        gain: gain(0.647, 0.5, 0.8),
        isSimpler: true,
        spaces: [{ ...at(1), space: "keys as they are" }, at(64)],
        gate: undefined,
        tried,
        layers: undefined,
        seconds: 53.1,
    };
    const page = pageOf(tuningReport(tuned, { ...provenance, data: [] }));

    it("says what was there, what was best, and what was taken", () => {
        expect(summaryOf(page)).toEqual([
            "The best setting gains 0.6470 (95% interval: 0.5000 to 0.8000) over what was there.",
            "As good as the best within noise, and taken: k 16 for 64.",
            "The datastore keeps it as its defaults.",
        ]);
        expect(cellsOf(all(page, "table")[0]!).slice(1)).toEqual([
            ["model alone", "", "", "", "", "\u22121.9000"],
            ["as it was", "16 heads", "16", "0.4", "0.9", "\u22121.6625"],
            ["best", "16 heads", "64", "0.2", "0.5", "\u22121.0156"],
            ["kept", "16 heads", "16", "0.2", "0.5", "\u22121.0625"],
        ]);
        expect(cellsOf(all(sectionOf(page, "By space"), "table")[0]!).slice(1)).toEqual([
            ["keys as they are", "1", "0.2", "0.5", "\u22122.0000"],
            ["16 heads", "64", "0.2", "0.5", "\u22121.0156"],
        ]);
        expect(factsOf(page)).toMatchObject({
            data: "the datastore's own examples",
            "settings tried": "12",
            "rows asked": "500",
        });
    });

    it("says what other layers would do, where that was asked", () => {
        const layers = [
            { layer: undefined, best: at(1), gain: undefined },
            { layer: "l_out-28", best: at(64), gain: gain(0.98, 0.9, 1.1) },
        ];
        const own = sectionOf(pageOf(tuningReport({ ...tuned, layers }, provenance)), "By layer");
        expect(cellsOf(all(own, "table")[0]!).slice(1)).toEqual([
            ["last norm", "1", "0.2", "0.5", "\u22122.0000"],
            ["l_out-28", "64", "0.2", "0.5", "\u22121.0156"],
        ]);
        expect(textOf(own)).toContain("build a store with --layer l_out-28");
    });

    it("has a curve over each setting, of the best over the others", () => {
        expect(cellsOf(all(sectionOf(page, "By k"), "table")[0]!)).toEqual([
            ["k (hits of a token)", "model alone", "best of each"],
            ["1", "\u22121.9000", "\u22122.0000"],
            ["16", "\u22121.9000", "\u22121.0625"],
            ["64", "\u22121.9000", "\u22121.0156"],
        ]);
        for (const [title, rows] of [
            [
                "By temperature",
                [
                    ["0.2", "\u22121.0156"],
                    ["0.4", "\u22121.2156"],
                ],
            ],
            [
                "By weight",
                [
                    ["0.5", "\u22121.0156"],
                    ["0.9", "\u22121.4156"],
                ],
            ],
        ] as const)
            // prettier-ignore
            expect(cellsOf(all(sectionOf(page, title), "table")[0]!).slice(1)).toEqual(rows);
        const labels = all(sectionOf(page, "By k"), "text")
            .filter(({ attributes }) => /\blabel\b/.test(attributes["class"] ?? ""))
            .map(textOf);
        expect(labels.sort()).toEqual(["as it was", "best", "kept", "model alone"]);
    });

    it("says what came of a gate", () => {
        const gate = { bias: 1, hitEntropy: -1, largestVote: 2, modelEntropy: 0, maxWeight: 1 };
        const tried = { ...at(64), gate, gain: gain(0.02, 0.01, 0.03), isTaken: true };
        const gated = pageOf(tuningReport({ ...tuned, gate: tried, chosen: tried }, provenance));
        expect(summaryOf(gated)[2]).toBe(
            "A gate (k 64, temperature scale 0.2) scores 0.0200 (95%: 0.0100 to 0.0300) above the fixed weight, and is taken.",
        );
        expect(cellsOf(all(gated, "table")[0]!).at(-1)).toEqual(["kept", "16 heads", "64", "0.2", "gate", "\u22121.0156"]);
        const left = { ...tried, gain: gain(0.001, -0.01, 0.01), isTaken: false };
        expect(summaryOf(pageOf(tuningReport({ ...tuned, gate: left }, provenance)))[2]).toContain("the weight stays fixed");
    });

    it("says which simpler space was taken", () => {
        const simpler = { ...tuned, chosen: { ...at(1), space: "keys as they are" } };
        expect(summaryOf(pageOf(tuningReport(simpler, provenance)))[1]).toBe(
            "As good as the best within noise, and taken: keys as they are, k 1 for 16 heads, k 64.",
        );
    });

    it("says where nothing is changed", () => {
        const noise = { ...tuned, gain: gain(0.01, -0.01, 0.03), chosen: tuned.before, isSimpler: false };
        expect(summaryOf(pageOf(tuningReport(noise, provenance)))).toEqual([
            "The best setting is within noise of what was there: 0.0100 (95% interval: \u22120.0100 to 0.0300) more.",
            "Nothing is changed.",
        ]);
        const dry = pageOf(tuningReport(tuned, provenance, { isDryRun: true }));
        expect(summaryOf(dry).at(-1)).toBe("A dry run: nothing is changed.");
        expect(textOf(dry)).toContain("would be kept");
    });
});
