/** A stand-in for a model where only its vocabulary matters: words with the space before them are tokens, numbered as they come up. */
import type { LlamaModel, Token } from "node-llama-cpp";

export interface ToyModelOptions {
    bos?: boolean;
    contextSize?: number;
}

const firstWord = 10;
const end = 2;

export function toyModel({ bos = false, contextSize = 4096 }: ToyModelOptions = {}): LlamaModel {
    const words: string[] = [];
    const tokenOf = (word: string): Token => {
        if (!words.includes(word)) words.push(word);
        return (words.indexOf(word) + firstWord) as Token;
    };
    const model = {
        tokenize: (text: string): Token[] => [...text.matchAll(/ ?\w+|\n|[^\w\n]/g)].map(([word]) => tokenOf(word)),
        detokenize: (tokens: readonly Token[]): string => tokens.map((token) => words[token - firstWord] ?? "").join(""),
        isEogToken: (token: Token | undefined) => token === end,
        tokens: { bos: 1 as Token, eos: end as Token, eot: null, shouldPrependBosToken: bos },
        trainContextSize: contextSize,
    };
    return model as unknown as LlamaModel;
}
