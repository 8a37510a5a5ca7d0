#include "llama/graph.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include "core/status.h"

namespace rtd::llama {

namespace {

// Between the hidden states and the logits lie a matrix product and a few element-wise operations; a longer search has lost its way.
constexpr size_t kMaxVisited = 128;

bool isOutput(const GgmlTensor& tensor, int64_t width) {
    return (tensor.flags & kTensorFlagOutput) != 0 && tensor.type == kGgmlF32 && tensor.elements[0] == width && tensor.elements[2] == 1 &&
           tensor.elements[3] == 1;
}

const GgmlTensor* findHidden(const GgmlTensor* logits, int64_t embeddingSize) {
    std::deque<const GgmlTensor*> queue{logits};
    for (size_t visited = 0; visited < queue.size() && visited < kMaxVisited; ++visited) {
        const GgmlTensor* tensor = queue[visited];
        if (tensor != logits && isOutput(*tensor, embeddingSize) && tensor->elements[1] == logits->elements[1]) return tensor;
        for (const GgmlTensor* source : tensor->sources)
            if (source != nullptr && std::find(queue.begin(), queue.end(), source) == queue.end()) queue.push_back(source);
    }
    return nullptr;
}

// What the mirror reads, held against what llama.cpp says itself; rows must lie one after the other.
void checkMirror(const Functions& functions, const GgmlTensor* tensor, const char* what) {
    const size_t rowBytes = static_cast<size_t>(tensor->elements[0]) * sizeof(float);
    const auto rows = static_cast<size_t>(tensor->elements[1]);
    const bool same = functions.tensorData(tensor) == tensor->data && functions.tensorName(tensor) == tensor->name &&
                      functions.tensorBytes(tensor) == rows * rowBytes && tensor->strides[0] == sizeof(float) && tensor->strides[1] == rowBytes;
    if (!same) fail(RTD_UNSUPPORTED, "llama.cpp's tensor of the %s is not laid out as the tap knows it", what);
}

bool isStates(const GgmlTensor& tensor, int64_t width) {
    return tensor.type == kGgmlF32 && tensor.elements[0] == width && tensor.elements[2] == 1 && tensor.elements[3] == 1;
}

// Names of a graph's states, those of the blocks together: "attn_norm-0 to attn_norm-29, l_out-0 to l_out-29, result_norm".
std::string namesOfStates(const Functions& functions, GgmlGraph* graph, int64_t width) {
    struct Series {
        std::string stem, first, last;
    };
    std::vector<Series> found;
    for (int i = 0; i < functions.nodeCount(graph); ++i) {
        const GgmlTensor* node = functions.node(graph, i);
        const std::string name = functions.tensorName(node);
        const bool isNamed = !name.empty() && !name.starts_with("node_") && name.find(' ') == std::string::npos;  // ggml's own have spaces
        if (!isNamed || !isStates(*node, width)) continue;
        const std::string stem = name.substr(0, name.rfind('-'));
        const auto series = std::find_if(found.begin(), found.end(), [&](const Series& other) { return other.stem == stem; });
        if (series == found.end())
            found.push_back({stem, name, name});
        else
            series->last = name;
    }
    std::string names;
    for (const auto& [stem, first, last] : found) names += (names.empty() ? "" : ", ") + first + (first == last ? "" : " to " + last);
    return names.empty() ? "none" : names;
}

}  // namespace

GgmlTensor* findLayer(const Functions& functions, GgmlGraph* graph, const ModelShape& shape, const std::string& name) {
    GgmlTensor* found = nullptr;
    for (int i = functions.nodeCount(graph) - 1; i >= 0 && found == nullptr; --i)
        if (GgmlTensor* node = functions.node(graph, i); name == functions.tensorName(node)) found = node;
    if (found == nullptr)
        fail(RTD_INVALID_ARGUMENT, "layer: this model's graph has no states named \"%s\"; it has %s", name.c_str(),
             namesOfStates(functions, graph, shape.embeddingSize).c_str());
    if (!isStates(*found, shape.embeddingSize))
        fail(RTD_UNSUPPORTED, "layer: \"%s\" are no states of %lld float32 numbers a token; this model's graph has %s", name.c_str(),
             static_cast<long long>(shape.embeddingSize), namesOfStates(functions, graph, shape.embeddingSize).c_str());
    checkMirror(functions, found, name.c_str());
    return found;
}

GraphTensors findTensors(const Functions& functions, GgmlGraph* graph, const ModelShape& shape) {
    GraphTensors found;
    for (int i = functions.nodeCount(graph) - 1; i >= 0 && found.logits == nullptr; --i)
        if (GgmlTensor* node = functions.node(graph, i); isOutput(*node, shape.vocabulary)) found.logits = node;
    if (found.logits == nullptr) fail(RTD_UNSUPPORTED, "this model's graph has no output of %lld logits", static_cast<long long>(shape.vocabulary));
    checkMirror(functions, found.logits, "logits");

    found.hidden = const_cast<GgmlTensor*>(findHidden(found.logits, shape.embeddingSize));
    if (found.hidden == nullptr)
        fail(RTD_UNSUPPORTED, "this model's architecture keeps no hidden state of %lld before its logits; it cannot be attached to or recorded",
             static_cast<long long>(shape.embeddingSize));
    checkMirror(functions, found.hidden, "hidden states");
    return found;
}

}  // namespace rtd::llama
