/** Entries that are left out because the model needs no reference for them: it says their value with a high probability by itself. */
import { describe, invalid } from "../arguments.js";
import { logProbabilities } from "../fusion.js";
import type { Token } from "../node-llama-cpp.js";

/** Throws unless it is a probability or left out. */
export function expectPruning(pruneAbove: unknown): void {
    if (pruneAbove !== undefined && !(typeof pruneAbove === "number" && pruneAbove >= 0 && pruneAbove <= 1))
        invalid(`pruneAbove: expected a probability from 0 to 1, got ${describe(pruneAbove)}`);
}

/** The rows of logits [values, vocabulary] whose value is not above that probability. */
export function unprunedRows(logits: Float32Array, values: readonly Token[], pruneAbove: number): number[] {
    const own = logProbabilities(logits, logits.length / values.length, Int32Array.from(values));
    return Array.from(values.keys()).filter((row) => !(Math.exp(own[row] as number) > pruneAbove));
}

/** Some rows of a matrix of so many columns. */
export function selectRows(matrix: Float32Array, columns: number, rows: readonly number[]): Float32Array {
    const selected = new Float32Array(rows.length * columns);
    for (const [i, row] of rows.entries()) selected.set(matrix.subarray(row * columns, (row + 1) * columns), i * columns);
    return selected;
}
