import { native } from "./native.js";
import type { Backend } from "./types.js";

/** All back ends this build knows, usable on this machine or not, fastest first. */
export function backends(): Backend[] {
    return native().backends();
}
