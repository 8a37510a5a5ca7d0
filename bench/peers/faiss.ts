import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";

import { packageRoot } from "../../lib/package-root.js";
import { peersFolder, peerVersions, type Missing } from "../optional.js";
import type { KeySet } from "../sets/key-set.js";
import type { OpenPeer, Peer, PeerMetric } from "./peer.js";

/** The Python of `npm run bench:peers`, else the one in PATH, which may be that of a virtual environment. */
const pythons = [join(peersFolder, "python", "bin", "python"), "python3"];
const rowsAtOnce = 8192;

/** A Python process that answers one request at a time. */
class Faiss {
    readonly #lines: AsyncIterator<string>;
    readonly #failed: Promise<never>;
    #stderr = "";

    constructor(private readonly child: ChildProcessWithoutNullStreams) {
        this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
        child.stderr.on("data", (text: Buffer) => (this.#stderr += text.toString()));
        this.#failed = new Promise((_, reject) => child.once("error", reject));
        this.#failed.catch(() => undefined); // answer() says it
        child.stdin.on("error", () => undefined); // what it said on stderr says more
    }

    static start(python: string): Faiss {
        // Threads that spin after a search would take the processor from whatever is timed next. Ctrl-C is for this process, which then closes its stdin.
        const env = { ...process.env, OMP_WAIT_POLICY: "passive" };
        return new Faiss(spawn(python, [join(packageRoot, "bench", "peers", "faiss_process.py")], { env, detached: true }));
    }

    async answer(): Promise<Record<string, unknown>> {
        const line = await Promise.race([this.#lines.next(), this.#failed]);
        if (line.done) throw new Error(`FAISS: ${this.#stderr.trim().split("\n").at(-1) || "the process ended"}`);
        return JSON.parse(line.value) as Record<string, unknown>;
    }

    async load({ keys, queries, n, d }: KeySet, metric: PeerMetric, ivf: boolean): Promise<void> {
        const m = queries.length / d;
        const parts = function* () {
            yield Buffer.from(`${JSON.stringify({ load: { n, d, m, metric, ivf } })}\n`);
            for (const rows of [keys, queries])
                for (let begin = 0; begin < rows.length; begin += rowsAtOnce * d) {
                    const part = rows.subarray(begin, begin + rowsAtOnce * d);
                    yield Buffer.from(part.buffer, part.byteOffset, part.byteLength);
                }
        };
        Readable.from(parts()).pipe(this.child.stdin, { end: false });
        await this.answer();
    }

    async search(first: number, batch: number, k: number, threads: number): Promise<{ ids: number[]; milliseconds: number }> {
        this.child.stdin.write(`${JSON.stringify({ search: { first, batch, k, threads } })}\n`);
        const { ms, ids } = (await this.answer()) as { ms: number; ids: number[] };
        return { ids, milliseconds: ms };
    }

    end(): void {
        this.child.stdin.end();
    }
}

/** FAISS through Python: its flat index, which is exact, and an inverted file that looks at 16 of sqrt(n) lists, which is not. */
export async function faiss(): Promise<Peer[] | Missing> {
    const [found, reason] = await find();
    if (found === undefined)
        return { name: "faiss", reason, install: `python3 -m pip install faiss-cpu==${peerVersions["faiss-cpu"]}` };
    const peer = (name: string, ivf: boolean): Peer => ({
        name,
        version: found.version,
        isExact: !ivf,
        keepsKeys: true,
        cancellation: 2 ** -20,
        async open(set, metric): Promise<OpenPeer> {
            const process = Faiss.start(found.python);
            await process.answer();
            await process.load(set, metric, ivf);
            return {
                bytes: () => (ivf ? null : set.keys.byteLength),
                search: (...wanted) => process.search(...wanted),
                close: () => process.end(),
            };
        },
    });
    return [peer("faiss", false), peer("faiss ivf", true)];
}

async function find(): Promise<[{ python: string; version: string } | undefined, string]> {
    const reasons: string[] = [];
    for (const python of pythons) {
        if (python.includes("/") && !existsSync(python)) continue;
        try {
            const process = Faiss.start(python);
            const { version } = await process.answer();
            process.end();
            return [{ python, version: String(version) }, ""];
        } catch (error) {
            reasons.push(`${python}: ${(error as Error).message}`);
        }
    }
    return [undefined, reasons.join("; ")];
}
