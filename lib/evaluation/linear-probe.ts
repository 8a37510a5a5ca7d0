/**
 * Multinomial logistic regression on the reference's own keys: what the same examples are worth to a classifier that is trained. The yardstick of a
 * datastore that is not.
 */
import { setImmediate } from "node:timers/promises";

import { shuffle } from "../recipes/cut.js";
import { unitsOf } from "./bootstrap.js";

export interface LinearProbe {
    /** Log-probabilities of the classes, [rows, classes]. */
    predict(keys: Float32Array): Float64Array;
    /** The penalty that was chosen, per example and squared weight. */
    penalty: number;
}

/** One in so many examples chooses the penalty. */
const validationShare = 5;
/** From strong to weak: each fit begins where the last one ended. */
const penalties = [1e-1, 1e-2, 1e-3, 1e-4] as const;
const mostSteps = 80;
/** A gradient that is nowhere larger has arrived. */
const smallSlope = 2e-4;

interface Examples {
    /** [rows, dim], standardised. */
    rows: Float32Array;
    labels: Int32Array;
    /** Those that count. */
    of: readonly number[];
    dim: number;
    classes: number;
}

export interface LinearProbeOptions {
    /** The example that each row is of: rows of one choose the penalty together or not at all. Without, each row is an example. */
    examples?: ArrayLike<number> | undefined;
    signal?: AbortSignal | undefined;
}

/** keys: [rows, dim]; labels: their classes, 0 to classes - 1. Keys are standardised per dimension; the penalty is chosen on a fifth of the examples. */
export async function fitLinearProbe(
    keys: Float32Array,
    labels: Int32Array,
    dim: number,
    classes: number,
    { examples = labels.map((_, row) => row), signal }: LinearProbeOptions = {},
): Promise<LinearProbe> {
    const { mean, scale } = momentsOf(keys, dim);
    const standardised = (from: Float32Array): Float32Array =>
        from.map((value, i) => (value - (mean[i % dim] as number)) * (scale[i % dim] as number));
    const rows = standardised(keys);
    const [held, others] = splitByExample(examples);
    const some = (of: readonly number[]): Examples => ({ rows, labels, of, dim, classes });
    const all = some([...labels.keys()]);
    const curvature = largestCurvature(all);
    const none = new Float64Array(classes * (dim + 1));
    let best = { penalty: penalties[1] as number, loss: Infinity, weights: none as Float64Array };
    let weights: Float64Array = none;
    if (held.length > 0)
        for (const penalty of penalties) {
            weights = await fit(some(others), penalty, curvature, weights, signal);
            const loss = meanLoss(some(held), weights);
            if (loss > best.loss) break; // weaker ones only fit more closely
            best = { penalty, loss, weights };
        }
    const final = await fit(all, best.penalty, curvature, best.weights, signal);
    return {
        penalty: best.penalty,
        predict: (from) => {
            const asked = { ...some([]), rows: standardised(from) };
            const count = asked.rows.length / dim;
            const predicted = new Float64Array(count * classes);
            for (let row = 0; row < count; row++) predicted.set(logSoftmax(scores(asked, row, final)), row * classes);
            return predicted;
        },
    };
}

/** The rows of a fifth of the examples, by chance but always the same, and those of all others. */
function splitByExample(examples: ArrayLike<number>): [number[], number[]] {
    const units = unitsOf(Array.from(examples));
    const order = shuffle([...new Set(units)], 1);
    const held = new Set(order.slice(0, Math.floor(order.length / validationShare)));
    const rows = [...units.keys()];
    return [rows.filter((row) => held.has(units[row] as number)), rows.filter((row) => !held.has(units[row] as number))];
}

function momentsOf(keys: Float32Array, dim: number): { mean: Float64Array; scale: Float64Array } {
    const count = keys.length / dim;
    const mean = new Float64Array(dim);
    const squares = new Float64Array(dim);
    for (let i = 0; i < keys.length; i++) mean[i % dim]! += (keys[i] as number) / count;
    for (let i = 0; i < keys.length; i++) squares[i % dim]! += ((keys[i] as number) - mean[i % dim]!) ** 2 / count;
    // What hardly varies is rounding, and says nothing.
    const isVarying = (variance: number, i: number) => variance > 1e-10 * mean[i]! ** 2;
    return { mean, scale: squares.map((variance, i) => (isVarying(variance, i) ? 1 / Math.sqrt(variance) : 0)) };
}

