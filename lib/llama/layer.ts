/** Which of a model's hidden states are keys and queries. */
import { describe, invalid } from "../arguments.js";

/**
 * llama.cpp's name of the states, as its graph has it ("l_out-12", "attn_norm-0"), or the number of a block, from 0 on, for the states that leave it. Undefined:
 * those after the last norm, from which the logits are computed.
 */
export type Layer = string | number;

/** llama.cpp's name of a layer. */
export function layerName(layer: unknown): string | undefined {
    if (layer === undefined) return undefined;
    if (typeof layer === "number" && Number.isSafeInteger(layer) && layer >= 0) return `l_out-${layer}`;
    if (typeof layer === "string" && layer !== "") return layer;
    return invalid(
        `layer: expected the name of states in llama.cpp's graph ("l_out-12") or the number of a block (12), got ${describe(layer)}`,
    );
}
