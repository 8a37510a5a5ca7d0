import type { ChatHistoryItem, ChatWrapper, LlamaModel, Token } from "node-llama-cpp";
import { describe, expect, it } from "vitest";

import { chatPassages, plainPrompt, templatedPrompt } from "../../lib/recipes/chat.js";
import type { ChatRow, Message } from "../../lib/recipes/data.js";
import { tokenizeAfter } from "../../lib/recipes/passage.js";
import { noiseModel } from "../llama/models.js";
import { toyModel } from "./toy-model.js";

const completion = (prompt: string, completion: string): ChatRow => ({
    kind: "completion",
    prompt,
    completion,
    file: "f",
    line: 1,
});

describe("chat recipe", () => {
    it("makes keys of a completion's tokens only, the end of turn included", async () => {
        const model = toyModel();
        const [passage] = await chatPassages(model, [completion("Q: code\nA:", " I D B")]);
        expect(model.detokenize(passage!.tokens)).toBe("Q: code\nA: I D B");
        expect(passage!.from).toBe(model.tokenize("Q: code\nA:").length - 1);
        expect(model.detokenize(passage!.values.slice(0, -1))).toBe(" I D B");
        expect(passage!.values.at(-1)).toBe(model.tokens.eos);
        expect(passage!.tokens.length - passage!.from).toBe(passage!.values.length);
    });

    it("puts answered examples before a prompt that is taken as it is", async () => {
        const model = toyModel();
        const shots = [completion("Q: a?", " x"), completion("Q: b?", " y")];
        const [passage] = await chatPassages(model, [completion("Q: c?", " z")], () => shots);
        expect(model.detokenize(passage!.tokens)).toBe("Q: a? x\n\nQ: b? y\n\nQ: c? z");
        expect(model.detokenize(passage!.values.slice(0, -1))).toBe(" z");
        expect([passage!.question, passage!.from]).toEqual(["Q: c?", passage!.tokens.length - 2]);
    });

    it("puts them into a conversation as earlier turns, after what the system says and without what theirs said", async () => {
        const model = await noiseModel();
        const conversation = (text: string): ChatRow => ({
            kind: "conversation",
            messages: text.split("|").map((message) => {
                const [role, content] = message.split(":") as [Message["role"], string];
                return { role, content };
            }),
            file: "f",
            line: 1,
        });
        const asked = conversation("system:be brief|user:c|assistant:z|user:d|assistant:w");
        const shots = [conversation("system:hm|user:a|assistant:x|user:more"), conversation("user:b|assistant:y")];
        const whole = conversation("system:be brief|user:a|assistant:x|user:b|assistant:y|user:c|assistant:z|user:d|assistant:w");
        const got = await chatPassages(model, [asked], () => shots);
        const expected = (await chatPassages(model, [whole])).slice(2);
        expect(got).toEqual(expected);
        expect(got.map(({ question }) => question)).toEqual(["c", "d"]);
    });

    it("begins with the token that begins a sequence where the model wants it", async () => {
        const model = toyModel({ bos: true });
        expect(plainPrompt(model, "x")[0]).toBe(1);
        expect((await chatPassages(model, [completion("x", " y")]))[0]!.tokens[0]).toBe(1);
    });

    it("puts messages under the chat template, up to the answer", () => {
        const model = toyModel();
        const seen: ChatHistoryItem[][] = [];
        const wrapper = {
            generateContextState: ({ chatHistory }: { chatHistory: ChatHistoryItem[] }) => {
                seen.push(chatHistory);
                return { contextText: { tokenize: () => model.tokenize("a b") } };
            },
        } as unknown as ChatWrapper;
        const prompt = templatedPrompt(model, wrapper, [
            { role: "system", content: "s" },
            { role: "user", content: "u" },
            { role: "assistant", content: "a" },
            { role: "user", content: "v" },
        ]);
        expect(prompt).toEqual(model.tokenize("a b"));
        expect(seen).toEqual([
            [
                { type: "system", text: "s" },
                { type: "user", text: "u" },
                { type: "model", response: ["a"] },
                { type: "user", text: "v" },
                { type: "model", response: [""] },
            ],
        ]);
    });
});

describe("tokens after a text", () => {
    it("are those of the whole without the beginning's", () => {
        const model = toyModel();
        expect(tokenizeAfter(model, "A:", " x y")).toEqual(model.tokenize(" x y"));
    });

    it("are the text's own where the two would be joined", () => {
        const joins = { tokenize: (text: string) => [text.length as Token] } as unknown as LlamaModel;
        expect(tokenizeAfter(joins, "ab", "c")).toEqual([1]);
    });
});