/** weights: [classes, dim + 1], the last of each a constant. */
function scores({ rows, dim, classes }: Examples, row: number, weights: Float64Array): Float64Array {
    const result = new Float64Array(classes);
    for (let c = 0; c < classes; c++) {
        const first = c * (dim + 1);
        let sum = weights[first + dim] as number;
        for (let i = 0; i < dim; i++) sum += (weights[first + i] as number) * (rows[row * dim + i] as number);
        result[c] = sum;
    }
    return result;
}

export function logSoftmax(values: ArrayLike<number>): Float64Array {
    let largest = -Infinity;
    for (let i = 0; i < values.length; i++) largest = Math.max(largest, values[i] as number);
    if (largest === -Infinity) return new Float64Array(values.length).fill(-Math.log(values.length)); // nothing is known
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += Math.exp((values[i] as number) - largest);
    return Float64Array.from(values, (value) => value - largest - Math.log(sum));
}

function meanLoss(examples: Examples, weights: Float64Array): number {
    const { labels, of } = examples;
    let loss = 0;
    for (const row of of) loss -= logSoftmax(scores(examples, row, weights))[labels[row] as number] as number;
    return loss / of.length;
}

/** Nesterov's accelerated gradient descent with restarts (O'Donoghue and Candès 2015), on mean loss + penalty / 2 x the squared weights. */
async function fit(
    examples: Examples,
    penalty: number,
    curvature: number,
    from: Float64Array,
    signal?: AbortSignal,
): Promise<Float64Array> {
    const step = 1 / (curvature / 2 + penalty);
    let weights = from;
    let ahead = from;
    let momentum = 1;
    for (let i = 0; i < mostSteps; i++) {
        await setImmediate(); // so that others have their turn, and Ctrl-C is heard
        signal?.throwIfAborted();
        const gradient = gradientAt(examples, penalty, ahead);
        if (gradient.every((slope) => Math.abs(slope) < smallSlope)) break;
        const next = ahead.map((weight, j) => weight - step * (gradient[j] as number));
        let uphill = 0;
        for (let j = 0; j < next.length; j++) uphill += (gradient[j] as number) * ((next[j] as number) - (weights[j] as number));
        const nextMomentum = uphill > 0 ? 1 : (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2;
        const share = uphill > 0 ? 0 : (momentum - 1) / nextMomentum;
        ahead = next.map((weight, j) => weight + share * (weight - (weights[j] as number)));
        weights = next;
        momentum = nextMomentum;
    }
    return weights;
}

function gradientAt(examples: Examples, penalty: number, at: Float64Array): Float64Array {
    const { rows, labels, of, dim, classes } = examples;
    const gradient = new Float64Array(at.length);
    for (const row of of) {
        const logProbabilities = logSoftmax(scores(examples, row, at));
        for (let c = 0; c < classes; c++) {
            const error = (Math.exp(logProbabilities[c] as number) - (labels[row] === c ? 1 : 0)) / of.length;
            const first = c * (dim + 1);
            for (let i = 0; i < dim; i++) gradient[first + i]! += error * (rows[row * dim + i] as number);
            gradient[first + dim]! += error;
        }
    }
    for (let c = 0; c < classes; c++)
        for (let i = c * (dim + 1); i < c * (dim + 1) + dim; i++) gradient[i]! += penalty * (at[i] as number);
    return gradient;
}

/** The largest eigenvalue of the rows' second moments (with the constant), by power iteration, and a little more: half of it bounds the loss's curvature. */
function largestCurvature({ rows, of, dim }: Examples): number {
    let direction = new Float64Array(dim + 1).fill(1 / Math.sqrt(dim + 1));
    let value = 0;
    for (let iteration = 0; iteration < 15; iteration++) {
        const next = new Float64Array(dim + 1);
        for (const row of of) {
            let dot = direction[dim] as number;
            for (let i = 0; i < dim; i++) dot += (direction[i] as number) * (rows[row * dim + i] as number);
            for (let i = 0; i < dim; i++) next[i]! += (dot * (rows[row * dim + i] as number)) / of.length;
            next[dim]! += dot / of.length;
        }
        value = Math.sqrt(next.reduce((sum, x) => sum + x * x, 0));
        direction = next.map((x) => x / value);
    }
    return 1.1 * value;
}
