/** What commands print on stdout. */

/** Columns side by side, numbers and names alike to the left; with `markdown` as a table of that kind. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], { markdown = false } = {}): string {
    const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)));
    const cells = (row: readonly string[]) => widths.map((width, column) => (row[column] ?? "").padEnd(width));
    const line = (row: readonly string[]) => (markdown ? `| ${cells(row).join(" | ")} |` : cells(row).join("   ").trimEnd());
    const rule = markdown
        ? `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`
        : widths.map((width) => "-".repeat(width)).join("   ");
    return [line(head), rule, ...rows.map(line)].join("\n");
}

/** Name and value pairs, one a line; undefined values are left out. */
export function properties(values: Readonly<Record<string, string | number | undefined>>): string {
    const present = Object.entries(values).filter(([, value]) => value !== undefined);
    const width = Math.max(...present.map(([name]) => name.length));
    return present.map(([name, value]) => `${name.padEnd(width)}   ${value}`).join("\n");
}

export function print(text: string): void {
    process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
    print(JSON.stringify(value, null, 2));
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** "27.9 ns", "1.25 ms", "1.17 s". */
export function milliseconds(value: number): string {
    if (value < 1e-3) return `${(1e6 * value).toPrecision(3)} ns`;
    if (value < 1) return `${(1e3 * value).toPrecision(3)} µs`;
    return value < 1000 ? `${value.toPrecision(3)} ms` : `${(value / 1000).toPrecision(3)} s`;
}
