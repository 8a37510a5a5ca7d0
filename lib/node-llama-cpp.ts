/**
 * The types of node-llama-cpp that this package's own types name. It is an optional peer dependency: where it is not installed they are `any` and
 * everything else keeps its type. That is the doing of the comment below, which ends up in the declaration file too.
 */
// eslint-disable-next-line @typescript-eslint/ban-ts-comment -- an error is expected only where it is not installed
/** @ts-ignore */
export type { ChatHistoryItem, ChatWrapper, LlamaContext, LlamaContextSequence, LlamaModel, Token } from "node-llama-cpp";
