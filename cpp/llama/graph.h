// The tensors of a llama.cpp graph that the tap reads: the logits, the hidden states they are computed from, and other layers' states by name.
#pragma once
#include <string>

#include "llama/build.h"

namespace rtd::llama {

// Rows of float32, one for each output row of the micro-batch.
struct GraphTensors {
    GgmlTensor* logits = nullptr;
    GgmlTensor* hidden = nullptr;  // after the final norm, before the LM head
};

// llama.cpp marks both tensors as outputs, which also keeps the allocator from reusing their memory before the logits are copied out. The logits are
// the last such node that is as wide as the vocabulary; the hidden states are its nearest ancestor that is an output, as wide as an embedding and
// has as many rows. Names would be only a hint: some architectures name neither, others scale between the two. Operations after the LM head (soft
// cap, scale, bias, LoRA) come before the logits tensor, so they are in what is merged.
// Throws RTD_UNSUPPORTED where the graph is not so, or a tensor is not what its mirror says.
GraphTensors findTensors(const Functions& functions, GgmlGraph* graph, const ModelShape& shape);

// The states that llama.cpp gives this name ("l_out-12"): float32, as wide as an embedding, with a row for each of the micro-batch's tokens or, after
// the graph has been cut down to them (in most architectures within the last block), for each of its output rows. Throws RTD_INVALID_ARGUMENT if the
// graph has no such name, and says some that it has; RTD_UNSUPPORTED if what has it is no such states.
GgmlTensor* findLayer(const Functions& functions, GgmlGraph* graph, const ModelShape& shape, const std::string& name);

}  // namespace rtd::llama
