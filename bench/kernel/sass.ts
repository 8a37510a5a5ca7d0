/** What the compiler made of a kernel: the assembler's log and the instructions of the scan loop. */

export interface Loop {
    /** All of the loop's instructions, also those of the branches that seldom run. */
    instructions: number;
    /** FADD and FFMA. */
    arithmetic: number;
    /** 16 bytes a lane from global memory: LDGSTS.128, or LDG.128 before sm_80. */
    copies: number;
    /** 16 and 8 bytes a lane from shared memory. */
    lds128: number;
    lds64: number;
    barriers: number;
    fences: number;
}

/** Of a whole kernel: sums of codes, by four and by the tensor cores. */
export interface Codes {
    dp4a: number;
    imma: number;
}

export interface Usage {
    registers: number;
    spilledBytes: number;
    staticSharedBytes: number;
}

export interface Instruction {
    address: number;
    text: string;
}

/** Per kernel, by its mangled name, from the log of `ptxas -v`. */
export function usages(log: string): Map<string, Usage> {
    const found = new Map<string, Usage>();
    let kernel = "";
    let spilledBytes = 0;
    for (const line of log.split("\n")) {
        const entry = /Compiling entry function '(\S+)'/.exec(line);
        const spill = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
        const used = /Used (\d+) registers/.exec(line);
        if (entry) kernel = entry[1]!;
        if (spill) spilledBytes = Number(spill[1]) + Number(spill[2]);
        const apart = spill && found.get(kernel); // of a function that the kernel calls, which comes after it
        if (apart) apart.spilledBytes += spilledBytes;
        if (used) {
            const shared = /(\d+) bytes smem/.exec(line);
            found.set(kernel, { registers: Number(used[1]), spilledBytes, staticSharedBytes: Number(shared?.[1] ?? 0) });
        }
    }
    return found;
}

/** An instruction of cuobjdump's listing, if the line holds one. */
export function instructionOf(line: string): Instruction | undefined {
    const found = /^\s+\/\*([0-9a-f]{4,5})\*\/\s+(.*?);/.exec(line);
    return found ? { address: parseInt(found[1]!, 16), text: found[2]! } : undefined;
}

const isCopy = (text: string): boolean => /LDGSTS.*\.128|LDG\.E\.128/.test(text);
const isArithmetic = (text: string): boolean => /FADD|FFMA/.test(text);

export function codesOf(kernel: Instruction[]): Codes {
    const count = (name: RegExp): number => kernel.filter((i) => name.test(i.text)).length;
    return { dp4a: count(/\bIDP\.4A\.U8\.S8\b/), imma: count(/\bIMMA\.(16832|8816)\.U8\.S8\b/) };
}

/**
 * The shortest way back that holds at least four copies, a barrier and arithmetic, and no sums of codes, as the loops of a cascade do; the loop for
 * queries that are not aligned is longer.
 */
export function scanLoop(kernel: Instruction[]): Loop {
    let best: Instruction[] = [];
    for (const { address, text } of kernel) {
        const target = parseInt(/BRA(?:\.\w+)*\s.*?0x([0-9a-f]+)/.exec(text)?.[1] ?? "", 16);
        if (!(target < address)) continue;
        const body = kernel.filter((i) => i.address >= target && i.address <= address);
        const copies = body.filter((i) => isCopy(i.text)).length;
        const isScan =
            copies >= 4 &&
            !body.some((i) => /IMMA|IDP/.test(i.text)) &&
            [isArithmetic, (t: string) => t.includes("BAR.SYNC")].every((is) => body.some((i) => is(i.text)));
        if (isScan && (best.length === 0 || body.length < best.length)) best = body;
    }
    const count = (is: (text: string) => boolean): number => best.filter((i) => is(i.text)).length;
    return {
        instructions: best.length,
        arithmetic: count(isArithmetic),
        copies: count(isCopy),
        lds128: count((t) => /LDS\.(U\.)?128/.test(t)), // sm_75 writes LDS.U.128
        lds64: count((t) => /LDS\.(U\.)?64/.test(t)),
        barriers: count((t) => t.includes("BAR.SYNC")),
        fences: count((t) => t.includes("MEMBAR")),
    };
}
