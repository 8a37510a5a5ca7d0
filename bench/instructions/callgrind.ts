/** Instructions of one program, from what callgrind writes. */

/**
 * Adds up the instructions that functions of one binary execute themselves. Those of shared libraries do not count: the C library has its own `memcpy` and the
 * like for every processor.
 */
export function instructionsOf(profile: string, binary: string): number {
    const names = new Map<string, string>();
    let isOwn = false;
    let isCallCost = false;
    let sum = 0;
    for (const line of profile.split("\n")) {
        const object = /^c?ob=(\(\d+\))(?: (.*))?$/.exec(line);
        if (object) {
            const [, id, name] = object;
            if (name !== undefined) names.set(id!, name);
            if (!line.startsWith("c")) isOwn = (names.get(id!) ?? "").endsWith(`/${binary}`);
        } else if (line.startsWith("calls=")) {
            isCallCost = true; // the next line is what the callee cost, which is counted where it is
        } else if (/^[\d+*-]/.test(line)) {
            if (isOwn && !isCallCost) sum += Number(line.split(" ")[1]);
            isCallCost = false;
        }
    }
    return sum;
}
