/** What a model makes of a text, by the recorder alone. */
import { createRecorder } from "../../lib/index.js";
import type { LlamaModel, Token } from "../../lib/node-llama-cpp.js";
import { contextOf } from "./models.js";

export const tokensOf = (model: LlamaModel, text: string): Token[] => [model.tokens.bos!, ...model.tokenize(text)];

/** The state after the last token of a text, and the logits there. */
export async function stateAfter(model: LlamaModel, text: string): Promise<{ hidden: Float32Array; logits: Float32Array }> {
    const recorder = await createRecorder(await contextOf(model, { contextSize: 512 }));
    const tokens = tokensOf(model, text);
    const { hidden, logits } = await recorder.record(tokens, { from: tokens.length - 1, logits: true });
    await recorder.dispose();
    return { hidden, logits };
}
