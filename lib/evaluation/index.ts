/** Evaluation of a datastore on data: the model alone beside the model with the reference. */
import { RtdError } from "../errors.js";
import { fingerprintModel } from "../llama/fingerprint.js";
import { recipeOf } from "../recipes/metadata.js";
import { passagesOf } from "../recipes/build.js";
import { readRows, type Task } from "../recipes/data.js";
import { evaluateChat, type ChatFigures } from "./chat.js";
import { evaluateLabel, type LabelFigures } from "./label.js";
import { fusionOf, type EvaluateOptions, type Fusion } from "./options.js";
import { RunCache } from "./run-cache.js";
import { evaluateText, type TextFigures } from "./text.js";
import { evaluateWholeLabels } from "./whole-labels.js";

export type Evaluation = Fusion & { seconds: number } & (
        ({ task: "label" } & LabelFigures) | ({ task: "text" } & TextFigures) | ({ task: "chat" } & ChatFigures)
    );

export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
    const started = performance.now();
    const metadata = recipeOf(options.store, options.task);
    if (metadata.recipe !== "label" && (options.shots !== undefined || options.shotSeeds !== undefined))
        throw new RtdError(
            "ERR_RTD_INVALID_ARGUMENT",
            `shots are for label stores; ${options.store.path} is one of task ${metadata.recipe}`,
        );
    const fusion = fusionOf(options.store, metadata, options);
    const rows = await readRows(options.data, metadata.recipe);
    // Questions are asked as they stand, whether or not the store holds every rotation of its own.
    const { cacheDirectory, model } = options;
    const passagesAfter = (before: string) => passagesOf(model, { ...metadata, rotate: false }, rows, options, before);
    const passages = await passagesAfter("");
    const cache = cacheDirectory === undefined ? undefined : new RunCache(cacheDirectory, await fingerprintModel(model));
    const { layer } = metadata;
    const figures = await figuresOf(metadata.recipe);
    return { ...figures, ...fusion, seconds: (performance.now() - started) / 1000 };

    async function figuresOf(task: Task) {
        switch (task) {
            case "label": {
                const evaluateLabels = metadata.wholeLabels ? evaluateWholeLabels : evaluateLabel;
                return {
                    task,
                    ...(await evaluateLabels({ ...options, cache, layer }, metadata, passages, fusion, passagesAfter)),
                };
            }
            case "text":
                return { task, ...(await evaluateText({ ...options, cache, layer }, passages, fusion)) };
            case "chat":
                return { task, ...(await evaluateChat(options, passages, fusion)) };
        }
    }
}

export { matchedBias } from "./matched-bias.js";
export { exactMatch, perplexity } from "./metrics.js";
export { type EvaluateOptions, type Fusion, type FusionSettings } from "./options.js";
