/**
 * What an {@link RtdError} can be told by. Those of the C interface are `rtd_status` in `cpp/rtd.h`; the last three are the TypeScript side's.
 */
export type RtdErrorCode = `ERR_RTD_${string}`;

/**
 * Every error of this package. The message says what was given, what was expected and what to do.
 *
 * | code | meaning |
 * |---|---|
 * | `ERR_RTD_INVALID_ARGUMENT` | a type, shape, length or option that is not allowed |
 * | `ERR_RTD_NOT_FINITE` | a key or query holds NaN or infinity, or a key does not fit the index's dtype |
 * | `ERR_RTD_UNKNOWN_ID` | an id that was never given, or was removed |
 * | `ERR_RTD_TOKEN_RANGE` | a token is negative, or not below the vocabulary of the logits |
 * | `ERR_RTD_NO_TEMPERATURE` | no temperature was given and the index has none yet: seal it |
 * | `ERR_RTD_UNSUPPORTED` | this machine, back end, platform or build cannot do it |
 * | `ERR_RTD_OUT_OF_MEMORY` | the message names the bytes |
 * | `ERR_RTD_CLOSED` | the index is disposed, or the store closed |
 * | `ERR_RTD_READ_ONLY`, `ERR_RTD_LOCKED`, `ERR_RTD_NOT_FOUND`, `ERR_RTD_EXISTS`, `ERR_RTD_PERMISSION`, `ERR_RTD_NO_SPACE`, `ERR_RTD_IO` | of stores |
 * | `ERR_RTD_BAD_FORMAT`, `ERR_RTD_TRUNCATED`, `ERR_RTD_CHECKSUM` | a damaged store; the message names the file |
 * | `ERR_RTD_MODEL_MISMATCH` | a store is opened with a model it was not made for |
 * | `ERR_RTD_RULE` | the `rule` of an attachment threw; `cause` is what |
 * | `ERR_RTD_ADDON` | the native addon cannot be loaded; the message says how to get it |
 * | `ERR_RTD_INTERNAL` | a bug of this package: please report the message |
 *
 * A call whose `AbortSignal` fires rejects with the signal's reason instead.
 */
export class RtdError extends Error {
    override readonly name = "RtdError";
    readonly code: RtdErrorCode;

    constructor(code: RtdErrorCode, message: string, options?: ErrorOptions) {
        super(message, options);
        this.code = code;
    }
}
