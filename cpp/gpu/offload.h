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
    const MatrixView& queries;
    const float* finiteQueries;  // [rows, givenDim], read from queries and finite where a row is searched; null: queries and logits lie on the device
    const std::vector<RowOptions>& rows;
    const MatrixView* logits;  // null: search only
    const rtd_hits* hits;      // null, or any pointer of it: not wanted
    rtd_row_status* statuses;  // may be null
    const Call& call;
};

// What rtd_plan_create is given.
struct PlanConfig {
    uint32_t maxRows, maxHits, vocabulary;
    void* stream;
};

// An rtd_plan. Any number of threads may call it; they wait for one another.
class OffloadedPlan {
  public:
    virtual ~OffloadedPlan() = default;
    // The index's entries as they are now. RTD_TOKEN_RANGE, RTD_NO_TEMPERATURE, RTD_OUT_OF_MEMORY; the plan is then as it was.
    virtual void refresh(const Snapshot& snapshot) = 0;
    // Options of the rows, as given. RTD_NO_TEMPERATURE.
    virtual void setRows(std::vector<RowOptions> rows) = 0;
    // One launch. Hits and statuses as in OffloadedCall, but on the device.
    virtual void enqueue(const MatrixView& queries, const MatrixView* logits, const rtd_hits* hits, rtd_row_status* statuses) = 0;
};

// What such a back end keeps of an index. Any number of threads may call it.
class OffloadedIndex {
  public:
    virtual ~OffloadedIndex() = default;
    // Writes hits, logits and statuses, all or none; but logits on the device are undefined after a failure of the device's.
    // RTD_OUT_OF_MEMORY, RTD_CANCELLED, RTD_INVALID_ARGUMENT (memory that is not the device's), RTD_NOT_FINITE (the image of a query of the host's),
    // RTD_INTERNAL.
    virtual void run(const OffloadedCall& call) = 0;
    virtual bool reaches(const void* pointer) = 0;
    // It must not outlive this index.
    virtual std::unique_ptr<OffloadedPlan> openPlan(const PlanConfig& config, const Snapshot& snapshot) = 0;
};

// The back end; null in the table of an instruction set.
using OpenOffloaded = std::unique_ptr<OffloadedIndex> (*)(const IndexConfig& config);

}  // namespace gpu
}  // namespace rtd
