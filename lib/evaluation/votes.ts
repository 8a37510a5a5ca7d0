/** What a gate sees of a reference's votes, by the core's arithmetic. */
import { fuseSync } from "../fusion.js";
import type { ForeignHits } from "../types.js";

export interface VoteFigures {
    /** Entropy of the reference distribution, nats; 0 without a vote: [rows]. */
    hitEntropy: Float64Array;
    /** The largest probability in it; 0 without a vote: [rows]. */
    largestVote: Float64Array;
}

/** Of hits as a search gives them. Tokens are numbered anew in each row, so that no vocabulary has to be laid out. */
export function voteFiguresOf(hits: ForeignHits, temperature: number): VoteFigures {
    const { counts, k, heads = 1 } = hits;
    const rows = counts.length / heads;
    const tokens = new Int32Array(hits.tokens.length).fill(-1);
    let most = 1;
    for (let row = 0; row < rows; row++) {
        const numbers = new Map<number, number>();
        for (let head = row * heads; head < (row + 1) * heads; head++)
            for (let i = head * k; i < head * k + (counts[head] as number); i++) {
                const token = hits.tokens[i] as number;
                if (!numbers.has(token)) numbers.set(token, numbers.size);
                tokens[i] = numbers.get(token) as number;
            }
        most = Math.max(most, numbers.size);
    }
    const logits = new Float32Array(rows * most);
    const { figures } = fuseSync({ ...hits, heads, tokens }, logits, { temperature, referenceWeight: 1, figures: true });
    const { hitEntropy, largestVote } = figures as NonNullable<typeof figures>;
    return { hitEntropy, largestVote };
}
