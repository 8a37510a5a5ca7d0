// The calls that search: from the C interface's arguments to hits and logits.
#pragma once
#include <span>

#include "index/index.h"
#include "index/row_options.h"
#include "rtd.h"

namespace rtd {

// Whether any pointer of hits is given.
bool wantsHits(const rtd_hits* hits);
// RTD_INVALID_ARGUMENT unless there is room for every row's hits.
void checkHits(const rtd_hits& hits, std::span<const RowOptions> rows, uint32_t heads);
// RTD_NOT_FINITE unless query b's image under the index's transform is finite.
void needFiniteImage(const float* image, size_t dim, size_t b);
// RTD_TOKEN_RANGE unless logits of so many columns have a place for every token.
void needTokensBelow(const Snapshot& snapshot, size_t vocabulary);

// rtd_search where logits is null, else rtd_search_and_fuse.
void runSearchCall(const Index& index, const rtd_matrix* queries, const rtd_mutable_matrix* logits, const rtd_row_options* rows, size_t rowCount,
                   const Call& call, const rtd_hits* hits, rtd_row_status* statuses);

// rtd_fuse.
void runFuseCall(const rtd_hits* hits, uint32_t heads, const rtd_mutable_matrix* logits, const rtd_row_options* rows, size_t rowCount,
                 rtd_row_status* statuses);

// rtd_figures.
void runFiguresCall(const rtd_hits* hits, uint32_t heads, const rtd_matrix* logits, const rtd_row_options* rows, size_t rowCount,
                    rtd_row_figures* figures);

// rtd_log_probabilities.
void runLogProbabilitiesCall(const rtd_matrix* logits, const int32_t* tokens, size_t tokensPerRow, double* out);

}  // namespace rtd
