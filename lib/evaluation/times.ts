/** How long the model takes over prompts, and the reference over a token, on this machine and beside whatever else it does. */
import { fuseSync } from "../fusion.js";
import type { Passage } from "../recipes/passage.js";
import { recordPassage, withRecorder } from "../recipes/recording.js";
import type { RunOptions } from "./model-run.js";
import type { EvaluateOptions, Fusion } from "./options.js";

export interface Times {
    /** Milliseconds in which the model reads one token of a prompt, several at a time. */
    promptToken: number;
    /** Milliseconds that the reference adds to a token: one search of the datastore and one merge into the logits of the whole vocabulary. */
    reference: number;
}

/** Tokens that are read and rows that are merged: few, as a figure of two digits needs no more. */
const enough = { tokens: 512, rows: 32 } as const;

export async function measureTimes(
    { store, model, threads, lora, layer, signal }: EvaluateOptions & Pick<RunOptions, "layer">,
    passages: readonly Passage[],
    { k, temperature, referenceWeight }: Fusion,
): Promise<Times> {
    const some = firstPassages(passages);
    const row = { dim: model.embeddingVectorSize, count: 0, searching: 0 };
    const reading = { tokens: 0, milliseconds: 0 };
    await withRecorder(model, some, { threads, lora, layer }, async (recorder) => {
        const [first] = some;
        if (first !== undefined) await recordPassage(recorder, first, { logits: true }); // what only a first run costs
        for (const passage of some) {
            signal?.throwIfAborted();
            const started = performance.now();
            const { hidden, logits } = await recordPassage(recorder, passage, { logits: true });
            reading.milliseconds += performance.now() - started;
            reading.tokens += passage.tokens.length;
            const vocabulary = logits.length / passage.values.length;
            for (let i = 0; i < passage.values.length && row.count < enough.rows; i++, row.count++) {
                const begun = performance.now();
                const hits = await store.index.search(hidden.subarray(i * row.dim, (i + 1) * row.dim), { k, signal });
                fuseSync(hits, logits.subarray(i * vocabulary, (i + 1) * vocabulary), { temperature, referenceWeight });
                row.searching += performance.now() - begun;
            }
        }
    });
    return { promptToken: reading.milliseconds / reading.tokens, reference: row.searching / row.count };
}

function firstPassages(passages: readonly Passage[]): Passage[] {
    let tokens = 0;
    const end = passages.findIndex((passage) => (tokens += passage.tokens.length) >= enough.tokens);
    return passages.slice(0, end < 0 ? passages.length : end + 1);
}
