#include "fake_llama.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "harness.h"

namespace test {

namespace {

FakeLlama* gLlama = nullptr;  // the one that is decoding
EvalCallback gCallback = nullptr;
void* gCallbackState = nullptr;

struct Tensor : GgmlTensor {
    Tensor(const char* name_, int64_t columns, int64_t rows, int32_t flags_, void* data_) : GgmlTensor{} {
        std::strcpy(name, name_);
        elements[0] = columns;
        elements[1] = rows;
        elements[2] = elements[3] = 1;
        strides[0] = sizeof(float);
        strides[1] = static_cast<size_t>(columns) * sizeof(float);
        flags = flags_;
        data = data_;
    }
};

std::vector<std::function<void()>> gQueue;  // what a device has yet to do, in order

void enqueue(std::function<void()> work) {
    gQueue.push_back(std::move(work));
    if (!gLlama->device) gQueue.back()(), gQueue.clear();
}

void drain() {
    for (const auto& work : gQueue) work();
    gQueue.clear();
}

struct Graph {
    std::vector<GgmlTensor*> nodes;
};

GgmlGraph* asGraph(Graph& graph) { return reinterpret_cast<GgmlGraph*>(&graph); }
Graph& fromGraph(GgmlGraph* graph) { return *reinterpret_cast<Graph*>(graph); }

// The real compute: node by node, asking the callback as ggml's scheduler does.
int32_t computeReal(GgmlScheduler*, GgmlGraph* graph) {
    const std::vector<GgmlTensor*>& nodes = fromGraph(graph).nodes;
    for (size_t i = 0; i < nodes.size(); ++i) {
        if (i > 0 && std::strncmp(nodes[i - 1]->name, "l_out", 5) == 0)
            enqueue([data = static_cast<float*>(nodes[i - 1]->data), size = nodes[i - 1]->elements[0] * nodes[i - 1]->elements[1]] {
                std::fill_n(data, size, -9.0F);
            });
        if (gCallback != nullptr) drain();
        const bool wanted = gCallback != nullptr && gCallback(nodes[i], true, gCallbackState);
        ++gLlama->computedNodes;
        if (!wanted || gCallback(nodes[i], false, gCallbackState)) continue;
        if (i >= gLlama->secondPart) break;
        i = gLlama->secondPart - 1;  // the end of one part is not that of the next
    }
    return kStatusSuccess;
}

GraphResult* processReal(LlamaContext*, const MicroBatch* micro, int32_t, MemoryContext*, int32_t* status) {
    // Called by the run's hook with a graph of two tensors, the second computed from the first.
    static std::vector<float> hiddenData, logitsData, blockData[2];
    std::vector<RowName> names, all;
    for (uint32_t i = 0; i < micro->tokenCount; ++i) {
        all.push_back({micro->sequences[i][0], micro->positions[i]});
        if (micro->outputs[i] != 0) names.push_back(all.back());
    }
    const auto rows = static_cast<int64_t>(names.size());
    hiddenData.assign(names.size() * kDim, -5.0F);  // until they are computed
    logitsData.assign(names.size() * kVocabulary, -5.0F);
    Tensor hidden("", kDim, rows, gLlama->named ? kTensorFlagOutput : 0, hiddenData.data());
    Tensor scaled("", kDim, rows, 0, nullptr);
    Tensor logits("", kVocabulary, rows, kTensorFlagOutput, logitsData.data());
    scaled.sources[0] = &hidden;
    logits.sources[1] = &scaled;
    Graph graph{{&hidden, &scaled, &logits}};
    const std::vector<RowName>* const ofBlocks[] = {&all, &names};
    Tensor blocks[] = {Tensor("l_out-0", kDim, static_cast<int64_t>(all.size()), 0, nullptr), Tensor("l_out-1", kDim, rows, 0, nullptr)};
    for (size_t b = 0; b < 2 && gLlama->blocks; ++b) {
        blockData[b].clear();
        for (const RowName& name : *ofBlocks[b])
            for (const int32_t value : {name.sequence, name.position, static_cast<int32_t>(b), 2}) blockData[b].push_back(static_cast<float>(value));
        blocks[b].data = blockData[b].data();
        graph.nodes.insert(graph.nodes.begin() + static_cast<std::ptrdiff_t>(b), &blocks[b]);
    }
    if (gLlama->onTensors) gLlama->onTensors(hidden, logits);
    enqueue([names] {
        for (size_t r = 0; r < names.size(); ++r) {
            const float plain[kDim] = {static_cast<float>(names[r].sequence), static_cast<float>(names[r].position), 0.0F, 1.0F};
            for (int64_t i = 0; i < kDim; ++i)
                hiddenData[r * kDim + static_cast<size_t>(i)] = gLlama->hidden ? gLlama->hidden(names[r], i) : plain[i];
            for (int64_t v = 0; v < kVocabulary; ++v)
                logitsData[r * kVocabulary + static_cast<size_t>(v)] = gLlama->logit ? gLlama->logit(names[r], v) : 0.0F;
        }
    });

    *status = DecodeRun::current() != nullptr ? DecodeRun::current()->compute(nullptr, asGraph(graph)) : computeReal(nullptr, asGraph(graph));
    if (*status != kStatusSuccess) return nullptr;
    if (rows > 0) {
        std::vector<float> copy(logitsData.size(), -7.0F);
        auto* backend = reinterpret_cast<GgmlBackend*>(gLlama);
        DecodeRun* run = DecodeRun::current();
        if (run != nullptr && run->isLogits(&logits))
            run->copyLogits(backend, &logits, copy.data(), 0, copy.size() * sizeof(float));
        else
            gLlama->functions().getTensorAsync(backend, &logits, copy.data(), 0, copy.size() * sizeof(float));
        drain();
        gLlama->logits.push_back(copy);
    }
    return reinterpret_cast<GraphResult*>(gLlama);
}

int32_t decodeReal(LlamaContext* context, LlamaBatch batch) {
    gLlama->outputsSeen.emplace_back(batch.outputs, batch.outputs + batch.tokenCount);
    for (const Micro& micro : gLlama->micros) {
        std::vector<int32_t> tokens, positions, counts;
        std::vector<int32_t*> sequences;
        std::vector<int8_t> outputs;
        for (const int32_t at : micro.members) {
            tokens.push_back(batch.tokens[at]);
            positions.push_back(batch.positions[at]);
            counts.push_back(batch.sequenceCounts[at]);
            sequences.push_back(batch.sequences[at]);
            outputs.push_back(batch.outputs[at]);
        }
        MicroBatch view{};
        view.tokenCount = static_cast<uint32_t>(micro.members.size());
        view.tokens = tokens.data();
        view.positions = positions.data();
        view.sequenceCounts = counts.data();
        view.sequences = sequences.data();
        view.outputs = outputs.data();
        if (micro.spoil) micro.spoil(view);
        int32_t status = kStatusSuccess;
        DecodeRun* run = DecodeRun::current();
        const bool computed =
            (run != nullptr ? run->processUbatch(context, &view, 0, nullptr, &status) : processReal(context, &view, 0, nullptr, &status)) != nullptr;
        if (!computed) return -3;
        if (gLlama->throws) throw std::runtime_error("thrown by llama.cpp");
    }
    return 0;
}

}  // namespace

void Batch::add(int32_t token, RowName name, bool output) {
    tokens.push_back(token);
    positions.push_back(name.position);
    counts.push_back(1);
    sequences.push_back(name.sequence);
    outputs.push_back(output ? 1 : 0);
}

LlamaBatch Batch::view() {
    sequencePointers.clear();
    for (int32_t& sequence : sequences) sequencePointers.push_back(&sequence);
    return {static_cast<int32_t>(tokens.size()), tokens.data(), nullptr, positions.data(), counts.data(), sequencePointers.data(), outputs.data()};
}

Functions FakeLlama::functions() {
    Functions f;
    f.decode = decodeReal;
    f.processUbatch = processReal;
    f.computeAsync = computeReal;
    f.nodeCount = [](GgmlGraph* graph) { return static_cast<int>(fromGraph(graph).nodes.size()); };
    f.node = [](GgmlGraph* graph, int i) { return fromGraph(graph).nodes[static_cast<size_t>(i)]; };
    f.tensorData = [](const GgmlTensor* tensor) { return tensor->data; };
    f.tensorName = [](const GgmlTensor* tensor) -> const char* { return tensor->name; };
    f.tensorBytes = [](const GgmlTensor* tensor) { return static_cast<size_t>(tensor->elements[1]) * tensor->strides[1]; };
    f.backendName = [](GgmlBackend*) { return gLlama->backend; };
    f.synchronize = [](GgmlBackend*) {
        gLlama->calls += 's';
        drain();
    };
    f.bufferIsHost = [](GgmlBuffer*) { return !gLlama->device; };
    f.bufferName = [](GgmlBuffer*) { return gLlama->buffers; };
    f.getTensor = [](const GgmlTensor* tensor, void* to, size_t offset, size_t size) {
        ++gLlama->deviceReads;
        gLlama->calls += 'r';
        std::memcpy(to, static_cast<const char*>(tensor->data) + offset, size);
    };
    f.getTensorAsync = [](GgmlBackend*, const GgmlTensor* tensor, void* to, size_t offset, size_t size) {
        ++gLlama->copies;
        gLlama->calls += 'c';
        enqueue([from = static_cast<const char*>(tensor->data) + offset, to, size] { std::memcpy(to, from, size); });
    };
    f.setEvalCallback = [](GgmlScheduler*, EvalCallback callback, void* state) {
        gCallback = callback;
        gCallbackState = state;
    };
    f.memory = [](const LlamaContext*) -> LlamaMemory* { return nullptr; };
    f.removeSequence = [](LlamaMemory*, int32_t sequence, int32_t from, int32_t) {
        gLlama->removed.push_back({sequence, from});
        return true;
    };
    return f;
}

int32_t FakeLlama::decode(Batch& batch, const Attached& attached) {
    gLlama = this;
    gQueue.clear();
    const Functions table = functions();
    return DecodeRun(table, nullptr, batch.view(), attached).decode();
}

Attached attachedTo(std::shared_ptr<Attachment> attachment, std::shared_ptr<Recording> recording) {
    return {std::move(attachment), std::move(recording), {kDim, kVocabulary}};
}

rtd_index* indexOf(const std::vector<int32_t>& tokens, std::vector<float> keys) {
    rtd_index_options options{};
    options.struct_size = sizeof options;
    options.dim = kDim;
    options.threads = 1;
    rtd_index* index = nullptr;
    CHECK_EQUAL(rtd_index_create(&options, &index), RTD_OK);
    keys.resize(tokens.size() * kDim);
    std::vector<uint32_t> namespaces;
    for (size_t i = 0; i < tokens.size(); ++i) namespaces.push_back(static_cast<uint32_t>(i));
    const rtd_matrix matrix{keys.data(), tokens.size(), kDim, 0, RTD_F32};
    CHECK_EQUAL(rtd_index_add(index, &matrix, tokens.data(), namespaces.data(), nullptr), RTD_OK);
    CHECK_EQUAL(rtd_index_seal(index, nullptr), RTD_OK);
    return index;
}

}  // namespace test
