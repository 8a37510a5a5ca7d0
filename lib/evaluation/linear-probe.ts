/**
 * Multinomial logistic regression on the reference's own keys: what the same examples are worth to a classifier that is trained. The yardstick of a
 * datastore that is not.
 */
import { mulberry32 } from "../recipes/cut.js";

export interface LinearProbe {
    /** Log-probabilities of the classes, [rows, classes]. */
    predict(keys: Float32Array): Float64Array;
    /** The penalty that was chosen, per example and squared weight. */
    penalty: number;
}

/** One in so many examples chooses the penalty. */
const validationShare = 5;
const penalties = [1e-4, 1e-3, 1e-2, 1e-1] as const;
const mostSteps = 150;

/** keys: [rows, dim]; labels: their classes, 0 to classes - 1. Keys are standardised per dimension; the penalty is chosen on a fifth of the examples. */
export function fitLinearProbe(keys: Float32Array, labels: Int32Array, dim: number, classes: number): LinearProbe {
    const { mean, scale } = momentsOf(keys, dim);
    const standardised = (from: Float32Array): Float32Array =>
        from.map((value, i) => (value - (mean[i % dim] as number)) * (scale[i % dim] as number));
    const rows = standardised(keys);
    const order = shuffledRows(labels.length);
    const held = order.slice(0, Math.floor(labels.length / validationShare));
    const rest = order.slice(held.length);
    let best = { penalty: penalties[1] as number, loss: Infinity };
    if (held.length > 0)
        for (const penalty of penalties) {
            const weights = fit(rows, labels, rest, dim, classes, penalty);
            const loss = meanLoss(rows, labels, held, dim, classes, weights);
            if (loss < best.loss) best = { penalty, loss };
        }
    const weights = fit(rows, labels, order, dim, classes, best.penalty);
    return {
        penalty: best.penalty,
        predict: (from) => {
            const asked = standardised(from);
            const count = asked.length / dim;
            const predicted = new Float64Array(count * classes);
            for (let row = 0; row < count; row++)
                predicted.set(logSoftmax(scores(asked, row, dim, classes, weights)), row * classes);
            return predicted;
        },
    };
}

function momentsOf(keys: Float32Array, dim: number): { mean: Float64Array; scale: Float64Array } {
    const count = keys.length / dim;
    const mean = new Float64Array(dim);
    const squares = new Float64Array(dim);
    for (let i = 0; i < keys.length; i++) mean[i % dim]! += (keys[i] as number) / count;
    for (let i = 0; i < keys.length; i++) squares[i % dim]! += ((keys[i] as number) - mean[i % dim]!) ** 2 / count;
    return { mean, scale: squares.map((variance) => (variance > 0 ? 1 / Math.sqrt(variance) : 0)) };
}

function shuffledRows(count: number): number[] {
    const random = mulberry32(1);
    return Array.from({ length: count }, (_, row) => ({ row, at: random() }))
        .sort((a, b) => a.at - b.at)
        .map(({ row }) => row);
}

/** weights: [classes, dim + 1], the last of each a constant. */
function scores(rows: Float32Array, row: number, dim: number, classes: number, weights: Float64Array): Float64Array {
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

function meanLoss(
    rows: Float32Array,
    labels: Int32Array,
    of: readonly number[],
    dim: number,
    classes: number,
    weights: Float64Array,
): number {
    let loss = 0;
    for (const row of of) loss -= logSoftmax(scores(rows, row, dim, classes, weights))[labels[row] as number] as number;
    return loss / of.length;
}

/** Nesterov's accelerated gradient descent with restarts (O'Donoghue and Candès 2015), on mean loss + penalty / 2 x the squared weights. */
function fit(
    rows: Float32Array,
    labels: Int32Array,
    of: readonly number[],
    dim: number,
    classes: number,
    penalty: number,
): Float64Array {
    const size = classes * (dim + 1);
    const step = 1 / (largestCurvature(rows, of, dim) / 2 + penalty);
    const gradient = new Float64Array(size);
    let weights = new Float64Array(size);
    let ahead = new Float64Array(size);
    let momentum = 1;
    for (let i = 0; i < mostSteps; i++) {
        gradientAt(ahead, gradient);
        const next = ahead.map((weight, j) => weight - step * (gradient[j] as number));
        let uphill = 0;
        for (let j = 0; j < size; j++) uphill += (gradient[j] as number) * ((next[j] as number) - (weights[j] as number));
        const nextMomentum = uphill > 0 ? 1 : (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2;
        const share = uphill > 0 ? 0 : (momentum - 1) / nextMomentum;
        ahead = next.map((weight, j) => weight + share * (weight - (weights[j] as number)));
        weights = next;
        momentum = nextMomentum;
    }
    return weights;

    function gradientAt(at: Float64Array, to: Float64Array): void {
        to.fill(0);
        for (const row of of) {
            const probabilities = logSoftmax(scores(rows, row, dim, classes, at));
            for (let c = 0; c < classes; c++) {
                const error = (Math.exp(probabilities[c] as number) - (labels[row] === c ? 1 : 0)) / of.length;
                const first = c * (dim + 1);
                for (let i = 0; i < dim; i++) to[first + i]! += error * (rows[row * dim + i] as number);
                to[first + dim]! += error;
            }
        }
        for (let c = 0; c < classes; c++)
            for (let i = 0; i < dim; i++) to[c * (dim + 1) + i]! += penalty * (at[c * (dim + 1) + i] as number);
    }
}

/** The largest eigenvalue of the rows' second moments (with the constant), by power iteration, and a little more: half of it bounds the loss's curvature. */
function largestCurvature(rows: Float32Array, of: readonly number[], dim: number): number {
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
