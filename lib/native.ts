import { createRequire } from "node:module";
import { extname, resolve } from "node:path";

import { RtdError, type RtdErrorCode } from "./errors.js";
import type { KeyTransform } from "./transform.js";
import type { Backend, EntryInfo, FuseResult, Hits, IndexInfo, IndexOptions } from "./types.js";

/** A native resource's number; 0 is none. */
export type HandleNumber = number;
/** A call's number, under which it can be cancelled and asked how far it is; 0 if it cannot. */
export type Task = number;
/** Arrays that go to the addon: 16-bit numbers as their bits. */
export type Plain = Float32Array | Uint16Array;

/** What a store's job of opening gives. */
export interface OpenedStore {
    store: HandleNumber;
    index: HandleNumber;
    manifest: string;
}

export interface FileReport {
    file: string;
    ok: boolean;
    code?: RtdErrorCode;
    message?: string;
}

/**
 * The addon's exports (`cpp/napi`). All arguments are checked there, once; calls that return a promise work off the event loop on copies of
 * what they were given, the others on the caller's memory.
 */
export interface Native {
    readonly abi: number;
    setErrorClass(errorClass: typeof RtdError): void;
    cancel(task: Task): void;
    /** What a call in progress has done, 0 to 1. */
    progressOf(task: Task): number;
    release(handle: HandleNumber): void;
    backends(): Backend[];

    createIndex(options: IndexOptions): HandleNumber;
    indexInfo(index: HandleNumber): IndexInfo;
    addEntries(
        index: HandleNumber,
        keys: Plain,
        tokens: Int32Array,
        options: object | undefined,
        bits: "f16" | undefined,
    ): number;
    removeEntries(index: HandleNumber, ids: Uint32Array | readonly number[]): void;
    seal(index: HandleNumber, options: object | undefined, task: Task): Promise<void>;
    sealSync(index: HandleNumber, options: object | undefined): void;
    entriesOf(index: HandleNumber, ids: Uint32Array | readonly number[]): EntryInfo;
    keysOf(index: HandleNumber, ids: Uint32Array | readonly number[]): Float32Array;
    indexTransform(index: HandleNumber): KeyTransform | undefined;
    fitTransform(options: object, keys: Plain, classes: Int32Array | undefined, task: Task): Promise<KeyTransform>;

    search(index: HandleNumber, queries: Plain, options: object | undefined, task: Task): Promise<Hits>;
    searchSync(index: HandleNumber, queries: Plain, options: object | undefined): Hits;
    searchAndFuse(
        index: HandleNumber,
        queries: Plain,
        logits: Plain,
        options: object | undefined,
        task: Task,
    ): Promise<FuseResult>;
    searchAndFuseSync(index: HandleNumber, queries: Plain, logits: Plain, options: object | undefined): FuseResult;
    fuse(hits: object, logits: Plain, options: object | undefined, task: Task): Promise<FuseResult>;
    fuseSync(hits: object, logits: Plain, options: object | undefined): FuseResult;
    logProbabilities(logits: Plain, vocabulary: number, tokens: Int32Array, tokensPerRow: number | undefined): Float64Array;

    storeCreate(path: string, options: object, model: string, metadata: string): Promise<OpenedStore>;
    storeOpen(path: string, options: object): Promise<OpenedStore>;
    storeAppend(
        store: HandleNumber,
        keys: Plain,
        tokens: Int32Array,
        options: object | undefined,
        bits: "f16" | undefined,
    ): number;
    storeSeal(store: HandleNumber, task: Task): Promise<string>;
    storeRemove(store: HandleNumber, ids: Uint32Array | readonly number[]): Promise<string>;
    storeSetMetadata(store: HandleNumber, metadata: string): Promise<string>;
    storeSetSpace(store: HandleNumber, space: object, task: Task): Promise<string>;
    storeIndex(store: HandleNumber): HandleNumber;
    storeKeys(store: HandleNumber, ids: Uint32Array | readonly number[]): Float32Array;
    storeVerify(storeOrPath: HandleNumber | string, task: Task): Promise<FileReport[]>;
    storeOrigins(store: HandleNumber, ids: Uint32Array | readonly number[]): { examples: Uint32Array; positions: Uint32Array };
    storeClose(store: HandleNumber): Promise<void>;
}

