/** Layers that are tried on a sample, against stores that are built of them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";

import { Datastore, tune } from "../../lib/index.js";
import { buildDatastore, type BuildOptions } from "../../lib/recipes/build.js";
import { layerOutcome, type LayerTrial } from "../../lib/tuning/layers.js";
import { noiseModel } from "../llama/models.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-layers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const labels = join(folder, "labels.jsonl");
const rows = Array.from({ length: 30 }, (_, i) => ({ text: `${(i * 37) % 101} legs`, label: ["ant", "bee"][i % 2] }));
writeFileSync(labels, rows.map((row) => JSON.stringify(row)).join("\n"));
const prompt = "{text} is (an)\n";
const text = join(folder, "text.txt");
writeFileSync(text, Array.from({ length: 900 }, (_, i) => String.fromCharCode(97 + ((i * i) % 23))).join(""));

async function build(name: string, options: Partial<BuildOptions>): Promise<Datastore> {
    const path = join(folder, name);
    await buildDatastore({ path, model: await noiseModel(), task: "label", data: [labels], threads: 1, ...options });
    return Datastore.open(path, { writable: true, threads: 1 });
}

describe("layers", () => {
    it.each([
        ["labels", 5, { task: "label", data: [labels], prompt }],
        ["pruned labels", 5, { task: "label", data: [labels], prompt, pruneAbove: 0.02 }],
        ["a text", 2, { task: "text", data: [text] }],
    ] as const)("score as stores do that are built of them: %s", async (name, digits, recipe) => {
        const model = await noiseModel();
        await using store = await build(`${name}.rtd`, recipe);
        expect(store.size).toBeGreaterThan(10);
        const { layers, best } = await tune({ store, model, layers: [0, "l_out-0"], keepSpace: true, dryRun: true, threads: 1 });
        await using other = await build(`${name} of another layer.rtd`, { ...recipe, layer: 0 });
        const expected = await tune({ store: other, model, keepSpace: true, dryRun: true, threads: 1 });
        expect(layers!.map(({ layer }) => layer)).toEqual([undefined, "l_out-0"]);
        for (const [trial, found] of [
            [layers![0]!, best],
            [layers![1]!, expected.best],
        ] as const) {
            // prettier-ignore
            expect(trial.best.score).toBeCloseTo(found.score, digits); // the sample of a text is in another order, and so is that of its temperature
            expect(trial.best.temperatureScale).toBe(found.temperatureScale);
        }
        expect(expected.best.score).not.toBeCloseTo(best.score, 3);
        const { gain } = layers![1]!;
        expect(gain!.value).toBeCloseTo(expected.best.score - best.score, digits);
        expect(gain!.interval[0]).toBeLessThan(gain!.value);
        expect(layers![0]!.gain).toBeUndefined();
    });

    it("are refused where they are no layers, and of other data", async () => {
        const model = await noiseModel();
        await using store = await build("refused.rtd", { prompt });
        const tuning = { store, model, dryRun: true, keepSpace: true };
        await expect(tune({ ...tuning, layers: ["none-7"] })).rejects.toThrow("layer: this model's graph has n");
        const onProgress = vi.fn(); // no run of the model before
        const soon = { ...tuning, onProgress };
        await expect(tune({ ...soon, layers: [-1] })).rejects.toThrow("layer: expected the name of states");
        await expect(tune({ ...soon, layers: 7 as never })).rejects.toThrow("layers: expected an array, got 7");
        await expect(tune({ ...soon, dryRun: "no" as never })).rejects.toThrow('dryRun: expected true or false, got "no"');
        await expect(tune({ ...soon, keepSpace: 1 as never })).rejects.toThrow("keepSpace: expected true or false, got 1");
        await expect(tune({ ...soon, data: [labels], offset: -1 })).rejects.toThrow("offset: expected a whole number");
        await expect(tune({ ...soon, model: {} as never })).rejects.toThrow("model: expected a LlamaModel");
        expect(onProgress).not.toHaveBeenCalled();
        await expect(tune({ ...tuning, layers: [0], data: [labels] })).rejects.toThrow("leave out layers, or data");
    });

    it("are told of where one is better beyond noise", () => {
        const best = { space: "", k: 1, temperatureScale: 1, referenceWeight: 1, score: -1 };
        const trial = (layer: string | undefined, score: number, low: number): LayerTrial => ({
            layer,
            best: { ...best, score },
            gain: { value: score + 1, interval: [low, score + 2] },
        });
        const own: LayerTrial = { layer: "l_out-3", best, gain: undefined };
        expect(layerOutcome([own, trial("l_out-1", -0.5, -0.1)])).toMatch(/^No other layer/);
        expect(layerOutcome([own, trial("l_out-1", -0.5, 0.1), trial("l_out-2", -0.4, 0.2)])).toContain(
            "with --layer l_out-2 and",
        );
        expect(layerOutcome([own, trial(undefined, -0.5, 0.1)])).toContain("The states of the last norm score 0.5000");
        expect(layerOutcome([own, trial(undefined, -0.5, 0.1)])).toContain("without --layer");
    });
});
