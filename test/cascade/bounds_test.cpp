// No level ever rules out a key that is as near as its canonical value says, whatever the data: 10^7 pairs of a key and a query.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cascade/build.h"
#include "cascade/data.h"
#include "cascade/query.h"
#include "core/canonical.h"
#include "cpu/dispatch.h"
#include "harness.h"
#include "index/workers.h"

namespace {

using namespace rtd;

constexpr uint32_t kKeys = test::kIsSlow ? 300 : 1300, kQueries = test::kIsSlow ? 3 : 36, kEvery = test::kIsSlow ? 41 : 1;

struct Setting {
    Distribution distribution;
    Metric metric;
    Dtype dtype;
    uint32_t dim;
    uint32_t rowBytes2b = 0;

    std::string text() const {
        return std::string(::nameOf(distribution)) + ", " + rtd::nameOf(metric) + ", " + rtd::nameOf(dtype) + ", " + std::to_string(dim) + " numbers";
    }
};

// What the levels are worth, so that a bound that never says anything does not pass.
struct Worth {
    double pairs = 0, lower3 = 0, ruledOut1 = 0, ruledOut2 = 0, ruledOut2b = 0;
};

// Of some keys and queries: every pair is kept by every level at the radius of its own value.
Worth checkPairs(const Setting& s, uint32_t seed, uint32_t keyCount = kKeys, uint32_t queryCount = kQueries) {
    std::vector<float> rows = makeRows(s.distribution, keyCount + queryCount, queryCount, s.dim, seed);
    if (s.dtype == Dtype::f16)
        for (float& x : rows) x = std::clamp(x, -60000.0f, 60000.0f);
    std::vector<std::byte> keys(size_t{keyCount} * s.dim * bytesOf(s.dtype));
    convertFromFloat(rows.data(), size_t{keyCount} * s.dim, s.dtype, keys.data());
    const float* queries = rows.data() + size_t{keyCount} * s.dim;

    const cpu::Backend& backend = cpu::chooseInstructionSet();
    WorkerPool workers;
    const auto read = [&](uint32_t begin, uint32_t count, float* to, size_t stride) {
        for (uint32_t i = 0; i < count; ++i)
            convertToFloat(keys.data() + size_t{begin + i} * s.dim * bytesOf(s.dtype), s.dtype, s.dim, to + i * stride);
    };
    const auto levels = cascade::buildLevels({s.metric, s.dim, keyCount, s.rowBytes2b}, read, backend, workers, 1, {});
    CHECK(levels != nullptr);
    const cascade::LevelShape& shape = levels->shape;
    const std::vector<uint32_t> outliers(levels->outliers, levels->outliers + levels->outlierCount);
    CHECK(std::is_sorted(outliers.begin(), outliers.end()));
    CHECK(outliers.size() <= keyCount / 100);

    const auto tileSums = (s.metric == Metric::dot ? backend.dot : backend.l2)[static_cast<size_t>(s.dtype)];
    std::vector<float> sums(size_t{queryCount} * keyCount);
    tileSums({queries, s.dim, queryCount}, {keys.data(), s.dim, keyCount, s.dim}, sums.data(), keyCount);

    const size_t blocks = cascade::LevelShape::blocksOf(keyCount);
    std::vector<uint16_t> scores(blocks * cpu::kBlockKeys);
    Worth worth;
    for (uint32_t q = 0; q < queryCount; ++q) {
        cascade::Query query;
        if (!query.prepare(*levels, s.metric, queries + size_t{q} * s.dim, backend)) continue;  // then a scan does it
        query.setScoreShift(seed % 3 * 5 + q % 8);
        const cpu::BlockQuery blockQuery = query.blockQuery();
        backend.codes.blockScores(levels->level1, blocks, shape.groups(), &blockQuery, 1, scores.data(), scores.size());
        const DistanceBounds& distances = query.distances();
        std::vector<float> values;
        for (uint32_t i = 0; i < keyCount; ++i) values.push_back(orderedValue(sums[size_t{q} * keyCount + i], s.metric == Metric::dot));
        std::vector<float> sorted = values;
        std::nth_element(sorted.begin(), sorted.begin() + 10, sorted.end());
        const double near = distances.radius(sorted[10]);

        for (uint32_t i = 0; i < keyCount; ++i) {
            const double radius = distances.radius(values[i]);
            const auto fail = [&](const char* level) {
                test::fail(__FILE__, __LINE__,
                           std::string(level) + " rules out key " + std::to_string(i) + " of query " + std::to_string(q) + ", value " +
                               test::show(values[i]) + ": " + s.text());
            };
            const bool isOutlier = std::binary_search(outliers.begin(), outliers.end(), i);
            if (!isOutlier && scores[i] > query.largestScore(radius)) fail("level 1");
            worth.pairs += 1;
            worth.ruledOut1 += !isOutlier && scores[i] > query.largestScore(near);
            if (shape.directions2) {
                const uint8_t* row = levels->level2 + size_t{i} * cascade::kRowBytes2;
                cascade::Tail2 tail;
                std::memcpy(&tail, row + cascade::kCodes2, sizeof tail);
                CHECK_EQUAL(tail.isOutlier != 0, isOutlier);
                cpu::Level2Keys level2{};
                level2.step[0] = tail.step;
                level2.norm[0] = tail.norm;
                level2.error[0] = tail.error;
                level2.residual[0] = static_cast<float>(tail.residual1 - cascade::kZeroCode);
                const uint16_t score[cpu::kBlockKeys] = {scores[i]};
                int32_t sum[cpu::kBlockKeys] = {};
                backend.codes.rowSums(&row, 1, cascade::kRowBytes2, query.two().codes(), sum);
                const auto isKept = [&](double r) { return (backend.codes.withinReach(score, sum, level2, query.level2Query(r)) & 1) != 0; };
                if (!isKept(radius)) fail("level 2");
                worth.ruledOut2 += !isKept(near);
                if (shape.rowBytes2b) {
                    const double before = query.squared2(scores[i], sum[0], row).withoutResidual;
                    const uint8_t* rowB = levels->level2b + size_t{i} * shape.rowBytes2b;
                    cascade::Tail2b tailB;
                    std::memcpy(&tailB, rowB + shape.codes2b(), sizeof tailB);
                    int32_t sumB;
                    backend.codes.rowSums(&rowB, 1, shape.rowBytes2b, query.twoB().codes(), &sumB);
                    if (!isOutlier && !query.mayBeWithin2b(radius, before, sumB, tailB)) fail("level 2b");
                    worth.ruledOut2b += !query.mayBeWithin2b(near, before, sumB, tailB);
                }
            }
            if (shape.hasLevel3) {
                const uint8_t* row = levels->level3 + size_t{i} * shape.rowBytes3();
                cascade::Tail3 tail;
                std::memcpy(&tail, row + shape.tail3(), sizeof tail);
                int32_t sum;
                backend.codes.rowSums(&row, 1, (shape.length + 63) / 64 * 64, query.three().codes(), &sum);
                const cascade::Bounds bounds = query.bounds3(sum, tail);
                if (!query.mayBeWithin3(radius, sum, tail) || bounds.lower > radius) fail("level 3");
                if (distances.value(bounds.upper) < values[i]) fail("level 3, from above,");
                CHECK(bounds.lower <= bounds.upper);
                worth.lower3 += radius > 0 ? bounds.lower / radius : 1;
            }
        }
    }
    return worth;
}

TEST("no level rules out a key that is near enough") {
    double pairs = 0;
    uint32_t seed = 0;
    for (const Distribution distribution : kDistributions)
        for (const Metric metric : {Metric::l2, Metric::dot})
            for (const Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::bf16}) {
                if (dtype == Dtype::f16 && (distribution == Distribution::huge || distribution == Distribution::tiny)) continue;
                for (const uint32_t dim : {7u, 130u, 576u})  // with one level, two and three
                    if (++seed % kEvery == 0) pairs += checkPairs({distribution, metric, dtype, dim}, seed).pairs;
                if (dtype != Dtype::f32) continue;
                const Setting all = {distribution, metric, dtype, 900, 128};
                if (++seed % kEvery == 0) pairs += checkPairs(all, seed, kKeys / 2, kQueries / 4).pairs;
            }
    std::printf("    %.0f pairs\n", pairs);
    if (kEvery == 1) CHECK(pairs > 1e7);
}

