import { describe, expect, it } from "vitest";

import { mulberry32 } from "../../lib/recipes/cut.js";
import { fitGate, gateWeights, type GateRows } from "../../lib/tuning/gate.js";

const random = mulberry32(4);
const count = 20_000;

/** Rows whose right answers come from the reference with a probability that a gate gives, else from the model. */
function rowsOf(gate: { bias: number; hitEntropy: number; largestVote: number; modelEntropy: number }): GateRows {
    const column = (most: number) => Float64Array.from({ length: count }, () => random() * most);
    const [hitEntropy, largestVote, modelEntropy] = [column(4), column(1), column(8)];
    const [model, reference] = [new Float64Array(count), new Float64Array(count)];
    for (let i = 0; i < count; i++) {
        const x =
            gate.bias +
            gate.hitEntropy * hitEntropy[i]! +
            gate.largestVote * largestVote[i]! +
            gate.modelEntropy * modelEntropy[i]!;
        const isReference = random() < 1 / (1 + Math.exp(-x));
        // What the other one gives to the answer is chance.
        const [likely, chance] = [0.5 + 0.5 * random(), 0.02 * random()];
        model[i] = isReference ? chance : likely;
        reference[i] = isReference ? likely : chance;
    }
    return { model, reference, hitEntropy, largestVote, modelEntropy };
}

const likelihood = (rows: GateRows, weights: (i: number) => number) =>
    rows.model.reduce((sum, p, i) => sum + Math.log((1 - weights(i)) * p + weights(i) * rows.reference[i]!), 0) / count;

describe("a fitted gate", () => {
    it("finds the gate that made the rows", () => {
        const made = { bias: -1, hitEntropy: -0.8, largestVote: 3, modelEntropy: 0.2 };
        const fitted = fitGate(rowsOf(made));
        expect(fitted.bias).toBeCloseTo(made.bias, 0);
        expect(fitted.hitEntropy).toBeCloseTo(made.hitEntropy, 0);
        expect(Math.abs(fitted.largestVote - made.largestVote)).toBeLessThan(0.4);
        expect(fitted.modelEntropy).toBeCloseTo(made.modelEntropy, 1);
    });

    it("makes the answers as probable as no fixed weight and no gate near it does", () => {
        const rows = rowsOf({ bias: 0.5, hitEntropy: -1, largestVote: 1, modelEntropy: 0 });
        const gate = fitGate(rows);
        const weights = gateWeights(gate, rows);
        const reached = likelihood(rows, (i) => weights[i]!);
        for (let a = 0.05; a < 1; a += 0.05) expect(likelihood(rows, () => a)).toBeLessThan(reached);
        for (const name of ["bias", "hitEntropy", "largestVote", "modelEntropy"] as const)
            for (const by of [-0.3, 0.3]) {
                const other = gateWeights({ ...gate, [name]: gate[name] + by }, rows);
                expect(likelihood(rows, (i) => other[i]!)).toBeLessThan(reached);
            }
    });

    it("gives a reference nothing that is never right, and stays finite where one always is", () => {
        const rows = rowsOf({ bias: 0, hitEntropy: 0, largestVote: 0, modelEntropy: 0 });
        rows.reference.fill(0);
        expect(Math.max(...gateWeights(fitGate(rows), rows))).toBeLessThan(0.01);
        rows.reference.fill(1);
        rows.model.fill(0);
        const always = fitGate(rows);
        expect(Object.values(always).every(Number.isFinite)).toBe(true);
        expect(Math.min(...gateWeights(always, rows))).toBeGreaterThan(0.9);
    });
});
