// The search of a run of entries through its cascade: levels of bounds (cascade/levels.h) rule out nearly all keys, and what is left gets its
// canonical distance. The hits are those of a scan.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "cascade/cascade.h"
#include "index/head_row.h"
#include "index/index.h"

namespace rtd {

// Returns the rows it did not search, for want of a bound or because a scan is cheaper: their pools have got nothing.
// rows: by head, ascending, and so are those returned. RTD_CANCELLED.
std::vector<const HeadRow*> searchCascade(const Index& index, const Snapshot& snapshot, const cascade::Cascade& cascade,
                                          std::span<const HeadRow* const> rows, const Call& call);

}  // namespace rtd
