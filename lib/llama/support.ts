import { RtdError } from "../errors.js";
import { tap } from "./tap.js";

export interface LlamaSupport {
    supported: boolean;
    /** Why not, or what is supported. */
    reason: string;
    /** As `"linux-x64"`. */
    platform: string;
    /** llama.cpp releases whose prebuilt binaries the tap knows. */
    releases: string[];
}

const platforms = ["linux-x64", "linux-arm64"];

/** Whether a context of node-llama-cpp can be attached to on this machine, as far as can be told before there is one. */
export function supported(): LlamaSupport {
    const platform = `${process.platform}-${process.arch}`;
    try {
        const releases = tap().llamaReleases();
        const supported = platforms.includes(platform);
        const known = `prebuilt node-llama-cpp with llama.cpp ${releases.join(", ")} on ${platforms.join(" and ")}`;
        return { supported, reason: supported ? known : `this is ${platform}; supported is ${known}`, platform, releases };
    } catch (error) {
        if (error instanceof RtdError) return { supported: false, reason: error.message, platform, releases: [] };
        throw error;
    }
}
