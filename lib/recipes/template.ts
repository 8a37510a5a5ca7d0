/** Prompt templates: text with {placeholders}. */
import { RtdError } from "../errors.js";

/** Replaces each {name} that `values` has. */
export function fillTemplate(template: string, values: Readonly<Record<string, string>>): string {
    return template.replace(/\{(\w+)\}/g, (placeholder, name: string) =>
        Object.hasOwn(values, name) ? (values[name] as string) : placeholder,
    );
}

/** Throws unless the template has the `required` placeholders and no other than those and the `optional` ones. */
export function checkTemplate(template: string, required: readonly string[], optional: readonly string[]): void {
    const found = new Set([...template.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string));
    const braces = (names: readonly string[]) => names.map((name) => `{${name}}`).join(", ");
    const missing = required.filter((name) => !found.has(name));
    if (missing.length > 0)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `the prompt template lacks ${braces(missing)}: ${JSON.stringify(template)}`,
        );
    const unknown = [...found].filter((name) => !required.includes(name) && !optional.includes(name));
    if (unknown.length > 0)
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `the prompt template has ${braces(unknown)}; it may have ${braces([...required, ...optional])}: ${JSON.stringify(template)}`,
        );
}
