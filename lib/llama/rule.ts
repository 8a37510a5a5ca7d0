import { describe, expectObject, invalid } from "../arguments.js";
import { RtdError } from "../errors.js";
import { expectOptions } from "../option-names.js";
import type { Decision, Rule, RuleRow } from "./attach.js";

/** Asks a rule about a row, and checks what it says. */
export function decisionOf(rule: Rule, row: RuleRow): Decision {
    const where = `rule, for position ${row.position} of sequence ${row.sequence}`;
    const decision: unknown = ask(rule, row, where) ?? {};
    expectObject(decision, where);
    if (typeof (decision as { then?: unknown }).then === "function")
        invalid(
            `${where}: expected { referenceWeight?, temperature? }, got a promise; its token is sampled next, decide at once`,
        );
    expectOptions(decision, "decision", where);
    const { referenceWeight, temperature } = decision as Decision;
    if (referenceWeight !== undefined && !(typeof referenceWeight === "number" && referenceWeight >= 0 && referenceWeight <= 1))
        invalid(`${where}: referenceWeight: expected a number from 0 to 1, got ${describe(referenceWeight)}`);
    if (temperature !== undefined && !(typeof temperature === "number" && isTemperature(temperature)))
        invalid(`${where}: temperature: expected a number above 0 that float32 can hold, got ${describe(temperature)}`);
    return { referenceWeight, temperature };
}

function ask(rule: Rule, row: RuleRow, where: string): unknown {
    try {
        return rule(row);
    } catch (cause) {
        throw new RtdError("ERR_RTD_RULE", `${where}: it threw ${String(cause)}`, { cause });
    }
}

function isTemperature(value: number): boolean {
    const kept = Math.fround(value);
    return kept > 0 && kept < Infinity;
}
