// A cascade: the levels of a run of entries, for every head. Made of a snapshot; its levels never change.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "cascade/levels.h"
#include "cascade/usefulness.h"

namespace rtd::cascade {

struct Head {
    std::unique_ptr<const Levels> levels;  // null: no bound holds of its keys
    std::unique_ptr<Usefulness> usefulness = std::make_unique<Usefulness>();
};

struct Cascade {
    uint32_t first = 0, count = 0;  // ids [first, first + count)
    LevelShape shape;
    std::vector<Head> heads;
    bool isMapped = false;  // levels are pages of a file, which the system may drop

    uint64_t bytes() const {
        uint64_t bytes = 0;
        for (const Head& head : heads) bytes += head.levels ? head.levels->bytes() : 0;
        return bytes;
    }
};

// By default, shorter runs are scanned: their levels would hold little more than directions.
constexpr uint32_t kSmallestCascade = 4096;

}  // namespace rtd::cascade
