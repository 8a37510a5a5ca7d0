/** The prebuilt packages that are installed here, also those for other machines: every call that the tap redirects goes through a slot. */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

import { readElf } from "./elf.js";

const packages = new URL("../../node_modules/@node-llama-cpp", import.meta.url).pathname;
const supported = ["linux-x64", "linux-x64-cuda", "linux-x64-vulkan", "linux-arm64"];
const processUbatch =
    "_ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_typeP22llama_memory_context_iR11ggml_status";

const installed = supported.filter((name) => existsSync(path.join(packages, name, "bins", name)));

it("at least this machine's package is installed", () => {
    expect(installed).toContain(`linux-${process.arch}`);
});

describe.each(installed)("%s", (name) => {
    const folder = path.join(packages, name, "bins", name);
    const machine = name.startsWith("linux-arm64") ? "aarch64" : "x86_64";

    it("lets the addon's calls be redirected", () => {
        const addon = readElf(path.join(folder, "llama-addon.node"));
        expect(addon).toMatchObject({ machine, bindNow: false });
        expect([...addon.jumpSlots]).toEqual(expect.arrayContaining(["llama_decode", "llama_n_threads", "llama_free"]));
        expect(addon.jumpSlots).not.toContain("llama_set_sampler");
    });

    it("lets libllama's calls be redirected, and says which release it is", () => {
        const file = readdirSync(folder).find((entry) => /^libllama\..*so$/.test(entry) && !entry.includes("common"))!;
        const library = readElf(path.join(folder, file));
        expect(library).toMatchObject({
            machine,
            bindNow: false,
            soname: expect.stringMatching(/^libllama\.(\w+\.)?v0\.5\.0\.so$/) as unknown,
        });
        expect([...library.jumpSlots]).toEqual(
            expect.arrayContaining([processUbatch, "ggml_backend_tensor_get_async", "ggml_backend_sched_graph_compute_async"]),
        );
    });
});
