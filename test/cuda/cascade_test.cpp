// Searches of sealed indexes on the device give the bits of the oracle and of a CPU back end that scans.
#include <algorithm>
#include <cstdlib>

#include "../cascade/pair.h"
#include "tested_backend.h"

namespace {

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

// Scanned on the CPU, searched through the cascade on the device.
class DevicePair : public Pair {
  public:
    DevicePair(Distribution distribution, uint32_t entries, uint32_t queries, uint32_t dim, rtd_metric metric, rtd_dtype dtype, uint32_t heads = 1,
               rtd_cascade cascade = RTD_CASCADE_ALWAYS)
        : Pair(distribution, entries, queries, dim, metric, dtype, heads, testedBackend(), cascade, "serial") {}
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
                DevicePair pair(distribution, 601, 20, dim, metric, dtype);
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
        DevicePair pair(Distribution::powerLaw, 400, 10, 576, RTD_L2, RTD_F32, heads);
        pair.add(0, 400);
        pair.seal();
        for (const uint32_t batch : {1u, 10u}) pair.compare(batch, 7);
    }
}

TEST("cascades: removed entries and namespaces do not count, before and after a seal") {
    for (const Distribution distribution : {Distribution::powerLaw, Distribution::duplicates}) {
        if (isSlow() && distribution == Distribution::duplicates) continue;
        DevicePair pair(distribution, 800, 20, 300, RTD_L2, RTD_F32);
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
            pair.compare(batch, 5, 1, {3});
            pair.compare(batch, 40, 1, {0, 5, 100});
            pair.compare(batch, 3, 1, {100});
        }
    }
}

TEST("cascades: entries sealed bit by bit, and not at all") {
    DevicePair pair(Distribution::powerLaw, 1500, 20, 300, RTD_L2, RTD_F16);
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
        DevicePair pair(Distribution::powerLaw, 600, 20, 300, metric, RTD_F32);
        pair.add(0, 600);
        pair.seal();
        for (const float threshold : {0.001f, 10.0f, 20.0f, 30.0f, 400.0f}) pair.compare(9, 50, 1, {}, threshold);
        for (const float scale : {1e3f, 1e6f, 1e12f, 3e15f, 1e30f}) pair.compare(9, 10, 1, {}, 0, scale);
    }
}

TEST("cascades: where they cannot help a block gives up and scans") {
    for (const Distribution distribution : {Distribution::equal, Distribution::gauss}) {
        if (isSlow() && distribution == Distribution::gauss) continue;
        DevicePair pair(distribution, 5000, 20, 64, RTD_L2, RTD_F32, 1, RTD_CASCADE_AUTO);
        pair.add(0, 5000);
        pair.seal();
        for (const uint32_t batch : {1u, 9u}) pair.compare(batch, 16);
    }
}

}  // namespace
