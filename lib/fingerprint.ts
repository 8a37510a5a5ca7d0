import { describe, expectObject, invalid } from "./arguments.js";
import { RtdError } from "./errors.js";

/**
 * What a model is told by; kept in a store's manifest, since hidden states of one model mean nothing to another. `file` is for people, all
 * other fields must be equal.
 */
export interface ModelFingerprint {
    /** Name of the model's file. */
    file: string;
    /** Of the file's content, hexadecimal. */
    sha256: string;
    /** Length of the file. */
    bytes: number;
    architecture?: string | undefined;
    quantization?: string | undefined;
    /** Dimensions of the last hidden state: the store's `dim`. */
    embeddingSize: number;
    /** Number of tokens. */
    vocabulary: number;
    /** Of the vocabulary, hexadecimal or a name. */
    tokenizer?: string | undefined;
    chatTemplate?: string | undefined;
    /** Adapters that were applied when the keys were made. */
    lora?: unknown;
}

/** Fields by which a store's model and another can differ; `"model"` stands for a store that does not say what it was made with. */
export type MismatchField = Exclude<keyof ModelFingerprint, "file"> | "model";

const fields: readonly MismatchField[] = [
    "sha256",
    "bytes",
    "architecture",
    "quantization",
    "embeddingSize",
    "vocabulary",
    "tokenizer",
    "chatTemplate",
    "lora",
    "model",
];

/** Throws unless `model` and `allowModelMismatch` of an opening call can be compared with a store's. */
export function expectModelOptions(model: unknown, allowed: unknown): void {
    if (model !== undefined) expectObject(model, "model");
    if (allowed === undefined) return;
    const list = fields.map((name) => `"${name}"`).join(", ");
    if (!Array.isArray(allowed))
        return invalid(`allowModelMismatch: expected an array of some of ${list}, got ${describe(allowed)}`);
    const unknown = allowed.find((name) => !(fields as readonly unknown[]).includes(name)) as unknown;
    if (unknown !== undefined) invalid(`allowModelMismatch: expected some of ${list}, got ${describe(unknown)}`);
}

/** Throws unless a store's keys come from this model, or differ only where that is allowed by name. */
export function expectModel(
    path: string,
    recorded: Partial<ModelFingerprint>,
    model: ModelFingerprint,
    allowed: readonly string[],
): void {
    const differing = differences(recorded, model).filter(({ name }) => !allowed.includes(name));
    if (differing.length === 0) return;
    const lines = differing.map(({ name, was, is }) => `  ${name}: the store has ${show(was)}, the model ${show(is)}`);
    const names = differing.map(({ name }) => `"${name}"`).join(", ");
    throw new RtdError(
        "ERR_RTD_MODEL_MISMATCH",
        `${path}: this store was not made with ${model.file}${recorded.file === undefined ? "" : `, but with ${recorded.file}`}.\n${lines.join("\n")}\n` +
            `Its hidden states mean nothing to another model. Open it with its own, or, if you know that the difference does not matter, ` +
            `with allowModelMismatch: [${names}].`,
    );
}

interface Difference {
    name: MismatchField;
    was: unknown;
    is: unknown;
}

function differences(recorded: Partial<ModelFingerprint>, model: ModelFingerprint): Difference[] {
    if (Object.keys(recorded).length === 0) return [{ name: "model", was: undefined, is: model.file }];
    return fields.flatMap((name) => {
        if (name === "model") return [];
        const [was, is] = [recorded[name], model[name]];
        return JSON.stringify(was) === JSON.stringify(is) ? [] : [{ name, was, is }];
    });
}

function show(value: unknown): string {
    const text = value === undefined ? "nothing" : JSON.stringify(value);
    return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
