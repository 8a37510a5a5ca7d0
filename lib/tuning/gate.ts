/**
 * A gate over the reference: a = sigmoid(b . x) of what is known of a row before it is merged, fitted so that the mixture (1 - a) p + a r makes the
 * right answers most probable. That is a mixture of two experts with a logistic gate (Jordan & Jacobs 1994), and is fitted by their
 * expectation-maximisation, whose likelihood never falls.
 */

import type { Gate } from "../types.js";

/** Rows to fit a gate to, and what it sees of each. */
export interface GateRows {
    /** Probabilities of the right answer: the model's and the reference's. */
    model: Float64Array;
    reference: Float64Array;
    /** Entropy of the reference distribution, nats. */
    hitEntropy: Float64Array;
    /** The largest probability in it. */
    largestVote: Float64Array;
    /** Entropy of the model's own distribution, nats. */
    modelEntropy: Float64Array;
}

const features = ["hitEntropy", "largestVote", "modelEntropy"] as const;
const iterations = 1000;
/** Of the squared coefficients of standardised features, a row: keeps them finite where answers separate. */
const penalty = 1e-3;

/** The weight of the reference in each row. */
export function gateWeights(gate: Gate, rows: Omit<GateRows, "model" | "reference">): Float64Array {
    return rows.hitEntropy.map(
        (_, i) =>
            gate.maxWeight * sigmoid(gate.bias + features.reduce((sum, name) => sum + gate[name] * (rows[name][i] as number), 0)),
    );
}

export function fitGate(rows: GateRows): Gate {
    const count = rows.model.length;
    const scales = features.map((name) => scaleOf(rows[name]));
    // Standardised, with a column of ones before them.
    const columns = [
        new Float64Array(count).fill(1),
        ...features.map((name, f) => rows[name].map((x) => (x - scales[f]!.mean) / scales[f]!.deviation)),
    ];
    const bound = columns.map((x, f) => Float64Array.from(columns, (y, g) => dot(x, y) / 4 + (f === g ? penalty * count : 0)));
    let b: Float64Array<ArrayBuffer> = new Float64Array(columns.length);
    b[0] = Math.log(0.1 / 0.9);
    for (let iteration = 0; iteration < iterations; iteration++) {
        const weights = weightsOf(b, columns);
        // How probably each right answer was the reference's.
        const credit = weights.map((a, i) => {
            const [p, r] = [(1 - a) * (rows.model[i] as number), a * (rows.reference[i] as number)];
            return p + r > 0 ? r / (p + r) : a;
        });
        const next = regress(columns, bound, credit, b);
        const moved = Math.max(...next.map((value, f) => Math.abs(value - (b[f] as number))));
        b = next;
        if (moved < 1e-5) break;
    }
    const [bias, ...slopes] = b as unknown as [number, number, number, number];
    const unscaled = slopes.map((slope, f) => slope / scales[f]!.deviation);
    const shift = unscaled.reduce((sum, slope, f) => sum + slope * scales[f]!.mean, 0);
    return { bias: bias - shift, hitEntropy: unscaled[0]!, largestVote: unscaled[1]!, modelEntropy: unscaled[2]!, maxWeight: 1 };
}

function dot(x: Float64Array, y: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += (x[i] as number) * (y[i] as number);
    return sum;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

function weightsOf(b: Float64Array, columns: readonly Float64Array[]): Float64Array {
    return columns[0]!.map((_, i) =>
        sigmoid(columns.reduce((sum, column, f) => sum + (b[f] as number) * (column[i] as number), 0)),
    );
}

function scaleOf(values: Float64Array): { mean: number; deviation: number } {
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
    return { mean, deviation: variance > 0 ? Math.sqrt(variance) : 1 };
}

/**
 * A step of logistic regression on shares, from where it stands. In place of the curvature its bound X'X / 4 (Bohning 1992), so no step goes too far:
 * each makes the shares more probable.
 */
function regress(
    columns: readonly Float64Array[],
    bound: readonly Float64Array[],
    shares: Float64Array,
    from: Float64Array,
): Float64Array<ArrayBuffer> {
    const [n, count] = [columns.length, shares.length];
    const weights = weightsOf(from, columns);
    const missing = shares.map((share, i) => share - (weights[i] as number));
    const gradient = Float64Array.from({ length: n }, (_, f) => {
        const held = f > 0 ? penalty * count * (from[f] as number) : 0;
        return dot(columns[f] as Float64Array, missing) - held;
    });
    const move = solve(
        bound.map((row) => row.slice()),
        gradient,
    );
    return Float64Array.from(from, (value, f) => value + (move[f] as number));
}

/** Of a symmetric positive definite system, by elimination. */
function solve(a: Float64Array[], right: Float64Array): Float64Array {
    const n = right.length;
    for (let k = 0; k < n; k++)
        for (let i = k + 1; i < n; i++) {
            const factor = (a[i]![k] as number) / (a[k]![k] as number);
            for (let j = k; j < n; j++) a[i]![j]! -= factor * (a[k]![j] as number);
            right[i]! -= factor * (right[k] as number);
        }
    const x = new Float64Array(n);
    for (let k = n - 1; k >= 0; k--) {
        let sum = right[k] as number;
        for (let j = k + 1; j < n; j++) sum -= (a[k]![j] as number) * (x[j] as number);
        x[k] = sum / (a[k]![k] as number);
    }
    return x;
}

/** A gate for each part of the rows, fitted to all others: what it makes of its own part is no memory. `partOf`: the part of each row. */
export function crossFittedWeights(rows: GateRows, partOf: (row: number) => number, parts: number): Float64Array {
    const weights = new Float64Array(rows.model.length);
    for (let part = 0; part < parts; part++) {
        const all = fitGate(selected(rows, (row) => partOf(row) !== part));
        gateWeights(all, rows).forEach((weight, row) => {
            if (partOf(row) === part) weights[row] = weight;
        });
    }
    return weights;
}

function selected(rows: GateRows, isTaken: (row: number) => boolean): GateRows {
    const some = (values: Float64Array) => values.filter((_, row) => isTaken(row));
    const { model, reference, hitEntropy, largestVote, modelEntropy } = rows;
    return {
        model: some(model),
        reference: some(reference),
        hitEntropy: some(hitEntropy),
        largestVote: some(largestVote),
        modelEntropy: some(modelEntropy),
    };
}
