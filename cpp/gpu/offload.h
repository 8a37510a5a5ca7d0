// Back ends that do whole calls elsewhere than in the threads of this process.
#pragma once
#include <memory>
#include <vector>

#include "rtd.h"

namespace rtd {

struct Call;
struct IndexConfig;
struct RowOptions;
struct Snapshot;
class MatrixView;

namespace gpu {

// A call of rtd_search or rtd_search_and_fuse, checked.
struct OffloadedCall {
    const Snapshot& snapshot;
    const float* queries;  // [rows, dim], finite where a row is searched
    const std::vector<RowOptions>& rows;
    const MatrixView* logits;  // null: search only
    const rtd_hits* hits;      // null, or any pointer of it: not wanted
    rtd_row_status* statuses;  // may be null
    const Call& call;
};

// What such a back end keeps of an index. Any number of threads may call it.
class OffloadedIndex {
  public:
    virtual ~OffloadedIndex() = default;
    // Writes hits, logits and statuses, all or none. RTD_OUT_OF_MEMORY, RTD_CANCELLED, RTD_INTERNAL.
    virtual void run(const OffloadedCall& call) = 0;
};

// The back end; null in the table of an instruction set.
using OpenOffloaded = std::unique_ptr<OffloadedIndex> (*)(const IndexConfig& config);

}  // namespace gpu
}  // namespace rtd
