// What levels 2 and 3 of a cascade leave of the keys that level 1 did not rule out: candidates, with bounds of their distances.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "cascade/cascade.h"
#include "index/call.h"
#include "index/cascade_row.h"

namespace rtd {

struct Level2Block;

class LevelFilter {
  public:
    static constexpr size_t kChunkBlocks = 64;                            // blocks of level 1 that a thread takes at a time ...
    static constexpr size_t kRankedForEach = 4;                           // keys that level 2 ranks for each that it shall find
    static constexpr size_t kChunkKeys = kChunkBlocks * cpu::kBlockKeys;  // ... and the keys in them

    // isOnDisk: rows of levels are asked for page by page.
    LevelFilter(const Snapshot& snapshot, const cascade::Cascade& cascade, const cascade::Levels& levels, const cpu::CodeSums& codes, bool isOnDisk,
                const Call& call)
        : snapshot_(snapshot), cascade_(cascade), levels_(levels), codes_(codes), isOnDisk_(isOnDisk), call_(call) {}

    size_t chunks() const { return (cascade::LevelShape::blocksOf(levels_.count) + kChunkBlocks - 1) / kChunkBlocks; }

    // Gives keys that the row does not accept the worst score, so that those which count for nothing do not count as the nearest either.
    void maskScores(CascadeRow& row) const;

    // Accepted keys that look nearest by level 1, enough for level 2 to choose about `count` of; fewer where many look alike.
    std::vector<Ranked> likeliest(const CascadeRow& row, size_t count) const;
    // Ranks some of them by level 2.
    void rank(const CascadeRow& row, std::span<Ranked> keys) const;
    // Candidates from a chunk's keys, for rows of one head, as far as their radii allow.
    void sweep(const std::vector<CascadeRow*>& rows, size_t chunk) const;

  private:
    bool isFiltered(const SearchRow& wants) const { return snapshot_.removed || !wants.anyNamespace; }
    size_t removeUnaccepted(const SearchRow& wants, std::span<uint32_t> places) const;
    uint16_t scoreOf(const CascadeRow& row, size_t wanted) const;
    struct Chunk {
        size_t begin, blocks;
    };
    Chunk chunkAt(size_t chunk) const;
    bool isOutlier(uint32_t place) const;
    std::unique_ptr<Level2Block[]> readBlocks(const Chunk& chunk) const;
    size_t select(const CascadeRow& row, const Chunk& chunk, uint16_t most, uint32_t* places) const;
    void ask(const void* row, size_t bytes) const;
    struct Survivors;
    void addSurvivor(const CascadeRow& row, uint32_t place, int32_t sum, Survivors& to) const;
    void keepByLevel2(const CascadeRow& row, const Chunk& chunk, const Level2Block* blocks, uint16_t most, Survivors& to) const;
    void keepByLevel2(CascadeRow& row, std::span<const uint32_t> places, bool areOutliers, Survivors& to) const;
    void keepFurther(CascadeRow& row, Survivors& survivors) const;
    void keepByLevel2b(CascadeRow& row, Survivors& survivors) const;
    void keepByLevel3(CascadeRow& row, std::span<const uint32_t> places) const;

    const Snapshot& snapshot_;
    const cascade::Cascade& cascade_;
    const cascade::Levels& levels_;
    const cpu::CodeSums& codes_;
    bool isOnDisk_;
    const Call& call_;
};

}  // namespace rtd
