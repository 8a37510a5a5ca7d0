/** Measurements as a table. */
import { percent, table } from "../cli/output.js";
import type { Evaluation } from "../evaluation/index.js";
import { counted } from "../report/units.js";
import type { Measurement } from "./measure.js";

export function summary(measurements: readonly Measurement[], options: { markdown?: boolean } = {}): string {
    const areAlike = measurements.every(({ variant }) => variant === measurements[0]?.variant);
    return table(
        [
            "task",
            ...(areAlike ? [] : ["searched"]),
            "entries",
            "tests",
            "measure",
            "model",
            "model, matched bias",
            "with the reference",
        ],
        measurements.map(({ title, variant, entries, evaluation }) => [
            title,
            ...(areAlike ? [] : [variant]),
            counted(entries),
            counted(evaluation.rtd.count),
            ...figures(evaluation),
        ]),
        options,
    );
}

function figures(evaluation: Evaluation): [string, string, string, string] {
    switch (evaluation.task) {
        case "label": {
            const { model, modelBiasMatched, rtd } = evaluation;
            return [
                "accuracy",
                percent(model.accuracy),
                modelBiasMatched ? percent(modelBiasMatched.accuracy) : "-",
                percent(rtd.accuracy),
            ];
        }
        case "text":
            return ["perplexity", evaluation.model.perplexity.toFixed(2), "-", evaluation.rtd.perplexity.toFixed(2)];
        case "chat":
            return ["exact match", percent(evaluation.model.exactMatch), "-", percent(evaluation.rtd.exactMatch)];
    }
}
