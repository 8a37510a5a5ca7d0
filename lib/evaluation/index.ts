/** Evaluation of a datastore on data: the model alone beside the model with the reference. */
import { RtdError } from "../errors.js";
import { expectLlamaModel, fingerprintModel } from "../llama/fingerprint.js";
import { expectGivenOptions } from "../option-names.js";
import { passagesOf } from "../recipes/build.js";
import { expectCut } from "../recipes/cut.js";
import { readRows, type Row, type Task } from "../recipes/data.js";
import { recipeOf } from "../recipes/metadata.js";
import type { Shots } from "../recipes/passage.js";
import { evaluateChat, type ChatFigures } from "./chat.js";
import { evaluateLabel, type LabelFigures } from "./label.js";
import { expectOptionsFor, fusionOf, type EvaluateOptions, type Fusion } from "./options.js";
import { retrieval } from "./retrieval.js";
import { RunCache } from "./run-cache.js";
import { shownPassages } from "./shots.js";
import { evaluateText, type TextFigures } from "./text.js";
import { measureTimes, type Times } from "./times.js";

export type Evaluation = Fusion & { seconds: number; milliseconds: Times } & (
        ({ task: "label" } & LabelFigures) | ({ task: "text" } & TextFigures) | ({ task: "chat" } & ChatFigures)
    );

export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
    const started = performance.now();
    expectGivenOptions(options, "evaluate");
    expectCut(options);
    const metadata = recipeOf(options.store, options.task);
    expectLlamaModel(options.model);
    expectOptionsFor(options, metadata);
    const fusion = fusionOf(options.store, metadata, options);
    const rows: Row[] = await readRows(options.data, metadata.recipe);
    const kind = (rows[0] as Row).kind;
    const { cacheDirectory, model, rotations = kind === "choice" } = options;
    if (rotations && kind !== "choice")
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `rotations are for questions with options; the rows of ${options.data.join(", ")} have none`,
        );
    if (options.shots || options.retrieved) expectOneKind(rows);
    // Whether or not the store holds every rotation of its own questions.
    const passagesAfter = (shots?: Shots<Row>) => passagesOf(model, { ...metadata, rotate: rotations }, rows, options, shots);
    const passages = await passagesAfter();
    const draws = await shownPassages(options, metadata, kind, passagesAfter);
    const retrieve = await retrieval(options, metadata, { rows, passages, fusion, passagesAfter });
    const cache = cacheDirectory === undefined ? undefined : new RunCache(cacheDirectory, await fingerprintModel(model, options));
    const { layer } = metadata;
    const inContext = { draws, retrieve, areQuestions: kind === "choice" };
    const figures = await figuresOf(metadata.recipe);
    const milliseconds = await measureTimes({ ...options, layer }, passages, fusion);
    return { ...figures, ...fusion, milliseconds, seconds: (performance.now() - started) / 1000 };

    async function figuresOf(task: Task) {
        switch (task) {
            case "label":
                return { task, ...(await evaluateLabel({ ...options, cache, layer }, metadata, passages, fusion, inContext)) };
            case "text":
                return { task, ...(await evaluateText({ ...options, cache, layer }, passages, fusion)) };
            case "chat":
                return { task, ...(await evaluateChat({ ...options, cache, layer }, passages, fusion, inContext)) };
        }
    }
}

/** In-context examples are written as the prompts are that they stand before. */
function expectOneKind(rows: readonly Row[]): void {
    const other = rows.find(({ kind }) => kind !== rows[0]?.kind);
    if (other !== undefined)
        throw new RtdError(
            "ERR_RTD_BAD_FORMAT",
            `${other.file}:${other.line}: a row of kind ${other.kind} after others of kind ${rows[0]?.kind}; with in-context examples give one kind`,
        );
}

export { matchedBias } from "./matched-bias.js";
export { exactMatch, perplexity } from "./metrics.js";
export { type EvaluateOptions, type Fusion, type FusionSettings } from "./options.js";
