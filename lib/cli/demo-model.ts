import { fetchDemoModel } from "../demo/fetch-model.js";
import { progressLine } from "./progress.js";

/** The path of the demo's model; says what it does while it has to be downloaded. */
export async function demoModelFile(signal: AbortSignal, silent?: boolean): Promise<string> {
    const line = progressLine("fetching the model", { silent });
    try {
        return await fetchDemoModel((text) => line.note(text), signal);
    } finally {
        line.stop();
    }
}
