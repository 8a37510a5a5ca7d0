// A row while it is searched through a cascade: what is known of its nearest keys so far.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <vector>

#include "cascade/query.h"
#include "core/canonical.h"
#include "index/head_row.h"

namespace rtd {

// A key that levels 1 and 2 did not rule out.
struct Candidate {
    float lower;  // bound of its true distance, rounded down; without level 3 its score
    uint32_t place;
};

// A key that may be measured first.
struct Ranked {
    float distance;  // looks so far
    uint32_t place;
};

struct CascadeRow {
    const HeadRow* row = nullptr;
    const cascade::Levels* levels = nullptr;
    cascade::Query query;
    bool isBounded = false;
    uint16_t* scores = nullptr;            // [blocks, 32]
    std::vector<Ranked> ranked;            // those that look nearest by level 1
    std::vector<uint32_t> measured;        // keys whose canonical distance is asked for before the others' bounds
    std::vector<uint32_t> isMeasuredBits;  // a bit for each key
    double cost = 0;                       // of what is still to be done
    bool takesBlocks = false;              // level 2 of whole blocks costs less than of the keys that it is asked for
    bool skips2 = false;                   // level 2 rules out too few to be worth its bytes

    std::mutex mutex;             // guards what follows
    std::vector<uint64_t> found;  // order keys of the measured keys
    std::vector<Candidate> candidates;
    std::vector<float> uppers;                                     // upper bounds of true distances, of some accepted keys
    std::atomic<uint64_t> looked2 = 0, looked2b = 0, looked3 = 0;  // rows of levels
    std::atomic<double> radius = HUGE_VAL;                         // beyond it no key can be among the nearest; only ever falls

    bool isMeasured(uint32_t place) const { return isMeasuredBits[place / 32] >> place % 32 & 1; }

    // Beyond the radius no key can be among the nearest; it only ever falls.
    void lowerRadius(double to) {
        double known = radius.load(std::memory_order_relaxed);
        while (to < known && !radius.compare_exchange_weak(known, to, std::memory_order_relaxed)) {}
    }
    // By what the pool has seen.
    void lowerRadiusToPool() {
        const uint64_t bound = row->pool->bound();
        if (bound != RowPool::kNoBound) lowerRadius(query.distances().radius(valueOf(bound)));
    }
    // By the k-th smallest upper bound. Called by one thread at a time.
    void lowerRadiusToUppers() {
        const size_t k = row->wants->k;
        if (uppers.size() < k) return;
        const auto kth = uppers.begin() + static_cast<ptrdiff_t>(k - 1);
        std::nth_element(uppers.begin(), kth, uppers.end());
        uppers.erase(kth + 1, uppers.end());
        const DistanceBounds& distances = query.distances();
        lowerRadius(distances.radius(distances.value(static_cast<double>(uppers.back()))));
    }
};

}  // namespace rtd
