/** Linear maps of keys: distances are taken where what matters weighs more. */
import { cancellable, plain } from "./calls.js";
import { native } from "./native.js";
import { expectGivenOptions } from "./option-names.js";
import type { CallOptions, FloatArray } from "./types.js";

/** z = W (x - mean), for every key and every query of an index: W is diagonal (`scale`) or a matrix, of which one is given. */
export interface KeyTransform {
    /** [dim] */
    mean: Float32Array;
    /** [dim] */
    scale?: Float32Array | undefined;
    /** [searchedDim, dim], row by row. Only with one head. */
    matrix?: Float32Array | undefined;
}

/**
 * What a transform is fitted for. `"standardise"` divides every dimension by sqrt(variance + shrinkage x mean variance); `"whiten"` does so along the
 * keys' principal axes; `"project"` keeps the C - 1 directions that tell C classes apart best (Fisher's discriminants), whitened within the classes.
 */
export type FitMethod = "standardise" | "whiten" | "project";

export interface FitTransformOptions extends CallOptions {
    /** Dimensions of a key. */
    dim: number;
    /** Default `"whiten"`. */
    method?: FitMethod | undefined;
    /** How far variances are drawn towards their mean, 0 and up. Default 1. */
    shrinkage?: number | undefined;
    /** To project: the class of each key [n], numbered from 0 on without gaps. */
    classes?: Int32Array | undefined;
}

/**
 * Fits a transform to keys [n, dim], in closed form. Costs n dim^2 / 2 products, and to whiten or project dim^3 / 2 more: a sample of some ten
 * thousand keys is enough.
 * @throws RtdError `ERR_RTD_INVALID_ARGUMENT` (also where the keys do not vary), `ERR_RTD_NOT_FINITE`
 */
export async function fitTransform(keys: FloatArray, options: FitTransformOptions): Promise<KeyTransform> {
    expectGivenOptions(options, "fitTransform");
    return cancellable(options.signal, (task) => native().fitTransform(options, plain(keys), options.classes, task));
}
