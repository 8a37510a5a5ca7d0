// The entries of an index on a device, in the kernel's layout. Kept up to date by what was added and removed since the last call.
#pragma once
#include <memory>
#include <vector>

#include "gpu/cascade_mirror.h"
#include "gpu/device.h"
#include "index/index.h"

namespace rtd::gpu {

// Where the entries of one snapshot lie. It holds their memory: what comes after only writes behind them, or to memory of its own.
struct MirrorView {
    std::shared_ptr<const Buffer> keys, tokens, namespaces;
    std::shared_ptr<const Buffer> removed;  // null: none
    CascadeView cascades;
    uint32_t entries = 0;

    bool operator==(const MirrorView&) const = default;
};

class Mirror {
  public:
    Mirror(Device& device, const IndexConfig& config);

    // Makes the device hold a snapshot's entries. An error leaves it as it was or in between; a later call goes on from there.
    MirrorView show(const Snapshot& snapshot);

    // Tells a launch of a view.
    void setEntries(const MirrorView& view, cuda::SearchFuseArgs& args) const;

    const cuda::KeyLayout& layout() const { return layout_; }

  private:
    void uploadTransform();
    void append(const Snapshot& snapshot);
    void mark(const Snapshot& snapshot);
    void grow(std::shared_ptr<Buffer>& buffer, const char* what, size_t bytes, size_t keep);

    Device& device_;
    const IndexConfig config_;
    const cuda::KeyLayout layout_;
    const uint32_t headDim_;
    CascadeMirror cascades_;
    Buffer transform_;  // mean, then weights, which never change; as rows of cuda::alignedStride(its inputDim)
    std::shared_ptr<Buffer> keys_, tokens_, namespaces_, removed_;
    uint32_t entries_ = 0;                      // on the device
    std::shared_ptr<const Tombstones> marked_;  // whose bits are on the device; null: none
    uint32_t markedEntries_ = 0;
    std::vector<std::byte> staging_;
};

}  // namespace rtd::gpu
