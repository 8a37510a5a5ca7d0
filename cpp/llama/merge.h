// Merging the reference into rows of logits that llama.cpp has just computed: one call of rtd_search_and_fuse for all rows.
#pragma once
#include <span>

#include "llama/attachment.h"

namespace rtd::llama {

struct RowsToMerge {
    std::span<const RowName> names;              // [rows]; -1, -1 where unknown
    std::span<const RowOptions* const> options;  // [rows]; nullptr: not to be touched, nor shown to a listener
    const float* hidden = nullptr;               // [rows, dim]
    float* logits = nullptr;                     // [rows, vocabulary], rewritten in place
    size_t dim = 0;
    size_t vocabulary = 0;
};

// What is wrong before anything is computed: a token beyond the vocabulary, no temperature. Throws it.
void checkMergeable(const Attachment& attachment, std::span<const RowOptions* const> options, size_t vocabulary);

// Throws rtd::Error; the logits are then as they were. Cost: one search of the rows that merge (all enabled rows where somebody listens).
void mergeRows(Attachment& attachment, const RowsToMerge& rows);

}  // namespace rtd::llama
