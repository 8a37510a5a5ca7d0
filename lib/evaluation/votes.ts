/** A reference's votes: what each entry has of them, for people; and what a gate sees of them, by the core's arithmetic. */
import { fuseSync } from "../fusion.js";
import type { Step } from "../llama/attach.js";
import type { ForeignHits, Hits } from "../types.js";

/** A hit's part of a vote. */
export interface Vote {
    id: number;
    token: number;
    distance: number;
    share: number;
}

/** The hits of a step that have the token as their value, with their shares of the whole vote (the mean of the heads' votes). */
export function votesFor(token: number, step: Pick<Step, "hits"> | undefined, temperature: number): Vote[] {
    return step === undefined ? [] : votesOf(step.hits, temperature).filter((vote) => vote.token === token);
}

/** The hits of one row with their shares of the vote, largest first; each head's are apart. */
function votesOf({ ids, distances, tokens, counts, k }: Hits, temperature: number): Vote[] {
    const votes: Vote[] = [];
    for (const [head, count] of counts.entries()) {
        const first = head * k;
        const weights = Array.from({ length: count }, (_, i) =>
            Math.exp(((distances[first] as number) - (distances[first + i] as number)) / temperature),
        );
        const sum = weights.reduce((total, weight) => total + weight, 0) * counts.length;
        for (const [i, weight] of weights.entries())
            votes.push({
                id: ids[first + i] as number,
                token: tokens[first + i] as number,
                distance: distances[first + i] as number,
                share: weight / sum,
            });
    }
    return votes.sort((a, b) => b.share - a.share);
}

/** The same with the votes that heads have for one entry as one, at the smallest of their distances. */
export function votesByEntry(hits: Hits, temperature: number): Vote[] {
    const all = new Map<number, Vote>();
    for (const vote of votesOf(hits, temperature)) {
        const { share = 0, distance = Infinity } = all.get(vote.id) ?? {};
        all.set(vote.id, { ...vote, share: share + vote.share, distance: Math.min(distance, vote.distance) });
    }
    return [...all.values()].sort((a, b) => b.share - a.share);
}

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
