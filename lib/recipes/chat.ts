/**
 * The chat recipe: keys at the tokens of answers only, the end-of-turn token included. Conversations are put under the model's chat
 * template, every assistant message being an answer to what stands before it; prompts with completions are taken as they are.
 */
import { defined } from "../defined.js";
import { RtdError } from "../errors.js";
import type { ChatHistoryItem, ChatWrapper, LlamaModel, Token } from "../node-llama-cpp.js";
import type { ChatRow, CompletionContent, ConversationContent, Message } from "./data.js";
import { endOfTurn, tokenizeAfter, withBos, type Passage, type Shots } from "./passage.js";

/**
 * Passages of rows, one for each answer. `shots` come before each prompt, answered: as earlier turns of a conversation, or as text before a prompt that is taken
 * as it is. Rows and shots must then be of one kind.
 */
export async function chatPassages(
    model: LlamaModel,
    rows: readonly ChatRow[],
    shots: Shots<ChatRow> = () => [],
): Promise<Passage[]> {
    const templated = rows.some((row) => row.kind === "conversation")
        ? templatedAnswers(model, await chatWrapperOf(model))
        : () => [];
    return rows.flatMap((row, example) => {
        const origin = `${row.file}:${row.line}`;
        const before = (nth: number) => shots(example, nth);
        const answers = row.kind === "completion" ? [plainAnswer(model, row, before(0))] : templated(row, before);
        return answers.map(({ question, prompt, answer, end }): Passage => {
            if (prompt.length === 0) throw new RtdError("ERR_RTD_BAD_FORMAT", `${origin}: nothing stands before the answer`);
            const [tokens, from] = [[...prompt, ...answer], prompt.length - 1];
            const passage = { tokens, from, values: [...answer, end], example, position: from, origin, question };
            return { ...passage, ...defined({ subject: row.subject }) };
        });
    });
}

/** An answer, what stands before it and the token that ends it. */
interface Answer {
    /** The last that was said before the answer. */
    question: string;
    prompt: Token[];
    answer: Token[];
    end: Token;
}

function plainAnswer(model: LlamaModel, { prompt: question, completion }: CompletionContent, shots: readonly ChatRow[]): Answer {
    const prompt = completedPrompts(shots) + question;
    const answer = tokenizeAfter(model, prompt, completion);
    return { question, prompt: plainPrompt(model, prompt), answer, end: endOfTurn(model) };
}

function templatedAnswers(
    model: LlamaModel,
    wrapper: ChatWrapper,
): (row: ConversationContent, shots: (nth: number) => readonly ChatRow[]) => Answer[] {
    const end = templatedEndOfTurn(model, wrapper);
    return ({ messages }, shots) => {
        const opening = messages.findIndex(({ role }) => role !== "system");
        let nth = 0;
        return messages.flatMap(({ role, content }, i) => {
            if (role !== "assistant") return [];
            const before = [...messages.slice(0, opening), ...earlierTurns(shots(nth++)), ...messages.slice(opening, i)];
            const question = messages[i - 1]?.content ?? "";
            return [{ question, prompt: templatedPrompt(model, wrapper, before), answer: model.tokenize(content), end }];
        });
    };
}

/** In-context examples as they stand before a prompt that is taken as it is. */
export const completedPrompts = (shots: readonly ChatRow[]): string =>
    shots.map((row) => (row.kind === "completion" ? `${row.prompt}${row.completion}\n\n` : "")).join("");

/** In-context examples as they stand before a conversation's own turns. */
export const earlierTurns = (shots: readonly ChatRow[]): Message[] =>
    shots.flatMap((row) => (row.kind === "conversation" ? answeredTurns(row) : []));

/** The turns of a conversation up to its last answer; what the system says is left to the conversation that goes on. */
function answeredTurns({ messages }: ConversationContent): Message[] {
    const last = messages.findLastIndex(({ role }) => role === "assistant");
    return messages.slice(0, last + 1).filter(({ role }) => role !== "system");
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
