// The entries of an index on a device, in the kernel's layout. Kept up to date by what was added and removed since the last call.
#pragma once
#include <memory>
#include <vector>

#include "gpu/device.h"
#include "index/index.h"

namespace rtd::gpu {

class Mirror {
  public:
    Mirror(Device& device, const IndexConfig& config);

    // Makes the device hold a snapshot's entries, and sets the args that say where they are. An error leaves it as it was or in between; a later
    // call goes on from there.
    void show(const Snapshot& snapshot, cuda::SearchFuseArgs& args);

    const cuda::KeyLayout& layout() const { return layout_; }

  private:
    void append(const Snapshot& snapshot);
    void mark(const Snapshot& snapshot);

    Device& device_;
    const IndexConfig config_;
    const cuda::KeyLayout layout_;
    const uint32_t headDim_;
    Buffer keys_, tokens_, namespaces_, removed_;
    uint32_t entries_ = 0;                      // on the device
    std::shared_ptr<const Tombstones> marked_;  // whose bits are on the device; null: none
    uint32_t markedEntries_ = 0;
    std::vector<std::byte> staging_;
};

}  // namespace rtd::gpu
