import { cancellable, plain } from "./calls.js";
import { native } from "./native.js";
import { expectSearchOptions } from "./option-names.js";
import type { FloatArray, ForeignHits, FuseOptions, FuseResult } from "./types.js";

/**
 * Merges hits that came from elsewhere into logits [B, vocabulary], in place; B is `hits.counts.length / heads`. Hits count in the order given
 * and should be nearest first. Works off the event loop on copies: leave the logits alone until it resolves.
 * @throws RtdError `ERR_RTD_INVALID_ARGUMENT` (also without a temperature), `ERR_RTD_NOT_FINITE` (a NaN distance), `ERR_RTD_TOKEN_RANGE`;
 * the signal's reason when aborted; the logits are then as they were
 */
export async function fuse(hits: ForeignHits, logits: FloatArray, options: FuseOptions): Promise<FuseResult> {
    expectSearchOptions(options);
    return cancellable(options?.signal, (task) => native().fuse(hits, plain(logits), options, task));
}

/** {@link fuse}, blocking, in the caller's array. */
export function fuseSync(hits: ForeignHits, logits: FloatArray, options: Omit<FuseOptions, "signal">): FuseResult {
    expectSearchOptions(options);
    return native().fuseSync(hits, plain(logits), options);
}

/**
 * The model's log-probabilities of tokens [B, tokensPerRow] under logits [B, vocabulary]: logit minus the row's log-sum-exp. NaN for a row of
 * logits that holds NaN, Infinity or nothing but -Infinity.
 * @throws RtdError `ERR_RTD_INVALID_ARGUMENT`, `ERR_RTD_TOKEN_RANGE`
 */
export function logProbabilities(logits: FloatArray, vocabulary: number, tokens: Int32Array, tokensPerRow = 1): Float64Array {
    return native().logProbabilities(plain(logits), vocabulary, tokens, tokensPerRow);
}
