/** The names by which people read what is compared, in the order in which they do. */
import type { LabelMethods } from "./label-methods.js";
import type { Fusion } from "./options.js";

export interface Named<Score> {
    name: string;
    score: Score;
    /** With the reference, not one of those it is compared with. */
    hasReference: boolean;
}

/** A draw of in-context examples, or, without a seed, retrieved ones. */
interface Examples {
    count: number;
    seed?: number;
}

export interface ExamplesCost extends Examples {
    promptTokens: number;
}

interface Scored<Score> extends Examples {
    model: Score;
    rtd: Score;
}

interface AllExamples<E extends Examples> {
    shots: readonly E[];
    retrieved: E | undefined;
}

export function namedMethods<Score>(methods: LabelMethods<Score>): Named<Score>[] {
    const { model, modelBiasMatched, rtd, rtdBiasMatched, nearest, linearProbe } = methods;
    const all: (Omit<Named<Score>, "score"> & { score: Score | undefined })[] = [
        { name: "model", score: model, hasReference: false },
        { name: "model, matched bias", score: modelBiasMatched, hasReference: false },
        { name: "rtd", score: rtd, hasReference: true },
        { name: "rtd, matched bias", score: rtdBiasMatched, hasReference: true },
        { name: "nearest reference", score: nearest, hasReference: false },
        { name: "linear probe", score: linearProbe, hasReference: false },
        ...namedExamples(methods),
    ];
    return all.filter((one): one is Named<Score> => one.score !== undefined);
}

export function namedAnswers<Score>(answers: AllExamples<Scored<Score>> & { model: Score; rtd: Score }): Named<Score>[] {
    return [
        { name: "model", score: answers.model, hasReference: false },
        { name: "rtd", score: answers.rtd, hasReference: true },
        ...namedExamples(answers),
    ];
}

/** All that were put before prompts, each with the name of the model that sees them. */
export function examplesOf<E extends Examples>({ shots, retrieved }: AllExamples<E>): { name: string; examples: E }[] {
    return [...shots, ...(retrieved === undefined ? [] : [retrieved])].map((examples) => {
        const { count, seed } = examples;
        return { name: seed === undefined ? `${count} retrieved` : `${count}-shot, seed ${seed}`, examples };
    });
}

function namedExamples<Score>(figures: AllExamples<Scored<Score>>): Named<Score>[] {
    return examplesOf(figures).flatMap(({ name, examples: { model, rtd } }) => [
        { name, score: model, hasReference: false },
        { name: `${name}, and rtd`, score: rtd, hasReference: true },
    ]);
}

/** How the reference is merged, for people. */
export function settingsOf({ k, temperature, referenceWeight, gate }: Fusion): string {
    const weighed = gate === undefined ? `weight ${referenceWeight}` : "weighed by a gate";
    return `k ${k}, temperature ${temperature.toPrecision(3)}, ${weighed}`;
}
