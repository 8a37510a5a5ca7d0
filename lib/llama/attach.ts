import { describe, expectFunction, invalid } from "../arguments.js";
import { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import type { LlamaContext } from "../node-llama-cpp.js";
import { expectOptions } from "../option-names.js";
import { isIndex, type ReferenceIndex } from "../reference-index.js";
import type { FuseRowOptions, Hits, RowOptions, RowStatus } from "../types.js";
import { Attachment } from "./attachment.js";
import { layerName, type Layer } from "./layer.js";

/** What is merged into a row of logits. */
export interface ReferenceOptions extends RowOptions, FuseRowOptions {
    /** Whether rows are looked at at all. Default true. */
    enabled?: boolean | undefined;
}

export interface AttachOptions extends ReferenceOptions {
    /**
     * Told of every row of logits that was looked at, in the order they were computed: copies, the listener's to keep. Steps are delivered after the
     * decode they belong to, one at a time; if it returns a promise the next step waits for it. Decoding does not: steps that a slow listener leaves
     * no room for (64 MiB) are dropped and counted in `stats.droppedSteps`. Rows of weight 0 are searched too, for the listener's sake.
     */
    onStep?: ((step: Step) => void | Promise<void>) | undefined;
    /** Told of what `onStep` throws. Default: it becomes an uncaught exception, as does what `onError` itself throws. */
    onError?: ((error: unknown) => void) | undefined;
    /** Threads of the searches. Default: as the index was created. */
    threads?: number | undefined;
    /** Whose states are searched for: those that the keys were recorded from. Default: as the store was built, else after the last norm. */
    layer?: Layer | undefined;
}

/** One row of logits: the state after the token at `position` of `sequence`, and the distribution of the token that follows. */
export interface Step {
    /** llama.cpp's number of the sequence. */
    sequence: number;
    position: number;
    /** The hidden state that was searched for. */
    hidden: Float32Array;
    /** The logits as they were sampled from. */
    logits: Float32Array;
    /** The row's hits: `k` for each head. */
    hits: Hits;
    status: RowStatus;
}

/** What a recipe keeps in a store's metadata. */
interface Defaults {
    k?: number;
    referenceWeight?: number;
    /** Of the median distance that the index's own temperature is 0.4 times of. */
    temperatureScale?: number;
}

interface Resolved {
    index: ReferenceIndex;
    defaults: ReferenceOptions;
    layer: string | undefined;
}

const scaleOfOwnTemperature = 0.4;

/**
 * Merges a reference into everything that is decoded on a context from now on, before it is sampled: chat sessions, completions, grammars, JSON
 * schemas, function calls, streaming, token bias, token prediction and context shift work as ever. Defaults are those that the store's recipe chose,
 * else `k` 16 and `referenceWeight` 0.5 at the index's own temperature. Entries added to the reference later are found from the next token on.
 *
 * The context keeps the attachment, and the attachment the entries: nobody has to hold either. It ends by {@link Attachment.detach} or with the
 * context. A context has one attachment; a second one is `ERR_RTD_EXISTS`.
 *
 * If merging fails, the evaluation rejects with an `RtdError` and the context keeps none of that batch's tokens; so it does if the model's graph has no
 * states of the layer's name (`ERR_RTD_INVALID_ARGUMENT`), which only a graph can tell.
 * @throws RtdError `ERR_RTD_UNSUPPORTED` (platform, build of llama.cpp, kind of context, a store of pooled keys; nothing was changed), `ERR_RTD_EXISTS`, `ERR_RTD_CLOSED`,
 * `ERR_RTD_INVALID_ARGUMENT`, `ERR_RTD_TOKEN_RANGE` (a reference for another model), `ERR_RTD_NO_TEMPERATURE` (seal the index, or give one)
 */
export async function attach(
    context: LlamaContext,
    reference: ReferenceIndex | Datastore,
    options: AttachOptions = {},
): Promise<Attachment> {
    expectOptions(options, "attach");
    const { onStep, onError, threads, layer: wanted, ...given } = options;
    expectFunction(onStep, "onStep");
    expectFunction(onError, "onError");
    const { index, defaults, layer } = resolve(reference, layerName(wanted));
    // Asynchronous, so that a runtime or build that needs to be asked first can be without a new interface; errors are rejections from the start.
    await Promise.resolve();
    return new Attachment(context, index, { ...defaults, ...given }, { onStep, onError, threads, layer });
}

function resolve(reference: ReferenceIndex | Datastore, wanted: string | undefined): Resolved {
    if (isIndex(reference)) return { index: reference, defaults: {}, layer: wanted };
    if (!(reference instanceof Datastore))
        return invalid(`reference: expected an index (createIndex) or a store (Datastore.open), got ${describe(reference)}`);
    if (reference.metadata["pooling"] !== undefined)
        throw new RtdError(
            "ERR_RTD_UNSUPPORTED",
            `the keys of ${reference.path} are means over the tokens of whole texts, which no token that is decoded has: use classify() or ` +
                "evaluate() (rtd classify, rtd eval), or build a store without pooling",
        );
    const { k, referenceWeight, temperatureScale } = (reference.metadata["defaults"] ?? {}) as Defaults;
    const kept = reference.metadata["layer"];
    const layer = typeof kept === "string" ? kept : wanted;
    if (wanted !== undefined && wanted !== layer)
        invalid(`layer: the keys of ${reference.path} are states of ${layer}, not of ${wanted}; leave the option out`);
    const own = reference.index.temperature;
    const temperature =
        temperatureScale === undefined || own === undefined ? undefined : (own * temperatureScale) / scaleOfOwnTemperature;
    return { index: reference.index, defaults: { k, referenceWeight, temperature }, layer };
}
