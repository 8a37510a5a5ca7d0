/** LoRA adapters that a model runs with. */
import { describe, invalid } from "../arguments.js";

/** A GGUF file, whose weights are added as they are, or a file and what they are multiplied by first. */
export type LoraAdapter = string | { file: string; scale: number };

/** An adapter as it is meant; `scale` is 1 where none is given. @throws RtdError `ERR_RTD_INVALID_ARGUMENT` */
export function adapterOf(adapter: LoraAdapter): { file: string; scale: number } {
    const { file, scale } = typeof adapter === "string" ? { file: adapter, scale: 1 } : (adapter ?? {});
    if (typeof file !== "string" || file === "" || !Number.isFinite(scale))
        invalid(`lora: expected files, or files with scales ({ file: string, scale: number }), got ${describe(adapter)}`);
    return { file, scale };
}
