// What levels 2 and 3 of a cascade leave of the keys that level 1 did not rule out: candidates, with bounds of their distances.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "cascade/cascade.h"
#include "index/call.h"
#include "index/cascade_row.h"

namespace rtd {

class LevelFilter {
  public:
    static constexpr size_t kChunkBlocks = 64;                            // blocks of level 1 that a thread takes at a time ...
    static constexpr size_t kChunkKeys = kChunkBlocks * cpu::kBlockKeys;  // ... and the keys in them
    static constexpr size_t kWideRows = 8;  // as many rows look at level 2 of all keys together, fewer each at the keys it needs

    LevelFilter(const Snapshot& snapshot, const cascade::Cascade& cascade, const cascade::Levels& levels, const cpu::CodeSums& codes,
                const Call& call)
        : snapshot_(snapshot), cascade_(cascade), levels_(levels), codes_(codes), call_(call) {}

    size_t chunks() const { return (cascade::LevelShape::blocksOf(levels_.count) + kChunkBlocks - 1) / kChunkBlocks; }

    // Gives keys that the row does not accept the worst score, so that those which count for nothing do not count as the nearest either.
    void maskScores(CascadeRow& row) const;

    // Candidates from a chunk's keys with a score in least..most, as far as the row's radius allows. Returns how many keys that were.
    size_t visit(CascadeRow& row, size_t chunk, uint16_t least, uint16_t most) const;
    // From level 1's outliers.
    void visitOutliers(CascadeRow& row) const;
    // From all keys of a chunk that were not probed, for one row, or for many: then level 2 is read once and in order.
    void sweep(CascadeRow& row, size_t chunk) const;
    void sweep(const std::vector<CascadeRow*>& rows, size_t chunk) const;

  private:
    bool isFiltered(const SearchRow& wants) const { return snapshot_.removed || !wants.anyNamespace; }
    bool acceptsPlace(const SearchRow& wants, uint32_t place) const;
    void visitPlaces(CascadeRow& row, std::span<const uint32_t> places, bool areOutliers) const;
    size_t keepByLevel2(CascadeRow& row, std::span<const uint32_t> places, bool areOutliers, uint32_t* kept) const;
    void keepFurther(CascadeRow& row, std::span<uint32_t> places, bool areOutliers) const;
    void keepByLevel3(CascadeRow& row, std::span<const uint32_t> places, bool areOutliers) const;

    const Snapshot& snapshot_;
    const cascade::Cascade& cascade_;
    const cascade::Levels& levels_;
    const cpu::CodeSums& codes_;
    const Call& call_;
};

}  // namespace rtd
