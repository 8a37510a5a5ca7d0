// The calls that search: from the C interface's arguments to hits and logits.
#pragma once
#include "index/index.h"
#include "rtd.h"

namespace rtd {

// rtd_search where logits is null, else rtd_search_and_fuse.
void runSearchCall(const Index& index, const rtd_matrix* queries, const rtd_mutable_matrix* logits, const rtd_row_options* rows, size_t rowCount,
                   const Call& call, const rtd_hits* hits, rtd_row_status* statuses);

// rtd_fuse.
void runFuseCall(const rtd_hits* hits, uint32_t heads, const rtd_mutable_matrix* logits, const rtd_row_options* rows, size_t rowCount,
                 rtd_row_status* statuses);

// rtd_log_probabilities.
void runLogProbabilitiesCall(const rtd_matrix* logits, const int32_t* tokens, size_t tokensPerRow, double* out);

}  // namespace rtd
