// An index on a device: its mirror, a workspace, and the calls, one at a time, in chunks of 64 rows of one launch each.
#pragma once
#include <mutex>

#include "gpu/launcher.h"
#include "gpu/mirror.h"
#include "gpu/offload.h"

namespace rtd::gpu {

class DeviceIndex : public OffloadedIndex {
  public:
    DeviceIndex(std::unique_ptr<Device> device, const IndexConfig& config);
    void run(const OffloadedCall& call) override;
    bool reaches(const void* pointer) override;
    std::unique_ptr<OffloadedPlan> openPlan(const PlanConfig& config, const Snapshot& snapshot) override;

    // For plans: a snapshot's entries on the device, and how a launch is told of them.
    MirrorView show(const Snapshot& snapshot);
    void setEntries(const MirrorView& view, cuda::SearchFuseArgs& args) const { mirror_.setEntries(view, args); }

  private:
    struct Results;

    void runChunk(const OffloadedCall& call, uint32_t begin, uint32_t batch, Results& results);
    void uploadInputs(const OffloadedCall& call, uint32_t begin, uint32_t batch, cuda::SearchFuseArgs& args);

    const IndexConfig config_;
    std::unique_ptr<Device> device_;
    Mirror mirror_;
    Launcher launcher_;
    Buffer queries_, logits_, ids_, distances_, tokens_, counts_, statuses_;
    std::mutex calling_;  // of the device, the mirror and the launcher
};

}  // namespace rtd::gpu
