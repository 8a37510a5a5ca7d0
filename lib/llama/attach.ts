import { describe, expectFlag, expectFunction, invalid } from "../arguments.js";
import { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import { matchedTokenBiasOf } from "../evaluation/matched-bias.js";
import type { LlamaContext } from "../node-llama-cpp.js";
import { expectOptions } from "../option-names.js";
import { isIndex, ownTemperatureScale, type ReferenceIndex } from "../reference-index.js";
import type { FuseRowOptions, Gate, Hits, RowFigures, RowOptions, RowStatus } from "../types.js";
import { Attachment, overlaid } from "./attachment.js";
import { layerName, type Layer } from "./layer.js";

/** What is merged into a row of logits. */
export interface ReferenceOptions extends RowOptions, FuseRowOptions {
    /** Whether rows are looked at at all. Default true. */
    enabled?: boolean | undefined;
}

export interface AttachOptions extends ReferenceOptions {
    /**
     * Whether a label store's matched bias is the default of `bias`: one number per label under which the model's mean prediction at the references'
     * own prompts is uniform, computed once from what `rtd build` recorded there, without the references' labels. A wrong prior over the label words
     * is much of a small model's error; `rtd eval` says what this is worth for a store. Default true; nothing for other stores and for indexes. A
     * `bias` that is given replaces it.
     */
    matchedBias?: boolean | undefined;
    /**
     * Told of every row of logits that was looked at, in the order they were computed: copies, the listener's to keep. Steps are delivered after the
     * decode they belong to, one at a time; if it returns a promise the next step waits for it. Decoding does not: steps that a slow listener leaves
     * no room for (64 MiB) are dropped and counted in `stats.droppedSteps`. Rows of weight 0 are searched too, for the listener's sake.
     */
    onStep?: ((step: Step) => void | Promise<void>) | undefined;
    /** Told of what `onStep` throws. Default: it becomes an uncaught exception, as does what `onError` itself throws. */
    onError?: ((error: unknown) => void) | undefined;
    /**
     * Weighs each row by a rule of your own, before its token is sampled: see {@link Rule}. Options say what it leaves open. Decoding waits for it, so
     * it should take no longer than a fraction of a token.
     */
    rule?: Rule | undefined;
    /** Threads of the searches. Default: as the index was created. */
    threads?: number | undefined;
    /** Whose states are searched for: those that the keys were recorded from. Default: as the store was built, else after the last norm. */
    layer?: Layer | undefined;
}

/** What a {@link Rule} goes by: copies, the rule's to keep. */
export type RuleRow = Pick<Step, "sequence" | "position" | "hits" | "figures">;

/** What a {@link Rule} says of a row; what it leaves out is as the row's options have it. */
export interface Decision {
    /** 0 to 1, also in a gate's place. */
    referenceWeight?: number | undefined;
    /** Above 0. */
    temperature?: number | undefined;
}

/**
 * Called once for every row of logits that is looked at, those of weight 0 and without hits included, in the order they were computed; for tokens of a
 * predictor that are refuted later, too. `figures` are those of the row's options: with nothing returned that is how it is merged. It must decide at
 * once, not by a promise. What it throws rejects the evaluation of the whole batch as `ERR_RTD_RULE` with its `cause`, anything else than a decision as
 * `ERR_RTD_INVALID_ARGUMENT`; the context then keeps none of the batch's tokens. If it detaches the attachment, that row and those after it are left as
 * they are.
 */
export type Rule = (row: RuleRow) => Decision | undefined | void;

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
    /** What the row was weighed by; those of a row that was not searched (its hidden state is not finite) say nothing. */
    figures: RowFigures;
    status: RowStatus;
}

/** What a recipe keeps in a store's metadata. */
interface Defaults {
    k?: number;
    referenceWeight?: number;
    /** In place of {@link ownTemperatureScale}. */
    temperatureScale?: number;
    gate?: Gate;
}

interface Resolved {
    index: ReferenceIndex;
    defaults: ReferenceOptions;
    layer: string | undefined;
}

