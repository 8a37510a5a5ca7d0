/**
 * Sets in the format of ann-benchmarks: an HDF5 file with `train` [n, d], `test` [m, d] and `neighbors` [m, k], and an attribute `distance`, which is
 * "euclidean" or "angular". Vectors of an angular set are scaled to length 1, where the order of angles is that of Euclidean distances.
 */
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename } from "node:path";

import type * as H5 from "h5wasm/node";

import { RtdError } from "../../lib/errors.js";
import { optional, type Missing } from "../optional.js";
import { copies, expectMemory, type KeySet } from "./key-set.js";

const signature = Buffer.from("\x89HDF\r\n\x1a\n", "latin1");

type Dataset = H5.Dataset;

/** Rows that are read at a time: the library keeps what it reads in memory of its own. */
const rowsAtOnce = 65_536;

export async function readHdf5(path: string): Promise<KeySet | Missing> {
    if (!existsSync(path)) throw new RtdError("ERR_RTD_NOT_FOUND", `${path}: no such file; give the path of an HDF5 file`);
    const bad = (what: string): never => {
        throw new RtdError(
            "ERR_RTD_BAD_FORMAT",
            `${path}: ${what}; expected a set of ann-benchmarks: train [n, d], test [m, d], neighbors [m, k]`,
        );
    };
    // The library says on stderr what is wrong with a file that is another one, at length.
    if (!(await beginOf(path)).equals(signature)) bad("not an HDF5 file");
    const h5 = await optional<typeof H5>("h5wasm/node");
    if ("install" in h5) return h5;
    await h5.ready;
    const file = new h5.File(path, "r");
    try {
        const get = (name: string): Dataset => {
            const found = file.get(name);
            if (!(found instanceof h5.Dataset) || found.shape?.length !== 2) return bad(`"${name}" is missing or not a matrix`);
            return found;
        };
        const [train, test, neighbors] = [get("train"), get("test"), get("neighbors")];
        const [n, d] = train.shape as [number, number];
        const [m, k] = neighbors.shape as [number, number];
        if (test.shape![0] !== m || test.shape![1] !== d)
            bad(`test is [${test.shape!.join(", ")}] beside train [${n}, ${d}] and neighbors [${m}, ${k}]`);
        const distance = file.attrs["distance"]?.value ?? "euclidean";
        if (distance !== "euclidean" && distance !== "angular")
            bad(`the distance is ${JSON.stringify(distance)}, and only euclidean and angular are known here`);
        expectMemory(basename(path), n, d, copies.exact);
        const [keys, queries] = [new Float32Array(n * d), new Float32Array(m * d)];
        readInto(train, keys);
        readInto(test, queries);
        const ids = new Int32Array(m * k);
        readInto(neighbors, ids);
        if (ids.some((id) => id < 0 || id >= n)) bad(`neighbors holds an id that is not from 0 to ${n - 1}`);
        if (distance === "angular") for (const rows of [keys, queries]) scaleToOne(rows, d);
        return { name: basename(path), d, n, keys, queries, neighbors: { ids, k } };
    } finally {
        file.close();
    }
}

async function beginOf(path: string): Promise<Buffer> {
    const file = await open(path);
    try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(signature.length), 0, signature.length, 0);
        return buffer.subarray(0, bytesRead);
    } finally {
        await file.close();
    }
}

function readInto(dataset: Dataset, out: Float32Array | Int32Array): void {
    const [rows, columns] = dataset.shape as [number, number];
    for (let row = 0; row < rows; row += rowsAtOnce) {
        const part = dataset.slice([[row, Math.min(rows, row + rowsAtOnce)], []]) as ArrayLike<number | bigint>;
        for (let i = 0; i < part.length; i++) out[row * columns + i] = Number(part[i]);
    }
}

function scaleToOne(rows: Float32Array, d: number): void {
    for (let begin = 0; begin < rows.length; begin += d) {
        const row = rows.subarray(begin, begin + d);
        const length = Math.hypot(...row);
        if (length > 0) row.forEach((value, i) => (row[i] = value / length));
    }
}
