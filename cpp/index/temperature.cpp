#include "index/temperature.h"

#include <algorithm>
#include <cmath>

#include "core/canonical.h"
#include "core/memory.h"
#include "index/search.h"

namespace rtd {
namespace {

constexpr uint32_t kSampledKeys = 128, kNeighbours = 64;

// Ids of up to kSampledKeys live entries, evenly spaced among them.
std::vector<uint32_t> sampleLive(const Snapshot& snapshot) {
    const uint64_t count = std::min(snapshot.live, kSampledKeys);
    std::vector<uint32_t> ids;
    uint64_t rank = 0;
    for (uint32_t id = 0; ids.size() < count; ++id) {
        if (!snapshot.isLive(id)) continue;
        if (rank == ids.size() * snapshot.live / count) ids.push_back(id);
        ++rank;
    }
    return ids;
}

// Of a list that is not empty.
double median(std::vector<double>& values) {
    std::sort(values.begin(), values.end());
    return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

}  // namespace

float defaultTemperature(const Index& index, const Snapshot& snapshot, const Call& call) {
    if (snapshot.live == 0) return 0;
    const uint32_t neighbours = std::min(kNeighbours, snapshot.live - 1), heads = index.config().heads;
    if (neighbours == 0) return 1;

    const std::vector<uint32_t> ids = sampleLive(snapshot);
    const auto queries = allocate<float>(ids.size() * index.config().dim, "sampled keys");
    index.keysOf(ids.data(), ids.size(), queries.get());
    SearchRow row;
    row.k = neighbours + 1;
    const HitLists hits = search(index, snapshot, queries.get(), std::vector<SearchRow>(ids.size(), row), call);

    const bool isRoot = index.config().metric == Metric::l2;
    std::vector<double> differences, positive;
    for (size_t r = 0; r < ids.size() * heads; ++r) {
        std::vector<double> distances;  // the key itself left out; where farther ones fill its row, it is the last that goes
        for (const uint64_t key : hits.row(r))
            if (idOf(key) != ids[r / heads]) distances.push_back(static_cast<double>(distanceOf(key, isRoot)));
        const double difference = distances[neighbours - 1] - distances[0];
        if (!std::isfinite(difference)) continue;  // of distances that overflowed
        differences.push_back(difference);
        if (difference > 0) positive.push_back(difference);
    }
    const auto temperature = [](std::vector<double>& of) { return of.empty() ? 0.0f : static_cast<float>(0.4 * median(of)); };
    if (const float t = temperature(differences); t > 0) return t;
    if (const float t = temperature(positive); t > 0) return t;
    return 1;
}

}  // namespace rtd
