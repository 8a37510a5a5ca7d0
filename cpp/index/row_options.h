// The rows' options of a call, checked.
#pragma once
#include <cstddef>
#include <vector>

#include "core/fusion.h"
#include "index/search.h"
#include "rtd.h"

namespace rtd {

struct RowOptions {
    SearchRow search;
    FusionOptions fusion = {0, 0, false};
    bool isSkipped = false;
};

// Which of the options a call reads; the others may hold anything.
struct OptionUse {
    bool search;
    bool fusion;
};

// One for each of `batch` rows, from 1 or `batch` given. RTD_INVALID_ARGUMENT.
std::vector<RowOptions> readRowOptions(const rtd_row_options* rows, size_t rowCount, size_t batch, OptionUse use);

// RTD_TOKEN_RANGE unless logits of so many columns have a place for every biased token.
void needBiasesBelow(const std::vector<RowOptions>& rows, size_t vocabulary);

// Gives the index's default temperature to the rows that fuse (or to all that are not skipped) and name none. RTD_NO_TEMPERATURE where it is 0.
void resolveTemperatures(std::vector<RowOptions>& rows, float byDefault, bool all = false);

}  // namespace rtd
