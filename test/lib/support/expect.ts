import { expect } from "vitest";
import { RtdError, type RtdErrorCode } from "../../../lib/index.js";

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
