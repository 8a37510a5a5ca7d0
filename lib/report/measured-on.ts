import type { Facts, Section } from "./description.js";
import type { Provenance } from "./provenance.js";
import { bytes, counted } from "./units.js";

/** What a measurement was made of, with facts of its own. */
export function measuredOn(provenance: Provenance, own: Facts["facts"]): Section {
    const { task, store, model, data, cut, versions, machine, measuredAt } = provenance;
    const size = `${counted(store.entries)} entries, ${bytes(store.bytes)}`;
    const part = Object.entries(cut).flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`]));
    const facts: Facts["facts"] = [
        ["task", task],
        ["datastore", `${store.path} (${size}, ${store.metric}, ${store.heads} ${store.heads === 1 ? "head" : "heads"})`],
        ["data", data.length === 0 ? "the datastore's own examples" : data.map(({ path }) => path).join(", ")],
        ["data, SHA-256", data.map(({ sha256 }) => sha256).join(", ") || undefined],
        ["part of the data", part.join(", ") || undefined],
        ...own,
        ["model", [model.file, model.architecture, model.quantization, bytes(model.bytes)].filter(Boolean).join(", ")],
        ["model, SHA-256", model.sha256],
        ["LoRA adapters", model.lora === undefined ? undefined : JSON.stringify(model.lora)],
        ["measured", measuredAt.replace("T", " ").replace(/\.\d+Z$/, " UTC")],
        [
            "versions",
            `node-rtd ${versions.rtd}, ${versions.nodeLlamaCpp === undefined ? "" : `node-llama-cpp ${versions.nodeLlamaCpp}, `}Node ${versions.node}`,
        ],
        ["machine", `${machine}; search on ${store.backend}`],
    ];
    return { title: "What was measured", parts: [{ kind: "facts", facts }] };
}
