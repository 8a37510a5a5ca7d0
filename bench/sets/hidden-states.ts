/** Real keys: the hidden states of a model over Moby Dick, recorded once into a datastore under the user's cache; or those of any datastore. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { cacheDirectory } from "../../lib/cache-directory.js";
import type { ProgressLine } from "../../lib/cli/progress.js";
import { withModel } from "../../lib/cli/with-model.js";
import { Datastore } from "../../lib/datastore.js";
import type { Dtype, IndexInfo } from "../../lib/types.js";
import { fetchDemoModel } from "../../lib/demo/fetch-model.js";
import { fullSizes, textTask } from "../../lib/demo/tasks.js";
import { hashFile } from "../../lib/recipes/source.js";
import { buildDatastore } from "../../lib/recipes/build.js";
import { copies, expectMemory, NoSet, randomBits, split, type KeySet } from "./key-set.js";

/** States that are recorded: all there are of the text, or with `--quick` as many as a few seconds allow and a cascade needs. */
export const recordedStates = { full: fullSizes.text.references, quick: 8_192 } as const;

/** The model that everything is recorded and decoded with: a given file, or the demo's. */
export async function benchModel(given: string | undefined, line: ProgressLine, signal: AbortSignal): Promise<string> {
    try {
        return given ?? (await fetchDemoModel((text) => line.note(`fetching the model, ${text}`), signal));
    } catch (error) {
        signal.throwIfAborted();
        throw new NoSet(`there is no model to record with: ${(error as Error).message}`);
    }
}

/** The datastore of recorded states: `count` of them, or more where they are there already. Recording goes on where an earlier run was interrupted. */
export async function recordedStore(model: string, count: number, line: ProgressLine, signal: AbortSignal): Promise<string> {
    const folder = join(cacheDirectory(), "bench");
    const pathOf = async (states: number) => join(folder, `moby-dick-${(await hashFile(model)).slice(0, 12)}-${states}.rtd`);
    const whole = await pathOf(recordedStates.full);
    const path = await pathOf(count);
    for (const there of [whole, path])
        if (await holds(there, there === whole ? recordedStates.full : count)) {
            await expectCascade(there);
            return there;
        }
    await mkdir(folder, { recursive: true });
    const { data } = textTask({ ...fullSizes.text, references: count }).references;
    const onProgress: ProgressLine["update"] = (progress) => line.update(progress, "recording hidden states");
    await withModel({ model, gpu: false, json: true }, signal, (model) =>
        buildDatastore({ path, model, task: "text", data: [data], limit: count, signal, onProgress }),
    );
    return path;
}

/** An older version may have recorded a store, whose cascade is then of no use: it is made anew. */
async function expectCascade(path: string): Promise<void> {
    const store = await Datastore.open(path, { verify: false });
    const { cascaded } = store.index.info();
    await store.close();
    if (cascaded > 0) return;
    await using writable = await Datastore.open(path, { writable: true, verify: false });
    await writable.seal();
}

async function holds(path: string, count: number): Promise<boolean> {
    if (!existsSync(join(path, "manifest.json"))) return false;
    const store = await Datastore.open(path, { verify: false, cascade: "off" });
    const { entries } = store.index;
    await store.close();
    return entries >= count;
}

/** How a datastore is searched. @throws RtdError as `Datastore.open` */
export async function kindOfStore(path: string): Promise<Pick<IndexInfo, "metric" | "dtype" | "heads">> {
    const store = await Datastore.open(path, { verify: false, cascade: "off" });
    const { metric, dtype, heads } = store.index;
    await store.close();
    return { metric, dtype, heads };
}

/** A store's keys as they are kept, [entries, dim]. */
async function keysOfStore(path: string): Promise<{ d: number; dtype: Dtype; rows: Float32Array }> {
    const store = await Datastore.open(path, { verify: false, cascade: "off" });
    try {
        const { dim, dtype, entries } = store.index;
        expectMemory(path, entries, dim, copies.exact);
        return { d: dim, dtype, rows: store.index.keysOf(Uint32Array.from({ length: entries }, (_, i) => i)) };
    } finally {
        await store.close();
    }
}

/** `n`: so many of them, or more than there are by {@link mixture}. `peers`: those that will search them, which takes memory. */
export async function hiddenStates(
    name: string,
    path: string,
    n = Infinity,
    peers: keyof typeof copies = "exact",
): Promise<KeySet> {
    const { d, dtype, rows } = await keysOfStore(path);
    const recorded = { ...split(name, rows, d), dtype };
    if (n === Infinity) return recorded;
    return n <= recorded.n ? split(name, rows, d, n) : mixture(recorded, n, peers);
}

/**
 * More keys than were recorded: each a recorded one moved by a part of the difference of two others, which has the data's own covariance (twice), and the
 * whole drawn together about the mean by as much as that has spread it, so that the spectrum stays as it was.
 */
export function mixture(recorded: KeySet, n: number, peers: keyof typeof copies = "exact"): KeySet {
    const { d, keys } = recorded;
    expectMemory(recorded.name, n, d, copies[peers]);
    const share = 0.3; // of the data's variance that is added
    const [noise, shrink] = [Math.sqrt(share / 2), 1 / Math.sqrt(1 + share)];
    const mean = new Float64Array(d);
    for (let i = 0; i < keys.length; i++) mean[i % d]! += keys[i]! / recorded.n;
    const mixed = new Float32Array(n * d);
    mixed.set(keys);
    const bits = randomBits(13);
    for (let row = recorded.n; row < n; row++) {
        const [x, a, b] = [row % recorded.n, bits() % recorded.n, bits() % recorded.n];
        for (let i = 0; i < d; i++) {
            const moved = keys[x * d + i]! + noise * (keys[a * d + i]! - keys[b * d + i]!);
            mixed[row * d + i] = mean[i]! + shrink * (moved - mean[i]!);
        }
    }
    return { ...recorded, n, keys: mixed };
}
