// An index: entries, the back end and the threads that search them. The C interface, the store and the tests work with this class.
//
// Any number of threads may search at once. Writers (add, remove, ...) wait for each other; each publishes a new snapshot at its end, so a call
// that throws changes nothing and a search sees whole writes only. A seal works on a snapshot and nobody but another seal waits for it.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/dtype.h"
#include "cpu/backend.h"
#include "index/call.h"
#include "index/entries.h"
#include "index/scratch.h"
#include "rtd.h"
#include "transform/transform.h"

namespace rtd {

struct IndexConfig {
    uint32_t dim = 0;  // of keys as they are searched, 1..RTD_MAX_DIM, a multiple of heads; the transform's outputDim, where there is one
    Metric metric = Metric::l2;
    Dtype dtype = Dtype::f32;
    uint32_t heads = 1;
    const char* backend = nullptr;                    // null or "auto": RTD_BACKEND, else the fastest
    uint32_t threads = 0;                             // 0: RTD_THREADS, else the processors of this process
    CascadeUse cascade = CascadeUse::automatic;       // RTD_CASCADE, else automatic
    std::shared_ptr<const Transform> transform = {};  // of given keys and queries; null: none

    // A config whose keys and queries are given with `givenDim` numbers. RTD_INVALID_ARGUMENT where that is not what the transform takes.
    void setSpace(uint32_t givenDim, std::shared_ptr<const Transform> through);
    uint32_t givenDim() const { return transform ? transform->inputDim() : dim; }
    size_t rowBytes() const { return size_t{dim} * bytesOf(dtype); }
};

// Who may write: the index's own users, or the store it belongs to.
enum class Ownership { self, store };

class WorkerPool;

class Index {
  public:
    // Checks the config: RTD_INVALID_ARGUMENT, RTD_UNSUPPORTED (back end).
    static std::shared_ptr<Index> create(const IndexConfig& config, Ownership ownership = Ownership::self);
    ~Index();

    const IndexConfig& config() const { return config_; }  // with backend and threads as resolved
    const cpu::Backend& backend() const { return *backend_; }
    bool usesCascades() const { return config_.cascade != CascadeUse::off; }
    bool ownedByStore() const { return ownership_ == Ownership::store; }  // rtd_index_add, _remove and _seal are then RTD_READ_ONLY
    Snapshot snapshot() const;
    uint64_t bytes() const;  // of all parts, with room not filled yet

    // ---- writers: they do not ask who owns the index ----

    // Copies keys (any dtype, rounded once to the index's) with tokens [rows] and namespaces [rows] (null: 0). Returns the first id.
    // RTD_NOT_FINITE, RTD_TOKEN_RANGE, RTD_INVALID_ARGUMENT, RTD_OUT_OF_MEMORY.
    uint32_t add(const rtd_matrix& keys, const int32_t* tokens, const uint32_t* namespaces);

    // Takes over a filled read-only part as it is; its keys are not looked at (a NaN counts as the farthest distance), its tokens are:
    // RTD_TOKEN_RANGE. Later adds begin a new part. Returns the first id.
    uint32_t addPart(Part part);

    // Ends the last part, so that later adds begin a new one, and returns the snapshot of whole parts there is now.
    Snapshot endPart();
    // Exchanges the memory of the entries [part.first, part.first + part.count), whole parts, for a part with the same content (a segment just
    // written).
    void replaceParts(Part part);

    // Removes entries; RTD_UNKNOWN_ID names the first that was never given, is removed already or comes twice.
    void remove(const uint32_t* ids, size_t count);
    void checkRemovable(const uint32_t* ids, size_t count) const;  // throws what remove would

    // The cascades of a snapshot's entries below `end`, which begin and end where its parts do: those there are, as far as they serve, and
    // new ones.
    std::vector<std::shared_ptr<const cascade::Cascade>> buildCascades(const Snapshot& snapshot, uint32_t end, const Call& call) const;

    // Computes the default temperature over the entries of a snapshot of this index (see rtd_index_seal) without keeping it.
    float computeTemperature(const Snapshot& snapshot, const Call& call) const;
    // Says that the ids below `end` are sealed, and sets the default temperature and the cascades.
    void markSealed(uint32_t end, float temperature, std::vector<std::shared_ptr<const cascade::Cascade>> cascades);
    // Both, while others may add and remove. The temperature stays as it was where nothing was added or removed since.
    void seal(const Call& call);

    // ---- readers ----

    // Any output may be null. RTD_UNKNOWN_ID for an id never given; removed ones are reported with live 0.
    void entriesOf(const uint32_t* ids, size_t count, int32_t* tokens, uint32_t* namespaces, uint8_t* live) const;
    void keysOf(const uint32_t* ids, size_t count, float* keys) const;  // [count, dim] as they are searched, exact

    WorkerPool& workers() const { return *workers_; }
    ScratchPool& scratch() const { return scratch_; }
    gpu::OffloadedIndex* offloaded() const { return offloaded_.get(); }  // null: searches run in this process's threads

  private:
    Index(const IndexConfig& config, Ownership ownership);

    void publish(Snapshot next);
    std::shared_ptr<const Tombstones> withRemoved(const Snapshot& snapshot, const uint32_t* ids, size_t count) const;

    IndexConfig config_;
    Ownership ownership_;
    const cpu::Backend* backend_;
    std::unique_ptr<WorkerPool> workers_;
    mutable ScratchPool scratch_;
    std::unique_ptr<gpu::OffloadedIndex> offloaded_;
    std::mutex sealing_;          // held by the one who seals; taken before writing_
    std::mutex writing_;          // held by the one writer, for as long as memory is written
    mutable std::mutex reading_;  // held while current_ is copied or exchanged, for some nanoseconds
    Snapshot current_;
    WritablePart tail_;              // the last part, where it is a chunk of ours that may have room; guarded by writing_
    bool changedSinceSeal_ = false;  // entries were removed; guarded by writing_
};

}  // namespace rtd
