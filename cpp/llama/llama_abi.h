// What node-rtd has to know of llama.cpp's binary interface, and of which releases it knows it.
//
// Public functions are called by name. The structs below are no copies of its headers: they mirror the layout of the few fields that are read, are
// pinned to the releases listed in kReleases, and are checked while running: Build (build.h) compares the tensor's size, Graph (graph.h) compares
// what the tensor mirror reads with what the public accessors say, RowNames (row_names.h) compares the micro-batch with the batch it was cut from.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rtd::llama {

struct LlamaContext;  // these belong to llama.cpp and are only ever pointed to
struct LlamaModel;
struct LlamaVocab;
struct LlamaMemory;
struct GgmlBackend;
struct GgmlBuffer;
struct GgmlScheduler;
struct GgmlGraph;
struct GraphResult;
struct MemoryContext;

// A batch as the application hands it to llama_decode, by value.
struct LlamaBatch {
    int32_t tokenCount;
    int32_t* tokens;
    float* embeddings;
    int32_t* positions;
    int32_t* sequenceCounts;
    int32_t** sequences;
    int8_t* outputs;
};
static_assert(sizeof(LlamaBatch) == 56);

// The part of a micro-batch that llama.cpp computes at once: what process_ubatch is given.
struct MicroBatch {
    uint32_t equalSequences;
    uint32_t tokenCount;
    uint32_t tokensPerSequence;
    uint32_t sequenceSets;
    uint32_t uniqueSequences;
    uint32_t positionsPerToken;
    int32_t* tokens;
    float* embeddings;
    int32_t* positions;
    int32_t* sequenceCounts;
    int32_t** sequences;
    int32_t* unique;
    int32_t* indices;
    int8_t* outputs;
};
static_assert(offsetof(MicroBatch, tokens) == 24 && offsetof(MicroBatch, outputs) == 80);

struct GgmlTensor {
    int32_t type;
    GgmlBuffer* buffer;
    int64_t elements[4];
    size_t strides[4];  // bytes
    int32_t operation;
    int32_t parameters[16];
    int32_t flags;
    GgmlTensor* sources[10];
    GgmlTensor* viewed;
    size_t viewOffset;
    void* data;
    char name[64];
    void* extra;
    char padding[8];
};
static_assert(sizeof(GgmlTensor) == 336 && offsetof(GgmlTensor, data) == 248);

constexpr size_t kGgmlObjectSize = 32;  // ggml_tensor_overhead() counts it with the tensor
constexpr int32_t kGgmlF32 = 0;
constexpr int32_t kTensorFlagOutput = 2;
constexpr int32_t kStatusSuccess = 0;  // ggml_status
constexpr int32_t kStatusFailed = -1;
constexpr int32_t kPoolingNone = 0;
constexpr int32_t kDecodeFailed = -3;  // what llama_decode returns when computing failed

using EvalCallback = bool (*)(GgmlTensor* tensor, bool ask, void* state);

// A release whose layouts are the ones above.
struct Release {
    const char* name;           // as it stands in the file name of the prebuilt libllama
    const char* processUbatch;  // llama_context::process_ubatch as the linker knows it
};

constexpr Release kReleases[] = {
    {"v0.5.0", "_ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_typeP22llama_memory_context_iR11ggml_status"},  // node-llama-cpp 3.22
};

}  // namespace rtd::llama
