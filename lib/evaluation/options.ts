import { describe, expectFlag, expectWhole, invalid } from "../arguments.js";
import type { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import type { LoraAdapter } from "../llama/lora.js";
import type { LlamaModel } from "../node-llama-cpp.js";
import type { Progress } from "../recipes/build.js";
import type { Cut } from "../recipes/cut.js";
import type { Task } from "../recipes/data.js";
import type { RecipeMetadata } from "../recipes/metadata.js";
import { mostHits, ownTemperatureScale } from "../reference-index.js";
import type { Gate } from "../types.js";

/** How the reference is merged; what is left out comes from the store's defaults. */
export interface FusionSettings {
    k?: number | undefined;
    /** Absolute; without it the store's temperature, scaled by `temperatureScale`. */
    temperature?: number | undefined;
    /** Temperature as a multiple of median(d_64 - d_1) over the store's keys. */
    temperatureScale?: number | undefined;
    referenceWeight?: number | undefined;
}

export interface EvaluateOptions extends Cut, FusionSettings {
    store: Datastore;
    model: LlamaModel;
    /** Data files, of the rows that the store's task takes. */
    data: readonly string[];
    /** Must be the store's, if given. */
    task?: Task | undefined;
    /** Label stores, of questions with options: ask each in every rotation of them, or once. Default true. */
    rotations?: boolean | undefined;
    /** Chat stores: tokens of an answer at most. Default: 32 more than the expected one has. */
    maxTokens?: number | undefined;
    /** Label and chat stores: also with so many in-context examples, alone and with the reference. Default 0: without. */
    shots?: number | undefined;
    /** Draws of in-context examples. Default 2. */
    shotSeeds?: number | undefined;
    /**
     * Label and chat stores: also with retrieved context, alone and with the reference: before each prompt so many of the store's examples, those that its
     * search finds nearest to it, the nearest last. An example that asks the same as the prompt is left out. Default 0: without.
     */
    retrieved?: number | undefined;
    /** LoRA adapters that the model runs with; those that the store was built with. Default: none. */
    lora?: readonly LoraAdapter[] | undefined;
    /** A folder where runs of the model are kept, so that the next evaluation of the same data needs none. */
    cacheDirectory?: string | undefined;
    threads?: number | undefined;
    signal?: AbortSignal | undefined;
    onProgress?: ((progress: Progress) => void) | undefined;
}

const takersOf = {
    shots: ["label", "chat"],
    shotSeeds: ["label", "chat"],
    retrieved: ["label", "chat"],
    rotations: ["label"],
    maxTokens: ["chat"],
} as const satisfies Partial<Record<keyof EvaluateOptions, readonly Task[]>>;

/** Throws where an option would do nothing to a store of this recipe, or is not what it can be. */
export function expectOptionsFor({ store, ...options }: EvaluateOptions, { recipe: task, shots }: RecipeMetadata): void {
    for (const [name, takers] of Object.entries(takersOf) as [keyof typeof takersOf, readonly Task[]][])
        if (options[name] !== undefined && !takers.includes(task))
            invalid(`${name} is an option of ${takers.join(" and ")} stores; ${store.path} is one of task ${task}: leave it out`);
    expectFlag(options.rotations, "rotations");
    const least = { shots: 0, shotSeeds: 1, retrieved: 0, maxTokens: 1 } as const;
    for (const name of ["shots", "shotSeeds", "retrieved", "maxTokens"] as const) expectWhole(options[name], name, least[name]);
    if (shots !== undefined && (options.shots || options.retrieved))
        invalid(
            `the prompts of ${store.path} have ${shots.rows.length} in-context examples of its own, and its keys are states after them: ` +
                `leave out ${options.shots ? "shots" : "retrieved"}, or build a store without`,
        );
}

export interface Fusion {
    k: number;
    temperature: number;
    referenceWeight: number;
    /** In place of the weight; see {@link Gate}. */
    gate?: Gate | undefined;
}

/** Before the model runs, which may take long. */
function expectFusion({ k, referenceWeight, ...temperatures }: FusionSettings): void {
    expectWhole(k, "k", 1, mostHits);
    if (referenceWeight !== undefined && !(referenceWeight >= 0 && referenceWeight <= 1))
        invalid(`referenceWeight: expected a number from 0 to 1, got ${describe(referenceWeight)}`);
    for (const name of ["temperature", "temperatureScale"] as const) {
        const value = temperatures[name];
        if (value !== undefined && !(Number.isFinite(value) && value > 0))
            invalid(`${name}: expected a number above 0, got ${describe(value)}`);
    }
}

/** Settings with the store's defaults filled in. */
export function fusionOf(store: Datastore, { defaults }: RecipeMetadata, settings: FusionSettings): Fusion {
    expectFusion(settings);
    const { k = defaults.k, referenceWeight = defaults.referenceWeight, temperatureScale = defaults.temperatureScale } = settings;
    const unit = store.index.temperature;
    if (settings.temperature === undefined && unit === undefined)
        throw new RtdError(
            "ERR_RTD_NO_TEMPERATURE",
            `${store.path} is empty or was never sealed: build it, or give a temperature`,
        );
    const gate = settings.referenceWeight === undefined ? defaults.gate : undefined;
    const temperature = settings.temperature ?? ((unit as number) * temperatureScale) / ownTemperatureScale;
    return { k, referenceWeight, temperature, ...(gate && { gate }) };
}
