import { describe, expect, it } from "vitest";

import { fitLinearProbe } from "../../lib/evaluation/linear-probe.js";
import { argmax } from "../../lib/evaluation/metrics.js";
import { mulberry32 } from "../../lib/recipes/cut.js";

/** Points about three centres, one dimension of which is always 7. */
function blobs(count: number, seed: number, spread: number) {
    const random = mulberry32(seed);
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const centres = [
        [0, 0],
        [4, 0],
        [0, 40], // another scale
    ];
    const labels = Int32Array.from({ length: count }, (_, i) => (i % 7 < 4 ? 0 : (i % 2) + 1));
    const keys = new Float32Array(count * 3);
    labels.forEach((label, row) =>
        keys.set([centres[label]![0]! + spread * normal(), centres[label]![1]! + 10 * spread * normal(), 7], row * 3),
    );
    return { keys, labels };
}

describe("the linear probe", async () => {
    const { keys, labels } = blobs(700, 1, 1);
    const probe = await fitLinearProbe(keys, labels, 3, 3);
    const rowsOf = (values: Float64Array) =>
        Array.from({ length: values.length / 3 }, (_, i) => values.subarray(3 * i, 3 * i + 3));

    it("tells what can be told apart of points it has not seen", () => {
        const other = blobs(700, 2, 1);
        const right = rowsOf(probe.predict(other.keys)).filter((row, i) => argmax(row) === other.labels[i]).length;
        expect(right / 700).toBeGreaterThan(0.95); // the best rule for these centres has 0.96
        expect(
            rowsOf(probe.predict(other.keys)).every(
                (row) => Math.abs(row.reduce((sum, log) => sum + Math.exp(log), 0) - 1) < 1e-9,
            ),
        ).toBe(true);
    });

    it("predicts each class as often as it occurs, as the best constant terms do", () => {
        const rows = rowsOf(probe.predict(keys));
        for (const c of [0, 1, 2]) {
            const predicted = rows.reduce((sum, row) => sum + Math.exp(row[c]!), 0) / 700;
            expect(predicted).toBeCloseTo(labels.filter((label) => label === c).length / 700, 3);
        }
    });

    it("chooses the penalty on examples that it has not seen in any rotation", async () => {
        // Labels by chance, each of 60 keys four times: only who has seen a key knows its label.
        const random = mulberry32(4);
        const own = Array.from({ length: 60 }, () => ({ key: Float32Array.from({ length: 30 }, () => random()), label: Math.floor(2 * random()) })); // prettier-ignore
        const four = (i: number) => own[Math.floor(i / 4)]!;
        const many = new Float32Array(240 * 30);
        for (let i = 0; i < 240; i++) many.set(four(i).key, i * 30);
        const classes = Int32Array.from({ length: 240 }, (_, i) => four(i).label);
        const examples = Uint32Array.from({ length: 240 }, (_, i) => Math.floor(i / 4));
        const { penalty } = await fitLinearProbe(many, classes, 30, 2, { examples });
        expect(penalty).toBe(0.1);
        expect((await fitLinearProbe(many, classes, 30, 2)).penalty).toBeLessThan(penalty);
    });

    it("takes a dimension that hardly varies for none", async () => {
        const flat = await fitLinearProbe(Float32Array.from({ length: 40 }, (_, i) => (i % 2 ? 0.1 : i % 4)), Int32Array.from({ length: 20 }, (_, i) => i % 2), 2, 2); // prettier-ignore
        const [near, off] = [flat.predict(Float32Array.of(2, 0.1)), flat.predict(Float32Array.of(2, 0.1001))];
        expect(off).toEqual(near);
    });

    it("does without a class, and with one example", async () => {
        const few = await fitLinearProbe(Float32Array.of(1, 2, 3), Int32Array.of(1), 3, 3);
        expect(argmax(few.predict(Float32Array.of(0, 0, 0)))).toBe(1);
    });
});
