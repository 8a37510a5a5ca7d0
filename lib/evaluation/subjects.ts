/** Figures by what the rows are about, of data whose rows say so. */
import type { Passage } from "../recipes/passage.js";

export type BySubject<Figures> = ({ subject: string } & Figures)[];

/** `figuresOf` gets the numbers of a subject's passages. Subjects in alphabetical order; passages without one count in none. */
export function bySubject<Figures>(
    passages: readonly Passage[],
    figuresOf: (rows: readonly number[]) => Figures,
): BySubject<Figures> {
    const rowsOf = new Map<string, number[]>();
    for (const [row, { subject }] of passages.entries()) {
        if (subject === undefined) continue;
        const rows = rowsOf.get(subject);
        if (rows === undefined) rowsOf.set(subject, [row]);
        else rows.push(row);
    }
    return [...rowsOf].sort(([a], [b]) => (a < b ? -1 : 1)).map(([subject, rows]) => ({ subject, ...figuresOf(rows) }));
}
