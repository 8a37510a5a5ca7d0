#include "llama/graph.h"

#include <algorithm>
#include <deque>

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

}  // namespace

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
