// The entries of an index: parts that are only ever appended to, and snapshots of them that searches read without a lock.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cascade/cascade.h"
#include "core/dtype.h"

namespace rtd {

// A run of entries in one piece of memory. Rows of keys are contiguous, dim elements each, aligned to the element only.
struct Part {
    const void* keys = nullptr;            // [count, dim] in the index's dtype
    const int32_t* tokens = nullptr;       // [count], each >= 0
    const uint32_t* namespaces = nullptr;  // [count]; null: all 0
    uint32_t count = 0;                    // entries there is room for; the snapshot says how many of the last part are filled
    std::shared_ptr<const void> owner;     // keeps the memory alive: a chunk of ours, or a mapped file
    uint32_t first = 0;                    // id of the first entry; set by the index
};

// A part of our own with room for `count` entries; keys are 64-byte aligned. Only entries no snapshot shows yet may be written.
struct WritablePart {
    Part part;
    std::byte* keys = nullptr;
    int32_t* tokens = nullptr;
    uint32_t* namespaces = nullptr;
};
WritablePart allocatePart(uint32_t count, size_t rowBytes);  // RTD_OUT_OF_MEMORY

// Removed entries, one bit each. Copied when it changes, so that a running search keeps what it began with.
class Tombstones {
  public:
    bool has(uint32_t id) const { return id / 64 < words_.size() && words_[id / 64] >> id % 64 & 1; }
    void set(uint32_t id) {
        if (id / 64 >= words_.size()) words_.resize(id / 64 + 1);
        words_[id / 64] |= uint64_t{1} << id % 64;
    }

  private:
    std::vector<uint64_t> words_;
};

// What an index holds at one moment. Immutable; whoever has one can read its first `entries` entries for as long as it likes.
struct Snapshot {
    std::shared_ptr<const std::vector<Part>> parts;                 // in order of id, without gaps
    std::shared_ptr<const Tombstones> removed;                      // null: none
    std::vector<std::shared_ptr<const cascade::Cascade>> cascades;  // in order of id, with gaps that are scanned
    uint32_t entries = 0;                                           // ids given
    uint32_t live = 0;                                              // entries less the removed
    uint32_t sealed = 0;                                            // ids below are sealed
    int32_t maxToken = -1;                                          // the largest ever added
    float temperature = 0;                                          // the default, 0 if never sealed

    // Entries that cascades cover.
    uint64_t cascaded() const {
        uint64_t n = 0;
        for (const auto& cascade : cascades) n += cascade->count;
        return n;
    }
    // The part that holds an entry; id < entries.
    const Part& partOf(uint32_t id) const;
    // Filled entries of a part.
    uint32_t filled(const Part& part) const { return part.count < entries - part.first ? part.count : entries - part.first; }
    bool isLive(uint32_t id) const { return !(removed && removed->has(id)); }
};

}  // namespace rtd