const require = createRequire(import.meta.url);
const platform = `${process.platform}-${process.arch}`;

/** Literal paths, so that bundlers and tracers see which files belong to the package. They are relative to dist/lib. */
const prebuilds: Record<string, (() => Native) | undefined> = {
    "linux-x64": () => require("../../prebuilds/linux-x64/node_rtd.node") as Native,
    "linux-arm64": () => require("../../prebuilds/linux-arm64/node_rtd.node") as Native,
    "darwin-x64": () => require("../../prebuilds/darwin-x64/node_rtd.node") as Native,
    "darwin-arm64": () => require("../../prebuilds/darwin-arm64/node_rtd.node") as Native,
    "win32-x64": () => require("../../prebuilds/win32-x64/node_rtd.node") as Native,
};

interface Candidate {
    what: string;
    load: () => Native;
}

/** In the order they are tried: what was asked for, what was built here, what came with the package. */
function candidates(): Candidate[] {
    const asked = process.env["RTD_ADDON"];
    if (asked) return [{ what: `RTD_ADDON=${asked}`, load: () => loadFile(resolve(asked)) }];
    const runsFromSource = import.meta.url.endsWith(".ts"); // tests and tools run lib/ as it is
    const built: Candidate = runsFromSource
        ? { what: "build/Release", load: () => require("../build/Release/node_rtd.node") as Native }
        : { what: "build/Release", load: () => require("../../build/Release/node_rtd.node") as Native };
    const prebuilt = runsFromSource ? undefined : prebuilds[platform];
    return prebuilt ? [built, { what: `prebuilds/${platform}`, load: prebuilt }] : [built];
}

/** An addon by its absolute path. Anything that is not called `.node` would be run as JavaScript. */
function loadFile(path: string): Native {
    if (extname(path) !== ".node") throw new Error("expected a file that is called *.node");
    return require(path) as Native;
}

let loaded: Native | undefined;

/** The addon, loaded at its first use: importing the package needs no binary. */
export function native(): Native {
    loaded ??= load();
    return loaded;
}

function load(): Native {
    const failures: string[] = [];
    for (const { what, load } of candidates()) {
        try {
            const addon = load();
            addon.setErrorClass(RtdError);
            return addon;
        } catch (error) {
            failures.push(`  ${what}: ${firstLine(error)}`);
        }
    }
    throw new RtdError(
        "ERR_RTD_ADDON",
        `The addon of node-rtd cannot be loaded on ${platform}.\n${failures.join("\n")}\n${advice(failures)}`,
    );
}

function firstLine(error: unknown): string {
    const code = (error as { code?: unknown }).code;
    if (code === "MODULE_NOT_FOUND") return "not there";
    return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
}

/** What to do about it on this very machine. */
function advice(failures: readonly string[]): string {
    const steps: string[] = [];
    const all = failures.join("\n");
    if (process.env["RTD_ADDON"])
        steps.push("RTD_ADDON names the file to load and nothing else is tried: unset it, or correct it.");
    if (/GLIBC|libstdc\+\+|CXXABI/.test(all))
        steps.push("The shipped binary is for a newer C library than this machine has: build it here.");
    if (/wrong ELF class|invalid ELF header|incompatible architecture/.test(all)) {
        steps.push("The binary is for another processor: node_modules was probably copied from another machine.");
    }
    const needs =
        process.platform === "linux"
            ? " (needs cmake and a C++20 compiler: on Debian, apt-get install cmake g++)"
            : " (needs cmake and a C++20 compiler)";
    steps.push(`Build it from source: in your application, npx rtd-build; in a clone of node-rtd, npm run build${needs}.`);
    return steps.map((step) => `- ${step}`).join("\n");
}
