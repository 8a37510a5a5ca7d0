// The scan: every key of some runs of entries against some rows, by tiles, on several threads.
#pragma once
#include <cstdint>
#include <span>

#include "index/head_row.h"
#include "index/index.h"

namespace rtd {

// Entries [begin, end) by id.
struct Run {
    uint32_t begin, end;
};

// Offers the rows' pools all entries of the runs that the rows accept. rows: by head, ascending. RTD_CANCELLED.
void scan(const Index& index, const Snapshot& snapshot, std::span<const Run> runs, std::span<const HeadRow* const> rows, const Call& call);

}  // namespace rtd
