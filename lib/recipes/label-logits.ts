/**
 * The model's own logits of the label tokens at references' prompts, unlabelled: evaluation matches the model's prior to them. Kept in a
 * store's metadata as base64 of float32, row by row, -infinity for labels that a row is not open to.
 */
export const maxReferences = 2048;
const maxValues = 1 << 16;

export class LabelLogits {
    private values: number[];
    private readonly capacity: number;

    /** `encoded` continues what an earlier run kept. */
    constructor(
        private readonly labels: number,
        encoded?: string,
    ) {
        this.values = encoded === undefined ? [] : [...decode(encoded)];
        this.capacity = Math.min(maxReferences, Math.floor(maxValues / labels));
    }

    get rows(): number {
        return Math.floor(this.values.length / this.labels);
    }

    /** Forgets rows beyond the first ones. */
    cut(rows: number): void {
        this.values = this.values.slice(0, rows * this.labels);
    }

    /** Keeps a row unless there are enough. */
    add(row: readonly number[]): void {
        if (this.rows < this.capacity) this.values.push(...row);
    }

    encode(): string {
        return Buffer.from(Float32Array.from(this.values).buffer).toString("base64");
    }

    row(index: number): number[] {
        return this.values.slice(index * this.labels, (index + 1) * this.labels);
    }
}

function decode(encoded: string): Float32Array {
    const bytes = Uint8Array.from(Buffer.from(encoded, "base64"));
    return new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / 4));
}

/** The logits of the first `open` of the labels in a row of logits, the others masked: of a label's spellings that of their sum. */
export function labelLogitsOf(logits: Float32Array, tokens: readonly (readonly number[])[], open = tokens.length): number[] {
    return tokens.map((spellings, i) => (i < open ? logSumExp(spellings.map((token) => logits[token] as number)) : -Infinity));
}

/** The logarithm of the sum of what the values are logarithms of; of one value itself. */
export function logSumExp(values: readonly number[]): number {
    const largest = Math.max(...values);
    if (values.length === 1 || !Number.isFinite(largest)) return largest;
    return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}
