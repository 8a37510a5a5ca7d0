/** Instruction counts against the committed ones. */
import { table } from "../../lib/cli/output.js";
import { counted } from "../../lib/report/units.js";

export interface Baseline {
    /** What compiled the counted program, and for which processors. */
    compiler: string;
    /** By back end and loop. */
    instructions: Record<string, number>;
}

/** Counts repeat to the instruction from run to run, whatever the environment; this much is left for another release of the compiler's or the library's headers. */
const tolerance = 0.001;

const howToAccept = `If the change is meant, accept it: node dist/bench/instructions/count.js --accept, and commit bench/instructions/baseline.json.`;

export function compareCounts(baseline: Baseline, now: Baseline): { lines: string[]; passed: number; failed: number } {
    const names = [...new Set([...Object.keys(baseline.instructions), ...Object.keys(now.instructions)])];
    let failed = 0;
    const rows = names.map((name) => {
        const [before, after] = [baseline.instructions[name], now.instructions[name]];
        const change = before === undefined || after === undefined ? NaN : after / before - 1;
        const isSame = Math.abs(change) <= tolerance;
        if (!isSame) failed++;
        const text = Number.isNaN(change)
            ? before === undefined
                ? "new"
                : "gone"
            : `${change > 0 ? "+" : ""}${(100 * change).toFixed(2)}%`;
        return [
            name,
            ...[before, after].map((value) => (value === undefined ? "-" : counted(value))),
            text,
            isSame ? "" : "CHANGED",
        ];
    });
    const lines = [table(["instructions", "baseline", "now", "change", ""], rows)];
    if (failed > 0) lines.push(`${failed} counts differ by more than ${100 * tolerance}%. ${howToAccept}`);
    return { lines, passed: names.length - failed, failed };
}
