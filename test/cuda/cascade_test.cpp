// Searches of sealed indexes on the device give the bits of the oracle and of a CPU back end that scans.
#include <algorithm>
#include <cstdlib>

#include "../cascade/data.h"
#include "../core/case.h"
#include "../harness.h"
#include "tested_backend.h"

namespace {

rtd_index_options optionsOf(uint32_t dim, rtd_metric metric, rtd_dtype dtype, uint32_t heads, const char* backend, rtd_cascade cascade) {
    rtd_index_options options = indexOptions(dim, metric, dtype, heads, backend);
    options.cascade = cascade;
    return options;
}

// A tenth of the speed, or less, under sanitizers and emulators.
bool isSlow() { return std::getenv("RTD_KERNEL_CASES") != nullptr; }

Shape smaller(Shape s) {
    if (s.entries > 5000) s.entries = 1500;
    return s;
}

TEST("cascades: random cases through the C interface") {
    const char* wanted = std::getenv("RTD_KERNEL_CASES");
    const uint64_t cases = wanted ? static_cast<uint64_t>(std::atoi(wanted)) / 20 : 60;
    std::mt19937_64 random(15);
    for (uint64_t i = 0; i < cases; ++i) {
        Shape shape = smaller(randomShape(random));
        if (i % 3 == 0) shape.dim = shape.heads * static_cast<uint32_t>(120 + random() % 250);  // with levels 2 and 3
        if (i % 9 == 0) shape.heads = 1;
        const Case c = makeCase(shape, i, false);
        const rtd_dtype logits = i % 4 ? RTD_F32 : RTD_F16;
        try {
            const TestIndex index(optionsOf(shape.dim, shape.metric, shape.dtype, shape.heads, testedBackend(), RTD_CASCADE_ALWAYS));
            fillIndex(index, c);
            CHECK_OK(rtd_index_seal(index, nullptr));
            checkSame(run(index, c, {testedBackend(), 1, logits, i % 5 == 0}), expected(c, logits));
        } catch (const std::exception& error) { throw test::Failure(std::string(error.what()) + "\n    in: " + shape.text()); }
    }
}

// Two indexes with the same entries: one on the CPU, which scans, one on the device.
class Pair {
  public:
    Pair(Distribution distribution, uint32_t entries, uint32_t queries, uint32_t dim, rtd_metric metric, rtd_dtype dtype, uint32_t heads = 1,
         rtd_cascade cascade = RTD_CASCADE_ALWAYS)
        : dim_(dim),
          heads_(heads),
          entries_(entries),
          queryCount_(queries),
          rows_(makeRows(distribution, entries + queries, queries, dim, entries)),
          scanning_(optionsOf(dim, metric, dtype, heads, "serial", RTD_CASCADE_OFF)),
          cascading_(optionsOf(dim, metric, dtype, heads, testedBackend(), cascade)) {
        if (dtype == RTD_F16)
            for (float& x : rows_) x = std::clamp(x, -60000.0f, 60000.0f);
    }

    // Adds entries [begin, end) to both.
    void add(uint32_t begin, uint32_t end) {
        std::vector<int32_t> tokens;
        std::vector<uint32_t> namespaces;
        for (uint32_t i = begin; i < end; ++i) {
            tokens.push_back(static_cast<int32_t>(i % 1000));
            namespaces.push_back(i % 7);
        }
        const rtd_matrix keys = {rows_.data() + size_t{begin} * dim_, end - begin, dim_, 0, RTD_F32};
        for (rtd_index* index : {static_cast<rtd_index*>(scanning_), static_cast<rtd_index*>(cascading_)})
            CHECK_OK(rtd_index_add(index, &keys, tokens.data(), namespaces.data(), nullptr));
    }
    void remove(const std::vector<uint32_t>& ids) {
        for (rtd_index* index : {static_cast<rtd_index*>(scanning_), static_cast<rtd_index*>(cascading_)})
            CHECK_OK(rtd_index_remove(index, ids.data(), ids.size()));
    }
    void seal() { CHECK_OK(rtd_index_seal(cascading_, nullptr)); }

    // Both give the same hits for the first queries, and for multiples of them.
    void compare(uint32_t batch, uint32_t k, const std::vector<uint32_t>& namespaces = {}, float maxDistance = 0, float scale = 1) {
        rtd_row_options row = rowOptions(k);
        row.namespaces = namespaces.data();
        row.namespace_count = static_cast<uint32_t>(namespaces.size());
        row.max_distance = maxDistance;
        if (maxDistance > 0) row.flags |= RTD_ROW_MAX_DISTANCE;
        std::vector<float> given;
        for (uint32_t b = 0; b < batch; ++b)
            for (uint32_t j = 0; j < dim_; ++j) given.push_back(scale * rows_[(entries_ + b % queryCount_) * dim_ + j]);
        const rtd_matrix queries = {given.data(), batch, dim_, 0, RTD_F32};
        std::vector<uint32_t> ids[2], counts[2];
        std::vector<float> distances[2];
        for (const bool isCascading : {false, true}) {
            ids[isCascading].assign(size_t{batch} * heads_ * k, 1);
            distances[isCascading].assign(size_t{batch} * heads_ * k, 1);
            counts[isCascading].assign(size_t{batch} * heads_, 1);
            const rtd_hits hits = {ids[isCascading].data(), distances[isCascading].data(), nullptr, counts[isCascading].data(), k};
            CHECK_OK(rtd_search(isCascading ? cascading_ : scanning_, &queries, &row, 1, nullptr, &hits));
        }
        CHECK_SAME_BITS(ids[1], ids[0]);
        CHECK_SAME_BITS(distances[1], distances[0]);
        CHECK_SAME_BITS(counts[1], counts[0]);
    }

