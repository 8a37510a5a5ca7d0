/**
 * In-context examples that a store's prompts have before them, chosen once when it is built and kept in its metadata: its keys are states after them, so whatever is
 * asked of the store stands after them too.
 */
import { expectWhole, invalid } from "../arguments.js";
import { RtdError } from "../errors.js";
import { cutRows, shuffle, type Cut } from "./cut.js";
import { askedBy, type Row, type Task } from "./data.js";
import type { Shots } from "./passage.js";

/** As the metadata keeps them; rows themselves, as data files move. */
export interface StoredShots {
    seed: number;
    rows: Row[];
}

export interface ShotOptions {
    /** Label and chat stores: so many of the rows stand answered before each prompt. Default 0: none. */
    shots?: number | undefined;
    /** Which rows they are. Default 1. */
    shotSeed?: number | undefined;
}

/** The rows of a cut that a seed chooses as in-context examples; undefined for none. @throws RtdError `ERR_RTD_INVALID_ARGUMENT` */
export function chooseShots(
    rows: readonly Row[],
    task: Task,
    cut: Cut,
    { shots: count = 0, shotSeed: seed = 1 }: ShotOptions,
): StoredShots | undefined {
    expectWhole(count, "shots", 0);
    expectWhole(seed, "shotSeed", 0);
    if (count === 0) return undefined;
    if (task === "text") return invalid("shots are for tasks label and chat: a text has no prompts for them to stand before");
    const usable = cutRows(rows, cut);
    const [first] = usable;
    const other = usable.find(({ kind }) => kind !== first?.kind);
    if (other !== undefined)
        throw new RtdError(
            "ERR_RTD_BAD_FORMAT",
            `${other.file}:${other.line}: a row of kind ${other.kind} after others of kind ${first?.kind}; with in-context examples give one kind`,
        );
    if (usable.length <= count)
        return invalid(`shots: ${count} of ${usable.length} rows cannot stand before all of them; give fewer, or more data`);
    return { seed, rows: drawn(usable, count, seed) };
}

/** `count` rows that a seed chooses. */
export const drawn = <R>(rows: readonly R[], count: number, seed: number): R[] => shuffle(rows, seed).slice(0, count);

/** A store's in-context examples before its rows. One that asks the same as a row is left out there: it would give the answer away. */
export function shotsBefore(rows: readonly Row[], { rows: shots }: StoredShots): Shots<Row> {
    const asked = shots.map(askedBy);
    return (example) => {
        const own = askedBy(rows[example] as Row);
        return shots.filter((_, i) => asked[i] !== own);
    };
}

/** Whether metadata that was read back holds what {@link chooseShots} put there. */
export function isStoredShots(value: unknown): value is StoredShots {
    const { seed, rows } = (value ?? {}) as Partial<StoredShots>;
    return Number.isSafeInteger(seed) && Array.isArray(rows) && rows.length > 0 && rows.every(isRow);
}

function isRow(value: unknown): boolean {
    const { kind, ...row } = (value ?? {}) as Record<string, unknown>;
    const isText = (name: string) => typeof row[name] === "string";
    switch (kind) {
        case "labelled":
            return isText("text") && isText("label");
        case "choice":
            return isText("question") && Array.isArray(row["options"]) && Number.isSafeInteger(row["answer"]);
        case "completion":
            return isText("prompt") && isText("completion");
        case "conversation":
            return Array.isArray(row["messages"]);
        default:
            return false;
    }
}
