// What the levels of a head's keys take from a sample of them: mean, directions, grids, and how long the rows of level 2b are worth being.
#pragma once
#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

#include "cascade/directions.h"
#include "cascade/levels.h"

namespace rtd::cascade {

struct Fit {
    LevelShape shape;
    LevelScales scales;       // but for error1, which takes all keys, and largestKey
    std::vector<float> mean;  // [length]
    std::vector<F16> basis;   // [directions, length]
};

// shape: without level 2b. sample: [rows, length], numbers as levels see them but for the mean; more: more of the `count` keys, read alike, by which
// directions are refined. rowBytes2b: of level 2b's rows; none: what is best for the sample. RTD_CANCELLED.
Fit fitToSample(const LevelShape& shape, std::vector<float> sample, const Rows& more, uint32_t count, std::optional<uint32_t> rowBytes2b,
                const Means& means);

// The q-quantile of values; changes their order.
template <typename T>
T quantile(std::vector<T>& values, double q) {
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

}  // namespace rtd::cascade
