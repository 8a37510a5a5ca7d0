import { native } from "./native.js";
import type { Backend } from "./types.js";

/**
 * All back ends this build knows, usable on this machine or not, fastest first. Where there is a CUDA binary, this, `"auto"` and `"cuda"` try it
 * in a process of its own, once.
 */
export function backends(): Backend[] {
    return native().backends();
}
