// An index on a device: its mirror, a workspace, and the calls, one at a time, in chunks of 64 rows of one launch each.
#pragma once
#include <mutex>

#include "gpu/mirror.h"
#include "gpu/offload.h"

namespace rtd::gpu {

class DeviceIndex : public OffloadedIndex {
  public:
    DeviceIndex(std::unique_ptr<Device> device, const IndexConfig& config);
    void run(const OffloadedCall& call) override;

  private:
    struct Results;

    void runChunk(const OffloadedCall& call, uint32_t begin, uint32_t batch, Results& results);
    const cuda::KernelEntry& kernelFor(uint32_t batch) const;
    void uploadRows(const OffloadedCall& call, uint32_t begin, uint32_t batch, cuda::SearchFuseArgs& args, uint32_t& maxHits);
    cuda::Workspace workspaceFor(uint32_t batch, uint32_t entries, uint32_t maxHits, uint32_t vocabulary);

    const IndexConfig config_;
    std::unique_ptr<Device> device_;
    Mirror mirror_;
    Buffer queries_, logits_, rows_, namespaces_, seeds_, ids_, distances_, tokens_, counts_, statuses_, workspace_;
    cuda::WorkspaceLayout layout_ = {0, 0, 0, 0};
    bool isWorkspaceClean_ = false;  // false after a launch that failed: what it left is not known
    std::mutex calling_;             // one launch at a time uses the workspace
};

}  // namespace rtd::gpu
