/** Checks of arguments that the addon never sees; those it does see are checked there (`cpp/napi/arguments.h`), in the same words. */
import { RtdError } from "./errors.js";

export function invalid(message: string): never {
    throw new RtdError("ERR_RTD_INVALID_ARGUMENT", message);
}

/** What was given, for messages: `1.5`, `"cosine"`, `an array of 3`. */
export function describe(value: unknown): string {
    switch (typeof value) {
        case "string":
            return value.length > 40 ? `a string of ${value.length} characters` : JSON.stringify(value);
        case "bigint":
            return `the BigInt ${value}n`;
        case "symbol":
        case "function":
            return `a ${typeof value}`;
        case "object": {
            if (value === null) return "null";
            if (Array.isArray(value)) return `an array of ${value.length}`;
            const kind = Object.prototype.toString.call(value).slice(8, -1);
            return ArrayBuffer.isView(value) ? `${/^I/.test(kind) ? "an" : "a"} ${kind}` : "an object";
        }
        case "undefined":
        case "boolean":
        case "number":
            return String(value);
    }
}

export function expectObject(value: unknown, name: string): asserts value is object {
    if (typeof value !== "object" || value === null) invalid(`${name}: expected an object, got ${describe(value)}`);
}

export function expectFunction(value: unknown, name: string): void {
    if (value !== undefined && typeof value !== "function") invalid(`${name}: expected a function, got ${describe(value)}`);
}

export function expectFlag(value: unknown, name: string): void {
    if (value !== undefined && typeof value !== "boolean") invalid(`${name}: expected true or false, got ${describe(value)}`);
}

/** A whole number; `most` is left out where there is no other limit than that of numbers. */
export function expectWhole(value: unknown, name: string, least: number, most = Number.MAX_SAFE_INTEGER): void {
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most)) return;
    const range = most === Number.MAX_SAFE_INTEGER ? `not below ${least}` : `from ${least} to ${most}`;
    invalid(`${name}: expected a whole number ${range}, got ${describe(value)}`);
}

export function expectSignal(value: unknown): void {
    if (value !== undefined && !(value instanceof AbortSignal))
        invalid(`signal: expected an AbortSignal, got ${describe(value)}`);
}

/** Found in half of a surrogate pair, which is no text: it has no UTF-8, but strings can hold it and JSON's \u escapes write it. */
export const halfPair = /\p{Surrogate}/u;
