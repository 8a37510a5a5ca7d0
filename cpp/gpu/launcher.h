// What a launch of the kernel takes beside its data: the options of its rows, a workspace and a grid. For one launch at a time.
#pragma once
#include <span>
#include <vector>

#include "core/arguments.h"
#include "gpu/cascade_mirror.h"
#include "gpu/device.h"
#include "index/index.h"
#include "index/row_options.h"

namespace rtd::gpu {

class Launcher {
  public:
    Launcher(Device& device, const IndexConfig& config);

    // Room for launches of up to `batch` queries with k up to maxHits over logits of up to `vocabulary`, over these cascades and about so many entries
    // (more or fewer is a matter of speed); it only ever grows.
    void makeRoom(uint32_t batch, uint32_t entries, const CascadeView& cascades, uint32_t maxHits, uint32_t vocabulary);
    // Has the workspace zeroed unless it is, and every kernel that batches may need loaded and allowed its shared memory: later launches are nothing but that.
    void prepare(uint32_t maxHits);

    // The options of the next launches' rows over so many entries, with k up to maxHits; fuses: their weights count.
    void setRows(std::span<const RowOptions> rows, uint32_t entries, uint32_t maxHits, bool fuses);

    // Completes the args of a launch for which there is room, with k up to maxHits, and launches it.
    void launch(cuda::SearchFuseArgs& args, uint32_t maxHits);
    // The launches so far have left the workspace as they found it. Without, the next one begins by zeroing it.
    void markClean() { isClean_ = true; }

  private:
    void clean();
    bool isWorthSifting(const cuda::SearchFuseArgs& args) const;
    void chooseCascade(cuda::SearchFuseArgs& args, const cuda::KernelEntry& kernel, unsigned resident) const;
    void searchForImages(cuda::SearchFuseArgs& args) const;
    const cuda::KernelEntry& kernelFor(uint32_t batch) const;

    Device& device_;
    const IndexConfig config_;
    Buffer rows_, namespaces_, seeds_, workspace_;
    cuda::WorkspaceLayout layout_ = {};
    bool hasSeeds_ = false;
    uint32_t mostHits_ = 0;  // that a row wants
    std::vector<cuda::CascadeSegment> segments_;
    bool isClean_ = false;  // false after a launch that failed: what it left is not known
};

// Rows [begin, begin + batch) of matrices on the device, as given queries and logits of a launch.
void setQueries(cuda::SearchFuseArgs& args, const MatrixView& queries, uint32_t begin, uint32_t batch);
void setLogits(cuda::SearchFuseArgs& args, const MatrixView& logits, uint32_t begin);

// RTD_INVALID_ARGUMENT naming `what` unless kernels on this device may use memory at this address.
void needReach(const Device& device, const void* pointer, const char* what);

}  // namespace rtd::gpu
