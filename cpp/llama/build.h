// A build of llama.cpp that is loaded in this process: node-llama-cpp's addon and the libllama it calls.
//
// Build::of finds out which build a JavaScript context belongs to (several may be loaded: node-llama-cpp tries GPU builds before it falls back),
// and refuses, before anything is redirected, what the tap does not know.
#pragma once
#include <functional>
#include <string>

#include "llama/elf_got.h"
#include "llama/llama_abi.h"

namespace rtd::llama {

// llama.cpp's and ggml's public functions that the tap calls, found by name in a build.
struct Functions {
    int32_t (*decode)(LlamaContext*, LlamaBatch) = nullptr;
    void (*freeContext)(LlamaContext*) = nullptr;
    int32_t (*poolingType)(const LlamaContext*) = nullptr;
    float* (*embeddings)(LlamaContext*) = nullptr;
    const LlamaModel* (*model)(const LlamaContext*) = nullptr;
    int32_t (*embeddingSize)(const LlamaModel*) = nullptr;
    const LlamaVocab* (*vocabulary)(const LlamaModel*) = nullptr;
    int32_t (*vocabularySize)(const LlamaVocab*) = nullptr;
    LlamaMemory* (*memory)(const LlamaContext*) = nullptr;
    bool (*removeSequence)(LlamaMemory*, int32_t sequence, int32_t from, int32_t to) = nullptr;

    size_t (*tensorOverhead)() = nullptr;
    void* (*tensorData)(const GgmlTensor*) = nullptr;
    const char* (*tensorName)(const GgmlTensor*) = nullptr;
    size_t (*tensorBytes)(const GgmlTensor*) = nullptr;
    int (*nodeCount)(GgmlGraph*) = nullptr;
    GgmlTensor* (*node)(GgmlGraph*, int) = nullptr;
    const char* (*backendName)(GgmlBackend*) = nullptr;
    void (*synchronize)(GgmlBackend*) = nullptr;
    bool (*bufferIsHost)(GgmlBuffer*) = nullptr;
    const char* (*bufferName)(GgmlBuffer*) = nullptr;  // of its kind: "CUDA0", "Vulkan0", ...
    void (*getTensor)(const GgmlTensor*, void*, size_t offset, size_t size) = nullptr;
    void (*getTensorAsync)(GgmlBackend*, const GgmlTensor*, void*, size_t offset, size_t size) = nullptr;
    void (*setEvalCallback)(GgmlScheduler*, EvalCallback, void*) = nullptr;
    int32_t (*computeAsync)(GgmlScheduler*, GgmlGraph*) = nullptr;
    GraphResult* (*processUbatch)(LlamaContext*, const MicroBatch*, int32_t, MemoryContext*, int32_t*) = nullptr;
};

struct ModelShape {
    int64_t embeddingSize = 0;
    int64_t vocabulary = 0;
};

struct Build {
    Module addon;
    Module llama;
    const Release* release = nullptr;
    Functions functions;

    bool operator==(const Build& other) const { return addon.base == other.addon.base && llama.base == other.llama.base; }

    struct Found;

    // Whose llama_n_threads `ask` calls (it asks a JavaScript context for its threads), and with which context. Throws RTD_UNSUPPORTED where
    // no build can be tapped, or none was asked. `ask` runs once for every build that is loaded until one answers.
    static Found of(const std::function<void()>& ask);

    // The shape of a context's model. RTD_UNSUPPORTED if the context makes embeddings or ranks: it has no logits to merge.
    ModelShape shapeOf(LlamaContext* context) const;
};

struct Build::Found {
    Build build;
    LlamaContext* context = nullptr;
};

// Which release a libllama is, by the name it was linked as ("libllama.v0.5.0.so", "libllama.cuda.v0.5.0.so"); nullptr: none that is known.
const Release* releaseOf(const std::string& soname);

// The releases and platforms that are supported, for messages: "llama.cpp v0.5.0 on linux-x64 and linux-arm64".
std::string supportedBuilds();

}  // namespace rtd::llama
