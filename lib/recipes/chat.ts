/**
 * The chat recipe: keys at the tokens of answers only, the end-of-turn token included. Conversations are put under the model's chat
 * template, every assistant message being an answer to what stands before it; prompts with completions are taken as they are.
 */
import { RtdError } from "../errors.js";
import type { ChatHistoryItem, ChatWrapper, LlamaModel, Token } from "../node-llama-cpp.js";
import type { ChatRow, CompletionContent, ConversationContent, Message } from "./data.js";
import { endOfTurn, tokenizeAfter, withBos, type Passage } from "./passage.js";

export async function chatPassages(model: LlamaModel, rows: readonly ChatRow[]): Promise<Passage[]> {
    const plain = plainAnswers(model);
    const templated = rows.some((row) => row.kind === "conversation")
        ? templatedAnswers(model, await chatWrapperOf(model))
        : () => [];
    return rows.flatMap((row, example) => {
        const origin = `${row.file}:${row.line}`;
        const answers = row.kind === "completion" ? plain(row) : templated(row);
        return answers.map(({ prompt, answer, end }): Passage => {
            if (prompt.length === 0) throw new RtdError("ERR_RTD_BAD_FORMAT", `${origin}: nothing stands before the answer`);
            const [tokens, from] = [[...prompt, ...answer], prompt.length - 1];
            return { tokens, from, values: [...answer, end], example, position: from, origin };
        });
    });
}

/** An answer, what stands before it and the token that ends it. */
interface Answer {
    prompt: Token[];
    answer: Token[];
    end: Token;
}

function plainAnswers(model: LlamaModel): (row: CompletionContent) => Answer[] {
    return ({ prompt, completion }) => [
        { prompt: plainPrompt(model, prompt), answer: tokenizeAfter(model, prompt, completion), end: endOfTurn(model) },
    ];
}

function templatedAnswers(model: LlamaModel, wrapper: ChatWrapper): (row: ConversationContent) => Answer[] {
    const end = templatedEndOfTurn(model, wrapper);
    return ({ messages }) =>
        messages.flatMap(({ role, content }, i) =>
            role === "assistant"
                ? [{ prompt: templatedPrompt(model, wrapper, messages.slice(0, i)), answer: model.tokenize(content), end }]
                : [],
        );
}

/** What the template puts after an answer when the conversation goes on. */
function templatedEndOfTurn(model: LlamaModel, wrapper: ChatWrapper): Token {
    const [question, answer, next]: [Message, Message, Message] = [
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hello" },
        { role: "user", content: "Bye" },
    ];
    const begin = templatedPrompt(model, wrapper, [question]).length + model.tokenize(answer.content).length;
    const token = templatedPrompt(model, wrapper, [question, answer, next])[begin];
    return model.isEogToken(token) ? (token as Token) : endOfTurn(model);
}

/** The tokens of a prompt that is taken as it is. */
export function plainPrompt(model: LlamaModel, prompt: string): Token[] {
    return withBos(model, model.tokenize(prompt));
}

/** The tokens of a conversation under the chat template, up to where the assistant's next answer begins. */
export function templatedPrompt(model: LlamaModel, wrapper: ChatWrapper, messages: readonly Message[]): Token[] {
    const chatHistory: ChatHistoryItem[] = messages.map(({ role, content }) =>
        role === "assistant" ? { type: "model", response: [content] } : { type: role, text: content },
    );
    const { contextText } = wrapper.generateContextState({ chatHistory: [...chatHistory, { type: "model", response: [""] }] });
    return withBos(model, contextText.tokenize(model.tokenizer));
}

/** The model's own chat template, or the nearest that node-llama-cpp knows. */
export async function chatWrapperOf(model: LlamaModel): Promise<ChatWrapper> {
    const { resolveChatWrapper } = await import("node-llama-cpp");
    return resolveChatWrapper(model);
}
