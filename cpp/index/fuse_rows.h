// Fusion of many rows, on several threads: everything that can fail does so before the first logit is written.
#pragma once
#include <cstddef>
#include <functional>
#include <vector>

#include "core/arguments.h"
#include "core/fusion.h"
#include "index/row_options.h"
#include "index/workers.h"

namespace rtd {

// Hits of B x heads rows as arrays, [B * heads, capacity]; counts [B * heads].
struct HitArrays {
    const float* distances;
    const int32_t* tokens;
    const uint32_t* counts;
    size_t capacity;
    uint32_t heads;
};

// Rewrites logits [B, V] with the hits of every row that is not skipped. statuses and figures [B] may be null. RTD_OUT_OF_MEMORY.
void fuseRows(const LogitPieces& pieces, const HitArrays& hits, const MatrixView& logits, const std::vector<RowOptions>& rows, WorkerPool& workers,
              uint32_t threads, rtd_row_status* statuses, rtd_row_figures* figures);

// What each row would be weighed by, [B]. RTD_OUT_OF_MEMORY.
void figuresOfRows(const LogitPieces& pieces, const HitArrays& hits, const MatrixView& logits, const std::vector<RowOptions>& rows,
                   rtd_row_figures* figures);

}  // namespace rtd