/**
 * Merges a reference into everything that is decoded on a context from now on, before it is sampled: chat sessions, completions, grammars, JSON
 * schemas, function calls, streaming, token bias, token prediction and context shift work as ever. Defaults are those that the store's recipe chose,
 * with the matched bias of a label store, else `k` 16 and `referenceWeight` 0.5 at the index's own temperature. Entries added to the reference later are found from the next token on.
 *
 * The context keeps the attachment, and the attachment the entries: nobody has to hold either. It ends by {@link Attachment.detach} or with the
 * context. A context has one attachment; a second one is `ERR_RTD_EXISTS`.
 *
 * Where model and reference share a CUDA device rows are merged there; those with a bias, a gate, a rule or a listener in the host's copy of the logits,
 * with the same bits.
 *
 * If merging fails, the evaluation rejects with an `RtdError` and the context keeps none of that batch's tokens; so it does if the model's graph has no
 * states of the layer's name (`ERR_RTD_INVALID_ARGUMENT`), which only a graph can tell.
 * A store recorded with LoRA adapters is for contexts with the same ones, which is not checked here: node-llama-cpp does not say which adapters a context
 * has. Give them to `fingerprintModel` when the store is opened, and to `createContext`.
 * @throws RtdError `ERR_RTD_UNSUPPORTED` (platform, build of llama.cpp, kind of context, a store of pooled keys; nothing was changed), `ERR_RTD_EXISTS`, `ERR_RTD_CLOSED`,
 * `ERR_RTD_INVALID_ARGUMENT`, `ERR_RTD_TOKEN_RANGE` (a reference for another model), `ERR_RTD_NO_TEMPERATURE` (seal the index, or give one)
 */
export async function attach(
    context: LlamaContext,
    reference: ReferenceIndex | Datastore,
    options: AttachOptions = {},
): Promise<Attachment> {
    expectOptions(options, "attach");
    const { onStep, onError, rule, threads, matchedBias, layer: wanted, ...given } = options;
    expectFunction(onStep, "onStep");
    expectFunction(onError, "onError");
    expectFunction(rule, "rule");
    expectFlag(matchedBias, "matchedBias");
    const { index, defaults, layer } = resolve(reference, layerName(wanted), matchedBias ?? true);
    // Asynchronous, so that a runtime or build that needs to be asked first can be without a new interface; errors are rejections from the start.
    await Promise.resolve();
    return new Attachment(context, index, overlaid(defaults, given), { onStep, onError, rule, threads, layer });
}

function resolve(reference: ReferenceIndex | Datastore, wanted: string | undefined, matchedBias: boolean): Resolved {
    if (isIndex(reference)) return { index: reference, defaults: {}, layer: wanted };
    if (!(reference instanceof Datastore))
        return invalid(`reference: expected an index (createIndex) or a store (Datastore.open), got ${describe(reference)}`);
    if (reference.metadata["pooling"] !== undefined)
        throw new RtdError(
            "ERR_RTD_UNSUPPORTED",
            `the keys of ${reference.path} are means over the tokens of whole texts, which no token that is decoded has: use classify() or ` +
                "evaluate() (rtd classify, rtd eval), or build a store without pooling",
        );
    const { k, referenceWeight, temperatureScale, gate } = (reference.metadata["defaults"] ?? {}) as Defaults;
    const kept = reference.metadata["layer"];
    const layer = typeof kept === "string" ? kept : wanted;
    if (wanted !== undefined && wanted !== layer)
        invalid(`layer: the keys of ${reference.path} are states of ${layer}, not of ${wanted}; leave the option out`);
    const own = reference.index.temperature;
    const temperature =
        temperatureScale === undefined || own === undefined ? undefined : (own * temperatureScale) / ownTemperatureScale;
    const bias = matchedBias ? matchedTokenBiasOf(reference.metadata) : undefined;
    return { index: reference.index, defaults: { k, referenceWeight, temperature, gate, bias }, layer };
}
