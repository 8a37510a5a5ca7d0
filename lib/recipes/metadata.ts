/** What a store made by a recipe says about itself in its metadata, and how that is read back. */
import { describe, invalid } from "../arguments.js";
import { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import type { Space } from "../tuning/spaces.js";
import type { Gate } from "../types.js";
import { tasks, type Task } from "./data.js";
import { isStoredShots, type StoredShots } from "./in-context.js";
import { poolings, type LabelRecipe } from "./label.js";
import type { Label, Spelling } from "./spelling.js";

export interface FusionDefaults {
    k: number;
    referenceWeight: number;
    /** Temperature as a multiple of median(d_64 - d_1), which the store measures; see the manifest's temperature (0.4 times it). */
    temperatureScale: number;
    /** In place of the weight, where one was fitted. */
    gate?: Gate;
}

/** Chosen on data that none of the examples evaluates. */
export const fusionDefaults: Readonly<Record<Task, FusionDefaults>> = {
    label: { k: 16, referenceWeight: 0.8, temperatureScale: 0.4 },
    text: { k: 1024, referenceWeight: 0.1, temperatureScale: 0.2 },
    chat: { k: 4, referenceWeight: 0.7, temperatureScale: 0.1 },
};

/** Data that went into a store, or is on its way there. Its examples are numbered from `firstExample` on. */
export interface Source {
    files: { path: string; sha256: string }[];
    seed?: number;
    offset: number;
    limit?: number;
    firstExample: number;
    examples: number;
    complete: boolean;
    /** Of pruned stores: entries there were before it, and once it is complete how many of its own were left out. */
    firstEntry?: number;
    leftOut?: number;
}

export interface RecipeMetadata extends Partial<LabelRecipe> {
    recipe: Task;
    defaults: FusionDefaults;
    /** Whose states the keys are, by llama.cpp's name; without one those after the last norm. */
    layer?: string;
    /** Entries whose value the model alone says with a probability above this are left out. */
    pruneAbove?: number;
    sources: Source[];
    /** In-context examples before every prompt. */
    shots?: StoredShots;
    /** What its keys are searched in, where that was chosen; without `method` and with one head: the keys as they are. */
    space?: Space;
    /** Of label stores: the model's own logits of the labels at the first references' prompts, for the matched bias. See label-logits.ts. */
    labelLogits?: string;
}

/** The metadata of a store, which must have been made by a recipe (that of `task`, if one is named). */
export function recipeOf(store: Datastore, task?: Task): RecipeMetadata {
    if (!(store instanceof Datastore)) return invalid(`store: expected a store (Datastore.open), got ${describe(store)}`);
    const metadata = store.metadata as Partial<RecipeMetadata>;
    const broken = (what: string): never => {
        throw new RtdError("ERR_RTD_BAD_FORMAT", `${store.path}: ${what}; only stores made by "rtd build" can be used here`);
    };
    const { recipe, defaults, sources, labels, labelLogits, prompt, pooling, layer, pruneAbove, shots } = metadata;
    if (recipe === undefined || !tasks.includes(recipe)) return broken("the store's metadata names no recipe");
    if (!isDefaults(defaults)) return broken("the metadata's defaults are damaged");
    if (!Array.isArray(sources) || !sources.every(isSource)) return broken("the metadata's sources are damaged");
    if (recipe === "label" && (typeof prompt !== "string" || !Array.isArray(labels) || !labels.every(isLabel)))
        return broken("the metadata's prompt or labels are damaged");
    if (labelLogits !== undefined && typeof labelLogits !== "string")
        return broken("the metadata's logits of the labels are damaged");
    if (pooling !== undefined && !poolings.includes(pooling))
        return broken(`the metadata's pooling ${JSON.stringify(pooling)} is not known`);
    if (layer !== undefined && typeof layer !== "string") return broken("the metadata's layer is damaged");
    if (pruneAbove !== undefined && typeof pruneAbove !== "number") return broken("the metadata's limit of pruning is damaged");
    if (shots !== undefined && !isStoredShots(shots)) return broken("the metadata's in-context examples are damaged");
    if (task !== undefined && task !== recipe)
        throw new RtdError("ERR_RTD_INVALID_ARGUMENT", `${store.path} was built for task ${recipe}, not ${task}`);
    return metadata as RecipeMetadata;
}

/** Entries that pruning left out of sources that are complete. */
export const leftOutOf = (sources: readonly Source[]): number => sources.reduce((sum, { leftOut = 0 }) => sum + leftOut, 0);

/** The label part of a label store's metadata. */
export function labelRecipeOf({ prompt = "", labels = [], rotate = false, pooling, wholeLabels }: RecipeMetadata): LabelRecipe {
    return { prompt, labels, rotate, ...(pooling !== undefined && { pooling }), ...(wholeLabels && { wholeLabels }) };
}

/** The source in which an example lies. */
export function sourceOf(metadata: RecipeMetadata, example: number): Source | undefined {
    return metadata.sources.find(({ firstExample, examples }) => example >= firstExample && example < firstExample + examples);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function isDefaults(value: unknown): value is FusionDefaults {
    const { k, referenceWeight, temperatureScale, gate = {} } = (value ?? {}) as Partial<FusionDefaults>;
    const isGate =
        typeof gate === "object" && gate !== null && Object.values(gate as Record<string, unknown>).every(Number.isFinite);
    return isCount(k) && [referenceWeight, temperatureScale].every(Number.isFinite) && isGate;
}

function isSource(value: unknown): value is Source {
    const { files, offset, firstExample, examples, firstEntry = 0, leftOut = 0 } = (value ?? {}) as Partial<Source>;
    return (
        Array.isArray(files) &&
        files.every((file: unknown) => typeof (file as Source["files"][0] | null)?.sha256 === "string") &&
        [offset, firstExample, examples, firstEntry, leftOut].every(isCount)
    );
}

function isLabel(value: unknown): value is Label {
    const { name, token, spellings = [] } = (value ?? {}) as Partial<Label>;
    const isSpelling = (spelling: unknown): boolean => {
        const { text, tokens } = (spelling ?? {}) as Partial<Spelling>;
        return typeof text === "string" && Array.isArray(tokens) && tokens.length > 0 && tokens.every(isCount);
    };
    return typeof name === "string" && isCount(token) && Array.isArray(spellings) && spellings.every(isSpelling);
}