  private:
    uint32_t dim_, heads_, entries_, queryCount_;
    std::vector<float> rows_;
    TestIndex scanning_, cascading_;
};

constexpr uint32_t kBatches[] = {1, 3, 9, 20};

TEST("cascades: every distribution, metric and dtype, one row and many") {
    uint32_t n = 0;
    for (const Distribution distribution : kDistributions)
        for (const rtd_metric metric : {RTD_L2, RTD_DOT})
            for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16}) {
                if (dtype == RTD_F16 && distribution == Distribution::huge) continue;
                const uint32_t dim = std::vector<uint32_t>{64, 300, 33}[++n % 3];
                if (isSlow() && n % 9 != 0) continue;
                Pair pair(distribution, 601, 20, dim, metric, dtype);
                pair.add(0, 601);
                pair.seal();
                try {
                    for (const uint32_t batch : {kBatches[n % 2], kBatches[2 + n / 2 % 2]})
                        pair.compare(batch, std::vector<uint32_t>{1, 16, 200}[(n + batch) % 3]);
                } catch (const std::exception& error) {
                    throw test::Failure(std::string(nameOf(distribution)) + ", metric " + std::to_string(metric) + ", dtype " +
                                        std::to_string(dtype) + ", dim " + std::to_string(dim) + ": " + error.what());
                }
            }
}

TEST("cascades: heads, of slices short and long") {
    for (const uint32_t heads : {4u, 32u}) {
        Pair pair(Distribution::powerLaw, 400, 10, 576, RTD_L2, RTD_F32, heads);
        pair.add(0, 400);
        pair.seal();
        for (const uint32_t batch : {1u, 10u}) pair.compare(batch, 7);
    }
}

TEST("cascades: removed entries and namespaces do not count, before and after a seal") {
    for (const Distribution distribution : {Distribution::powerLaw, Distribution::duplicates}) {
        if (isSlow() && distribution == Distribution::duplicates) continue;
        Pair pair(distribution, 800, 20, 300, RTD_L2, RTD_F32);
        pair.add(0, 600);
        std::vector<uint32_t> some;
        for (uint32_t id = 0; id < 600; id += 3) some.push_back(id);
        pair.remove(some);
        pair.seal();
        pair.compare(9, 64);
        some.clear();
        for (uint32_t id = 1; id < 600; id += 3) some.push_back(id);
        pair.remove(some);
        pair.add(600, 800);
        for (const uint32_t batch : kBatches) {
            pair.compare(batch, 30);
            pair.compare(batch, 5, {3});
            pair.compare(batch, 40, {0, 5, 100});
            pair.compare(batch, 3, {100});
        }
    }
}

TEST("cascades: entries sealed bit by bit, and not at all") {
    Pair pair(Distribution::powerLaw, 1500, 20, 300, RTD_L2, RTD_F16);
    uint32_t added = 0;
    for (const uint32_t n : {1u, 2u, 31u, 32u, 33u, 100u, 500u, 200u, 5u, 300u, 296u}) {
        pair.add(added, added + n);
        added += n;
        pair.compare(3, 40);
        if (n != 300) pair.seal();
        pair.compare(3, 40);
        pair.compare(20, 7);
    }
}

TEST("cascades: a distance threshold, and queries far from all keys") {
    for (const rtd_metric metric : {RTD_L2, RTD_L2SQ}) {
        Pair pair(Distribution::powerLaw, 600, 20, 300, metric, RTD_F32);
        pair.add(0, 600);
        pair.seal();
        for (const float threshold : {0.001f, 10.0f, 20.0f, 30.0f, 400.0f}) pair.compare(9, 50, {}, threshold);
        for (const float scale : {1e3f, 1e6f, 1e12f, 3e15f, 1e30f}) pair.compare(9, 10, {}, 0, scale);
    }
}

TEST("cascades: where they cannot help a block gives up and scans") {
    for (const Distribution distribution : {Distribution::equal, Distribution::gauss}) {
        if (isSlow() && distribution == Distribution::gauss) continue;
        Pair pair(distribution, 5000, 20, 64, RTD_L2, RTD_F32, 1, RTD_CASCADE_AUTO);
        pair.add(0, 5000);
        pair.seal();
        for (const uint32_t batch : {1u, 9u}) pair.compare(batch, 16);
    }
}

}  // namespace
