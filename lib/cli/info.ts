/** rtd info */
import { Command } from "commander";

import { Datastore } from "../datastore.js";
import { RtdError } from "../errors.js";
import { leftOutOf, recipeOf, type RecipeMetadata } from "../recipes/metadata.js";
import { counted } from "../report/units.js";
import { jsonOption } from "./options.js";
import { print, printJson, properties } from "./output.js";

const examples = `
Examples:
  $ rtd info animals.rtd
  $ rtd info animals.rtd --json
`;

export function infoCommand(): Command {
    return new Command("info")
        .summary("say what is in a datastore")
        .argument("<store>", "directory of the datastore")
        .addOption(jsonOption())
        .addHelpText("after", examples)
        .action(run);
}

async function run(path: string, { json }: { json?: boolean }): Promise<void> {
    const store = await Datastore.open(path, { verify: false });
    try {
        const { dim, metric, dtype, heads, entries, size, temperature } = store.index;
        const { cascaded } = store.index.info();
        const kept = recipeIn(store) ?? { metadata: store.metadata };
        const model = store.manifest.model;
        const { searchedDim } = store.index.info();
        const transform = store.manifest.transform?.kind;
        const info = {
            path,
            dim,
            searchedDim,
            metric,
            dtype,
            heads,
            transform,
            entries,
            live: size,
            cascaded,
            temperature,
            model,
            ...kept,
        };
        if (json) printJson(info);
        else print(describe(info));
    } finally {
        await store.close();
    }
}

/** What a recipe says of a store, but for what is long and of no use to a reader; undefined where the metadata are an application's own. */
function recipeIn(store: Datastore): RecipeMetadata | undefined {
    try {
        const recipe = { ...recipeOf(store) };
        delete recipe.labelLogits;
        return recipe;
    } catch (error) {
        if (error instanceof RtdError && error.code === "ERR_RTD_BAD_FORMAT") return undefined;
        throw error;
    }
}

type Info = {
    path: string;
    dim: number;
    searchedDim: number;
    transform: "scale" | "matrix" | undefined;
    metric: string;
    dtype: string;
    heads: number;
    entries: number;
    live: number;
    cascaded: number;
    temperature: number | undefined;
    model: object;
    /** An application's own. */
    metadata?: object;
} & Partial<RecipeMetadata>;

function describe(info: Info): string {
    const { recipe, prompt, labels, defaults, sources = [] } = info;
    const lines = properties({
        store: info.path,
        entries:
            info.live === info.entries
                ? counted(info.entries)
                : `${counted(info.live)} (${counted(info.entries - info.live)} removed)`,
        keys: `${info.dim} x ${info.dtype}, ${info.metric}, ${info.heads} head${info.heads === 1 ? "" : "s"}`,
        searched:
            info.transform &&
            `through ${info.space?.method === undefined ? `a ${info.transform}` : `a transform (${info.space.name})`}, ${info.searchedDim} dimensions`,
        cascade:
            info.cascaded === info.entries
                ? "over all entries"
                : `over ${counted(info.cascaded)} entries, the others are scanned`,
        pooling: info.pooling,
        layer: info.layer,
        shots: info.shots && `${info.shots.rows.length} in-context examples before every prompt (seed ${info.shots.seed})`,
        pruned: info.pruneAbove && `${counted(leftOutOf(sources))} entries that the model says with more than ${info.pruneAbove}`,
        temperature: info.temperature?.toPrecision(4),
        ...Object.fromEntries(Object.entries(info.model).map(([name, value]) => [`model ${name}`, short(value)])),
        metadata: info.metadata && Object.keys(info.metadata).length > 0 ? short(info.metadata) : undefined,
        recipe,
        prompt: prompt && JSON.stringify(prompt),
        labels: labels && labels.map(({ name }) => name).join(", ") + (info.wholeLabels ? " (whole)" : ""),
        defaults:
            defaults &&
            `k ${defaults.k}, ${defaults.gate ? "a gate" : `weight ${defaults.referenceWeight}`}, temperature scale ${defaults.temperatureScale}`,
    });
    const sourceLines = sources.map(({ files, examples, complete, seed, offset, limit }) => {
        const cut = [
            seed !== undefined && `seed ${seed}`,
            offset > 0 && `offset ${offset}`,
            limit !== undefined && `limit ${limit}`,
        ]
            .filter(Boolean)
            .join(", ");
        return `source   ${files.map((file) => file.path).join(", ")}${cut && ` (${cut})`}: ${counted(examples)} examples${complete ? "" : ", not finished"}`;
    });
    return [lines, ...sourceLines].join("\n");
}

function short(value: unknown): string {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const [line = ""] = text.split("\n");
    return line.length < text.length || line.length > 80 ? `${line.slice(0, 77)}...` : line;
}
