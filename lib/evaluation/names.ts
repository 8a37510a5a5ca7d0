/** The names by which people read what is compared, in the order in which they do. */
import type { LabelMethods } from "./label-methods.js";
import type { Fusion } from "./options.js";

export interface Named<Score> {
    name: string;
    score: Score;
    /** With the reference, not one of those it is compared with. */
    hasReference: boolean;
}

interface Shots<Score> {
    count: number;
    seed: number;
    model: Score;
    rtd: Score;
}

export function namedMethods<Score>(methods: LabelMethods<Score>): Named<Score>[] {
    const { model, modelBiasMatched, rtd, rtdBiasMatched, nearest, linearProbe, shots } = methods;
    const all: (Omit<Named<Score>, "score"> & { score: Score | undefined })[] = [
        { name: "model", score: model, hasReference: false },
        { name: "model, matched bias", score: modelBiasMatched, hasReference: false },
        { name: "rtd", score: rtd, hasReference: true },
        { name: "rtd, matched bias", score: rtdBiasMatched, hasReference: true },
        { name: "nearest reference", score: nearest, hasReference: false },
        { name: "linear probe", score: linearProbe, hasReference: false },
        ...namedShots(shots),
    ];
    return all.filter((one): one is Named<Score> => one.score !== undefined);
}

export function namedAnswers<Score>({
    model,
    rtd,
    shots,
}: Omit<Shots<Score>, "count" | "seed"> & { shots: readonly Shots<Score>[] }): Named<Score>[] {
    return [
        { name: "model", score: model, hasReference: false },
        { name: "rtd", score: rtd, hasReference: true },
        ...namedShots(shots),
    ];
}

function namedShots<Score>(shots: readonly Shots<Score>[]): Named<Score>[] {
    return shots.flatMap(({ count, seed, model, rtd }) => [
        { name: `${count}-shot, seed ${seed}`, score: model, hasReference: false },
        { name: `${count}-shot, seed ${seed}, and rtd`, score: rtd, hasReference: true },
    ]);
}

/** How the reference is merged, for people. */
export function settingsOf({ k, temperature, referenceWeight, gate }: Fusion): string {
    const weighed = gate === undefined ? `weight ${referenceWeight}` : "weighed by a gate";
    return `k ${k}, temperature ${temperature.toPrecision(3)}, ${weighed}`;
}
