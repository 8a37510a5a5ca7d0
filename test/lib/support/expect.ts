import { expect } from "vitest";
import { RtdError, type RtdErrorCode } from "../../../lib/index.js";
import { logSumExp } from "./oracle.js";

/** That a call throws, or its promise rejects with, an RtdError of this code whose message has these words. */
export async function expectError(call: () => unknown, code: RtdErrorCode, message: string | RegExp): Promise<void> {
    let thrown: unknown = "nothing was thrown";
    try {
        await call();
    } catch (error) {
        thrown = error;
    }
    expect(thrown).toBeInstanceOf(RtdError);
    expect(thrown).toMatchObject({
        name: "RtdError",
        code,
        message: expect.stringMatching(typeof message === "string" ? escaped(message) : message) as unknown,
    });
}

const escaped = (text: string): RegExp => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));

/** Runs both forms of a call; they must agree in everything. */
export async function both<T>(later: () => Promise<T>, now: () => T): Promise<T> {
    const [a, b] = [await later(), now()];
    expect(a).toEqual(b);
    return b;
}

/**
 * That a merged row of logits is what the definition gives: within 1 ULP of max(|l'|, |LSE|, 1) where the token's probability is at least 1e-300,
 * which is promised, and below that somewhere below it.
 */
export function expectMerged(row: Float32Array, before: Float32Array, expected: Float64Array, weight: number): void {
    const lse = logSumExp(before);
    const least = (weight === 1 ? 0 : lse) + Math.log(1e-300);
    for (const [token, value] of expected.entries()) {
        if (value === -Infinity) {
            expect(row[token], `token ${token}`).toBe(value);
            continue;
        }
        const ulp = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(value), Math.abs(lse), 1))) - 23);
        if (value >= least) expect(Math.abs(row[token]! - value), `token ${token}`).toBeLessThanOrEqual(1.01 * ulp);
        else expect(row[token], `token ${token}`).toBeLessThan(least + ulp);
    }
}