TEST("large dimensions") {
    for (const uint32_t dim : {1000u, 4096u, 65536u})
        for (const Metric metric : {Metric::l2, Metric::dot})
            if (dim < 5000 || kEvery == 1)
                checkPairs({Distribution::powerLaw, metric, Dtype::bf16, dim, dim > 5000 ? 0u : dim > 4000 ? 512u : 128u}, dim, 100, 5);
}

TEST("on keys like hidden states the bounds are tight") {
    for (const Dtype dtype : {Dtype::f32, Dtype::f16}) {
        const Worth worth = checkPairs({Distribution::powerLaw, Metric::l2, dtype, 576}, 1);
        CHECK(worth.ruledOut1 > 0.5 * worth.pairs);
        CHECK(worth.ruledOut2 > 0.8 * worth.pairs);
        CHECK(worth.lower3 > 0.9 * worth.pairs);
    }
}

TEST("further directions tighten the bounds where there is something in them") {
    const Worth worth = checkPairs({Distribution::slowDecay, Metric::l2, Dtype::f32, 900, 128}, 1);
    CHECK(worth.ruledOut2b > worth.ruledOut2 + 0.1 * worth.pairs);
}

TEST("numbers beyond the limit have no bounds") {
    const cpu::Backend& backend = cpu::chooseInstructionSet();
    WorkerPool workers;
    const auto read = [](uint32_t begin, uint32_t count, float* to, size_t stride) {
        for (uint32_t i = 0; i < count; ++i)
            for (size_t j = 0; j < 8; ++j) to[i * stride + j] = begin + i == 77 && j == 3 ? -1e15f : 1.0f;
    };
    CHECK(cascade::buildLevels({Metric::l2, 8, 100}, read, backend, workers, 1, {}) == nullptr);
    CHECK(cascade::buildLevels({Metric::l2, 8, 77}, read, backend, workers, 1, {}) != nullptr);
}

}  // namespace
