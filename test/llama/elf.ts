/** What of an ELF file's tables tells whether its calls can be redirected. 64-bit, little-endian. */
import { readFileSync } from "node:fs";

export interface ElfImports {
    machine: "x86_64" | "aarch64" | "other";
    soname: string;
    /** Symbols that are called through lazy-binding slots. */
    jumpSlots: Set<string>;
    /** Whether the dynamic linker is told to bind everything at once and write-protect the slots. */
    bindNow: boolean;
}

const jumpSlotTypes = { x86_64: 7, aarch64: 1026, other: -1 };
const [dtJumpRel, dtSoname, dtFlags, dtBindNow, dtFlags1] = [23n, 14n, 30n, 24n, 0x6ffffffbn];

export function readElf(path: string): ElfImports {
    const file = readFileSync(path);
    if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
        throw new Error(`${path} is not a 64-bit little-endian ELF file`);
    const machine = ({ 62: "x86_64", 183: "aarch64" } as const)[file.readUInt16LE(18)] ?? "other";
    const sections = readSections(file);
    const byType = (type: number) => sections.find((section) => section.type === type);
    const [dynamic, symbols] = [byType(6), byType(11)];
    if (dynamic === undefined || symbols === undefined) throw new Error(`${path} has no dynamic section`);
    const strings = sections[symbols.link]!;
    const text = (at: number) => file.toString("latin1", strings.offset + at, file.indexOf(0, strings.offset + at));

    const entries: [bigint, bigint][] = [];
    for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16)
        entries.push([file.readBigInt64LE(at), file.readBigUInt64LE(at + 8)]);
    const valueOf = (tag: bigint) => entries.find(([found]) => found === tag)?.[1];

    const jumps = sections.find((section) => section.address === valueOf(dtJumpRel) && section.type === 4);
    const jumpSlots = new Set<string>();
    for (let at = jumps?.offset ?? 0; jumps !== undefined && at < jumps.offset + jumps.size; at += 24) {
        if (file.readUInt32LE(at + 8) !== jumpSlotTypes[machine]) continue;
        jumpSlots.add(text(file.readUInt32LE(symbols.offset + 24 * file.readUInt32LE(at + 12))));
    }
    const bindNow =
        valueOf(dtBindNow) !== undefined || ((valueOf(dtFlags) ?? 0n) & 8n) !== 0n || ((valueOf(dtFlags1) ?? 0n) & 1n) !== 0n;
    return { machine, soname: text(Number(valueOf(dtSoname) ?? 0n)), jumpSlots, bindNow };
}

interface Section {
    type: number;
    address: bigint;
    offset: number;
    size: number;
    link: number;
}

function readSections(file: Buffer): Section[] {
    const [start, size, count] = [Number(file.readBigUInt64LE(40)), file.readUInt16LE(58), file.readUInt16LE(60)];
    return Array.from({ length: count }, (_, i) => {
        const at = start + i * size;
        return {
            type: file.readUInt32LE(at + 4),
            address: file.readBigUInt64LE(at + 16),
            offset: Number(file.readBigUInt64LE(at + 24)),
            size: Number(file.readBigUInt64LE(at + 32)),
            link: file.readUInt32LE(at + 40),
        };
    });
}
