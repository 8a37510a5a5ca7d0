// The cascades of an index on a device, in the kernel's layout. What has no room there is scanned.
#pragma once
#include <memory>
#include <vector>

#include "gpu/device.h"
#include "index/index.h"

namespace rtd::gpu {

// Where the cascades of one snapshot lie. It holds their memory.
struct CascadeView {
    std::vector<std::shared_ptr<const Buffer>> levels;
    std::shared_ptr<const Buffer> directory;  // of segments and their levels; null: there are none
    std::vector<cuda::CascadeSegment> segments;
    cuda::LevelLayout layout = {};
    std::vector<cuda::Run> runs;  // entries that none of them covers

    bool operator==(const CascadeView& other) const { return directory == other.directory; }
};

class CascadeMirror {
  public:
    CascadeMirror(Device& device, const IndexConfig& config);

    // Makes the device hold a snapshot's cascades, as far as there is room. RTD_OUT_OF_MEMORY where they must be used.
    CascadeView show(const Snapshot& snapshot);

    // Tells a launch of a view, whose entries it knows.
    static void setCascades(const CascadeView& view, cuda::SearchFuseArgs& args);

  private:
    // One cascade on the device.
    struct Mirrored {
        std::shared_ptr<const cascade::Cascade> cascade;
        std::shared_ptr<const Buffer> buffer;  // null: it did not fit, or no bound holds of its keys
        std::vector<cuda::CascadeLevels> heads;
    };
    Mirrored mirror(const std::shared_ptr<const cascade::Cascade>& cascade);
    void upload(const cascade::Levels& levels, std::byte* to, cuda::CascadeLevels& made);

    Device& device_;
    const IndexConfig config_;
    const cuda::LevelLayout layout_;
    std::vector<Mirrored> mirrored_;  // those of the last snapshot
    std::shared_ptr<const Buffer> directory_;
    std::vector<const Buffer*> listed_;  // in the directory
    std::vector<std::byte> staging_;
};

}  // namespace rtd::gpu
