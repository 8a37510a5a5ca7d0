/** Sets of ann-benchmarks as h5py writes them, which is what theirs are written by. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { isMissing } from "../../bench/peers/peer.js";
import { readHdf5 } from "../../bench/sets/hdf5.js";
import type { KeySet } from "../../bench/sets/key-set.js";
import { packageRoot } from "../../lib/package-root.js";

const folder = mkdtempSync(path.join(tmpdir(), "rtd-hdf5-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const python = path.join(packageRoot, "build", "python", "bin", "python");

/** train[i, j] = i + j / 4, test[i, j] = 2 i, neighbors by numpy. `body` changes the file's handle f. */
function write(name: string, body = ""): string {
    const file = path.join(folder, name);
    const program = `
import h5py, numpy as np
train = (np.arange(300)[:, None] + np.arange(5)[None, :] / 4).astype(np.float32)
test = np.tile(np.arange(7)[:, None] * 2, 5).astype(np.float32)
with h5py.File(${JSON.stringify(file)}, "w") as f:
    f.attrs["distance"] = "euclidean"
    f.create_dataset("train", data=train, chunks=(64, 5), compression="gzip")
    f["test"] = test
    f["neighbors"] = np.argsort(((test[:, None] - train[None]) ** 2).sum(2), axis=1)[:, :10].astype(np.int32)
    f["distances"] = np.zeros((7, 10), np.float32)
${body.replaceAll(/^/gm, "    ")}
`;
    execFileSync(python, ["-c", program]);
    return file;
}

async function read(file: string): Promise<KeySet> {
    const set = await readHdf5(file);
    if (isMissing(set)) throw new Error(set.reason);
    return set;
}

it("says what is no HDF5 file, or not there", async () => {
    await expect(readHdf5(path.join(folder, "none.hdf5"))).rejects.toThrow(/none\.hdf5: no such file/);
    writeFileSync(path.join(folder, "text.hdf5"), "not one");
    await expect(readHdf5(path.join(folder, "text.hdf5"))).rejects.toThrow(
        /text\.hdf5: not an HDF5 file; expected a set of ann-benchmarks/,
    );
});

// The suite "python" of npm test demands h5py.
describe.runIf(spawnSync(python, ["-c", "import h5py"]).status === 0)("a set that h5py wrote", () => {
    it("is read whole", async () => {
        const { d, n, keys, queries, neighbors } = await read(write("good.hdf5"));
        expect([d, n, keys.length, queries.length]).toEqual([5, 300, 1500, 35]);
        expect(Array.from(keys.subarray(-5))).toEqual([299, 299.25, 299.5, 299.75, 300]);
        expect(Array.from(queries.subarray(5, 11))).toEqual([2, 2, 2, 2, 2, 4]);
        // Of the seventh query, all 12: keys 11 to 12 and 12 to 13 are as near.
        expect([neighbors!.k, neighbors!.ids.length, Array.from(neighbors!.ids.subarray(60, 62)).sort()]).toEqual([
            10,
            70,
            [11, 12],
        ]);
    });

    it("has vectors of length 1 where angles count", async () => {
        const { keys } = await read(write("angular.hdf5", 'f.attrs["distance"] = "angular"'));
        const last = [299, 299.25, 299.5, 299.75, 300];
        expect(Math.hypot(...keys.subarray(-5))).toBeCloseTo(1, 6);
        expect(keys.at(-1)).toBeCloseTo(300 / Math.hypot(...last), 6);
    });

    it.each([
        ["lacks a matrix", 'del f["neighbors"]', /"neighbors" is missing or not a matrix/],
        ["has queries of another length", 'del f["test"]; f["test"] = test[:, :4]', /test is \[7, 4\] beside train \[300, 5\]/],
        ["has another distance", 'f.attrs["distance"] = "jaccard"', /the distance is "jaccard"/],
        ["names a key it has not", 'f["neighbors"][3, 2] = 300', /an id that is not from 0 to 299/],
    ])("that %s is refused", async (name, body, message) => {
        await expect(readHdf5(write(`${name}.hdf5`, body))).rejects.toThrow(message);
    });
});
