/** The tensors are found in graphs of different kinds, and rows are named whatever order they are computed in. */
import { describe, expect, it } from "vitest";

import { attach } from "../../lib/index.js";
import type { Architecture } from "./gguf.js";
import { contextOf, generate, indexOf, noiseModel } from "./models.js";

const architectures: Architecture[] = ["llama", "gemma2", "granite", "plamo3", "mamba"];
const text = "She sells sea shells by the sea shore; the shells she sells are sea shells.";

describe.each(architectures)("%s", (architecture) => {
    it("recites a text at weight 1 and is itself again at weight 0", async () => {
        const model = await noiseModel({ architecture });
        const tokens = model.tokenize(text);
        const index = await indexOf(model, tokens);
        const context = await contextOf(model);
        const sequence = context.getSequence();
        const prompt = tokens.slice(0, 20);
        const before = await generate(sequence, prompt, 12);
        const attachment = await attach(context, index, { k: 1, referenceWeight: 1 });
        expect(await generate(sequence, prompt, 12)).toEqual(tokens.slice(20, 32));
        expect(attachment.stats).toMatchObject({ merged: 12, unmergeable: 0, failures: 0 });
        attachment.set({ referenceWeight: 0 });
        expect(await generate(sequence, prompt, 12)).toEqual(before);
        expect(before).not.toEqual(tokens.slice(20, 32));
    });
});
