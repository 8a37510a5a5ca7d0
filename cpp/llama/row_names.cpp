#include "llama/row_names.h"

namespace rtd::llama {

namespace {

// Where in the batch a token of the micro-batch is, looked for from `start` on and round; -1 if it is not there. Micro-batches mostly keep the
// order within a sequence, so the search ends at once.
int32_t findInBatch(const LlamaBatch& batch, int32_t start, int32_t token, RowName name) {
    for (int32_t step = 0; step < batch.tokenCount; ++step) {
        const int32_t i = (start + step) % batch.tokenCount;
        if (batch.positions[i] == name.position && batch.sequences[i][0] == name.sequence && batch.tokens[i] == token) return i;
    }
    return -1;
}

bool complete(const MicroBatch& micro) {
    return micro.tokens != nullptr && micro.positions != nullptr && micro.sequenceCounts != nullptr && micro.sequences != nullptr &&
           micro.outputs != nullptr;
}

bool complete(const LlamaBatch& batch) {
    return batch.tokens != nullptr && batch.positions != nullptr && batch.sequenceCounts != nullptr && batch.sequences != nullptr;
}

}  // namespace

std::optional<std::vector<RowName>> nameRows(const MicroBatch& micro, const LlamaBatch& batch) {
    if (!complete(batch) || batch.tokenCount <= 0) return std::nullopt;
    if (micro.tokenCount == 0 || micro.tokenCount > static_cast<uint32_t>(batch.tokenCount) || !complete(micro)) return std::nullopt;

    std::vector<RowName> names;
    int32_t at = 0;
    for (uint32_t i = 0; i < micro.tokenCount; ++i) {
        if (micro.outputs[i] == 0) continue;
        if (micro.sequenceCounts[i] != 1 || micro.sequences[i] == nullptr) return std::nullopt;
        const RowName name{micro.sequences[i][0], micro.positions[i]};
        at = findInBatch(batch, at, micro.tokens[i], name);
        if (at < 0 || (batch.outputs != nullptr && batch.outputs[at] == 0)) return std::nullopt;
        names.push_back(name);
        at = (at + 1) % batch.tokenCount;
    }
    return names;
}

}  // namespace rtd::llama
