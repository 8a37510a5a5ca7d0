// Which token of which sequence each row of logits belongs to.
#pragma once
#include <optional>
#include <vector>

#include "llama/llama_abi.h"

namespace rtd::llama {

struct RowName {
    int32_t sequence = -1;
    int32_t position = -1;

    bool operator==(const RowName&) const = default;
};

// The output rows of a micro-batch, in the order of its rows of logits. llama.cpp cuts a batch into micro-batches and reorders its sequences (three
// of 8, 5 and 3 tokens are computed in the order 2, 1, 0), so only the micro-batch itself can tell. nullopt where it does not agree with the batch:
// a token that is not in it, or in more than one sequence; then its layout is not what we think.
std::optional<std::vector<RowName>> nameRows(const MicroBatch& micro, const LlamaBatch& batch);

}  // namespace rtd::llama
