// Searches through a cascade give what the oracle and a scan give, bit for bit.
#include <algorithm>
#include <cstdlib>

#include "cascade/pair.h"
#include "core/case.h"
#include "harness.h"

namespace {

TEST("random cases give the oracle's bits") {
    const char* wanted = std::getenv("RTD_TEST_CASES");
    const int cases = wanted ? std::atoi(wanted) : test::kIsSlow ? 15 : 150;
    std::mt19937_64 random(11);
    for (int i = 0; i < cases; ++i) {
        const Shape shape = randomShape(random);
        const Case c = makeCase(shape, static_cast<uint64_t>(i), false);
        const Answer want = expected(c, RTD_F32);
        for (const char* backend : usableBackends()) try {
                const TestIndex index(optionsOf(shape.dim, shape.metric, shape.dtype, shape.heads, backend, RTD_CASCADE_ALWAYS));
                fillIndex(index, c);
                CHECK_OK(rtd_index_seal(index, nullptr));
                checkSame(run(index, c, {backend, 1}), want);
                checkSame(run(index, c, {backend, 3}), want);
            } catch (const std::exception& error) { throw test::Failure(std::string(backend) + ", " + shape.text() + ": " + error.what()); }
    }
}

constexpr uint32_t kBatches[] = {1, 3, 9, 20};

TEST("every distribution, metric and dtype, some rows at a time and many") {
    uint32_t n = 0;
    for (const Distribution distribution : kDistributions)
        for (const rtd_metric metric : {RTD_L2, RTD_DOT})  // l2sq is l2 with another root at the end
            for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16}) {
                if (dtype == RTD_F16 && distribution == Distribution::huge) continue;
                if (test::kIsSlow && n++ % 29 != 0) continue;
                const uint32_t dim = std::vector<uint32_t>{64, 300, 576, 33}[++n % 4];
                Pair pair(distribution, 3001, 20, dim, metric, dtype, 1, nullptr);
                pair.add(0, 3001);
                pair.seal();
                try {
                    for (const uint32_t batch : kBatches)
                        for (const uint32_t k : {1u, 16u, 200u, 2048u}) pair.compare(batch, k, 1 + n % 2);
                } catch (const std::exception& error) {
                    throw test::Failure(std::string(nameOf(distribution)) + ", metric " + std::to_string(metric) + ", dtype " +
                                        std::to_string(dtype) + ", dim " + std::to_string(dim) + ": " + error.what());
                }
            }
}

TEST("every back end") {
    for (const char* backend : usableBackends())
        for (const rtd_metric metric : {RTD_L2, RTD_DOT}) {
            const uint32_t entries = test::kIsSlow ? 600 : 5000;
            Pair pair(Distribution::powerLaw, entries, 20, test::kIsSlow ? 200 : 576, metric, RTD_F32, 1, backend);
            pair.add(0, entries);
            pair.seal();
            for (const uint32_t batch : kBatches) pair.compare(batch, 16, 2);
        }
}

TEST("heads, of slices short and long") {
    for (const uint32_t heads : {2u, 4u, 32u}) {
        if (test::kIsSlow && heads == 4) continue;
        Pair pair(Distribution::powerLaw, 2500, 10, 576, RTD_L2, RTD_F32, heads, nullptr);
        pair.add(0, 2500);
        pair.seal();
        for (const uint32_t batch : {1u, 10u})
            for (const uint32_t k : {1u, 64u}) pair.compare(batch, k, 2);
    }
}

TEST("removed entries and namespaces do not count, before and after a seal") {
    for (const Distribution distribution : {Distribution::powerLaw, Distribution::duplicates, Distribution::gauss}) {
        if (test::kIsSlow && distribution == Distribution::gauss) continue;
        Pair pair(distribution, 4000, 20, 300, RTD_L2, RTD_F32, 1, nullptr);
        pair.add(0, 3000);
        std::vector<uint32_t> some;
        for (uint32_t id = 0; id < 3000; id += 3) some.push_back(id);
        pair.remove(some);
        pair.seal();
        pair.compare(9, 64, 2);
        some.clear();
        for (uint32_t id = 1; id < 3000; id += 3) some.push_back(id);
        pair.remove(some);
        pair.add(3000, 4000);
        for (const uint32_t batch : kBatches)
            for (const uint32_t k : {1u, 64u, 900u}) {
                pair.compare(batch, k, 2);
                pair.compare(batch, k, 2, {3});
                pair.compare(batch, k, 2, {0, 5, 100});
                pair.compare(batch, k, 1, {100});
            }
    }
}

TEST("entries sealed bit by bit, and not at all") {
    Pair pair(Distribution::powerLaw, 5000, 20, 300, RTD_L2, RTD_F16, 1, nullptr);
    uint32_t added = 0;
    for (const uint32_t n : {1u, 2u, 31u, 32u, 33u, 100u, 1000u, 700u, 5u, 1500u, 300u, 1296u}) {
        pair.add(added, added + n);
        added += n;
        pair.compare(3, 40, 2);
        if (n != 300) pair.seal(2);
        pair.compare(3, 40, 2);
        pair.compare(20, 7, 1);
    }
}

TEST("a distance threshold, which spares what lies beyond it") {
    for (const rtd_metric metric : {RTD_L2, RTD_L2SQ, RTD_DOT}) {
        if (test::kIsSlow && metric != RTD_L2) continue;
        Pair pair(Distribution::powerLaw, 3000, 20, 300, metric, RTD_F32, 1, nullptr);
        pair.add(0, 3000);
        pair.seal();
        for (const float threshold : {0.001f, 10.0f, 20.0f, 30.0f, 100.0f, 900.0f}) pair.compare(20, 100, 2, {}, threshold);
        if (metric == RTD_L2) CHECK(2 * pair.compare(20, 100, 2, {}, 0.001f).exact < 3 * 20 * 189);  // hardly more than are measured first
        if (metric == RTD_L2) CHECK(pair.compare(20, 100, 2, {}, 0.001f).level3 < pair.compare(20, 100, 2).level3 / 2);
    }
}

TEST("on keys like hidden states few are read, and hardly any in full") {
    constexpr uint32_t kEntries = test::kIsSlow ? 5000 : 20000;
    Pair pair(Distribution::powerLaw, kEntries, 20, 576, RTD_L2, RTD_F32, 1, nullptr, RTD_CASCADE_AUTO);
    pair.add(0, kEntries);
    pair.seal(2);
    for (const uint32_t batch : {1u, 20u}) {
        const rtd_search_counts looked = pair.compare(batch, 16, 1);
        CHECK_EQUAL(looked.scanned, 0u);
        CHECK(looked.level1 >= kEntries * batch);
        CHECK(looked.level2 < kEntries * batch / 2);
        CHECK(looked.level3 < kEntries * batch / 6);
        CHECK(looked.exact < 200u * batch);
        const uint64_t level1 = (kEntries + 31) / 32 * 1088, level3 = looked.level3 * 588 + looked.exact * 576 * sizeof(float);
        CHECK_EQUAL(looked.bytes - level1 - level3, looked.level2 * 128);
        CHECK_EQUAL(looked.level2b, 0u);
    }
}

TEST("where many directions separate keys, level 2 goes on, whatever rows and filters there are") {
    constexpr uint32_t kEntries = test::kIsSlow ? 2500 : 8000;
    for (const rtd_metric metric : {RTD_L2, RTD_DOT})
        for (const uint32_t heads : {1u, 2u}) {
            if (test::kIsSlow && heads == 2) continue;
            Pair pair(Distribution::slowDecay, kEntries, 20, 900 * heads, metric, RTD_F32, heads, nullptr, RTD_CASCADE_ALWAYS);
            pair.add(0, kEntries);
            pair.remove({5, 77, 1000});
            pair.seal(2);
            for (const uint32_t batch : kBatches) {
                const rtd_search_counts looked = pair.compare(batch, 16, 2);
                if (metric == RTD_L2 && heads == 1) CHECK(looked.level2b > looked.level3 && looked.level3 > 0);
                pair.compare(batch, 16, 1, {3});
            }
        }
}

TEST("level 2 of whole blocks, where many rows look at much of it") {
    constexpr uint32_t kEntries = 20000;
    Pair pair(Distribution::slowDecay, kEntries, 40, 300, RTD_L2, RTD_F32, 1, nullptr, RTD_CASCADE_ALWAYS);
    pair.add(0, kEntries);
    pair.seal(2);
    const rtd_search_counts looked = pair.compare(40, 64, 2);
    CHECK(looked.level2 > 10u * kEntries);
    const uint64_t level1 = (kEntries + 31) / 32 * 1088, level3 = looked.level3 * 312 + looked.exact * 300 * sizeof(float);
    CHECK(looked.bytes - level1 - level3 < looked.level2 * 128 / 2);  // one reading serves them all
}

TEST("where a cascade cannot help, a search gives up, and the next ones do not begin") {
    for (const Distribution distribution : {Distribution::equal, Distribution::gauss}) {
        if (test::kIsSlow && distribution == Distribution::gauss) continue;
        Pair pair(distribution, 8000, 20, 576, RTD_L2, RTD_F32, 1, nullptr, RTD_CASCADE_AUTO);
        pair.add(0, 8000);
        pair.seal();
        uint64_t bounded = 0, scanned = 0;
        for (int i = 0; i < (test::kIsSlow ? 20 : 100); ++i) {
            const rtd_search_counts looked = pair.compare(20, 64, 1);
            bounded += looked.level1 > 0;
            scanned += looked.scanned == 8000u * 20;
        }
        CHECK(scanned == (test::kIsSlow ? 20 : 100));
        CHECK(bounded < 10);
    }
    Pair pair(Distribution::powerLaw, 5000, 1, 300, RTD_L2, RTD_F32, 1, nullptr, RTD_CASCADE_AUTO);
    pair.add(0, 5000);
    pair.seal();
    CHECK_EQUAL(pair.compare(1, 2000, 1).scanned, 5000u);  // k is near the number of keys
}

TEST("where many keys are wanted of not many more, a search does not begin") {
    Pair pair(Distribution::powerLaw, 8000, 20, 576, RTD_L2, RTD_F32, 1, nullptr, RTD_CASCADE_AUTO);
    pair.add(0, 8000);
    pair.seal();
    for (const uint32_t batch : {1u, 20u}) {
        const rtd_search_counts looked = pair.compare(batch, 1024, 1);
        CHECK_EQUAL(looked.scanned, 8000u * batch);
        CHECK_EQUAL(looked.level1, 0u);
    }
    CHECK_EQUAL(pair.compare(1, 16, 1).scanned, 0u);
}

TEST("a seal says what it has done, rising to 1") {
    struct Seen {
        double last = 0;
        int reports = 0;
        bool rises = true;
    } seen;
    Pair pair(Distribution::gauss, 5000, 1, 128, RTD_L2, RTD_F32, 2, nullptr);
    pair.add(0, 5000);
    rtd_call_options call = callOf(2);
    call.context = &seen;
    call.on_progress = [](void* context, double share) {
        auto& so = *static_cast<Seen*>(context);
        so.rises &= share >= so.last && share <= 1;
        so.last = share;
        ++so.reports;
    };
    CHECK_OK(rtd_index_seal(pair.cascading(), &call));
    CHECK(seen.rises);
    CHECK(seen.reports > 8);
    CHECK_EQUAL(seen.last, 1.0);
}

TEST("few entries have no cascade, and RTD_CASCADE_OFF has none") {
    for (const auto& [entries, cascade] : {std::pair{4095u, RTD_CASCADE_AUTO}, {4097u, RTD_CASCADE_OFF}}) {
        Pair pair(Distribution::powerLaw, entries, 1, 64, RTD_L2, RTD_F32, 1, nullptr, cascade);
        pair.add(0, entries);
        pair.seal();
        const rtd_search_counts looked = pair.compare(1, 1, 1);
        CHECK_EQUAL(looked.scanned, entries);
        CHECK_EQUAL(looked.bytes, entries * 64 * sizeof(float));
    }
}

TEST("the index's size counts the cascade, under 35% of its float32 keys") {
    Pair pair(Distribution::powerLaw, 10000, 1, 576, RTD_L2, RTD_F32, 1, nullptr);
    pair.add(0, 10000);
    rtd_index_info info{};
    info.struct_size = sizeof info;
    CHECK_OK(rtd_index_get_info(pair.cascading(), &info));
    const uint64_t before = info.bytes;
    pair.seal();
    CHECK_OK(rtd_index_get_info(pair.cascading(), &info));
    CHECK(info.bytes > before + 10000 * 34);
    CHECK((info.bytes - before) * 100 < uint64_t{10000} * 576 * 4 * 35);
}

TEST("queries far from all keys, and too large for any bound") {
    for (const float scale : {1e3f, 1e6f, 1e12f, 3e15f, 1e30f}) {
        const uint32_t dim = 300, entries = 1000, k = 10;
        std::vector<float> rows = makeRows(Distribution::powerLaw, entries + 8, 8, dim, 5);
        std::vector<int32_t> tokens(entries, 1);
        std::vector<uint32_t> ids[2];
        for (const rtd_cascade cascade : {RTD_CASCADE_OFF, RTD_CASCADE_ALWAYS}) {
            const TestIndex index(optionsOf(dim, RTD_L2, RTD_F32, 1, nullptr, cascade));
            const rtd_matrix keys = {rows.data(), entries, dim, 0, RTD_F32};
            CHECK_OK(rtd_index_add(index, &keys, tokens.data(), nullptr, nullptr));
            CHECK_OK(rtd_index_seal(index, nullptr));
            std::vector<float> queries(rows.end() - 8 * dim, rows.end());
            for (float& x : queries) x *= scale;
            std::vector<uint32_t>& found = ids[cascade == RTD_CASCADE_ALWAYS];
            found.assign(8 * k, 1);
            const rtd_matrix queryMatrix = {queries.data(), 8, dim, 0, RTD_F32};
            const rtd_row_options row = rowOptions(k);
            const rtd_hits hits = {found.data(), nullptr, nullptr, nullptr, k};
            CHECK_OK(rtd_search(index, &queryMatrix, &row, 1, nullptr, &hits));
        }
        CHECK_SAME_BITS(ids[1], ids[0]);
    }
}

TEST("a seal that is cancelled changes nothing") {
    Pair pair(Distribution::powerLaw, 6000, 4, 64, RTD_L2, RTD_F32, 1, nullptr);
    pair.add(0, 6000);
    for (int after = 0; after < 6; ++after) {
        int asked = after;
        rtd_call_options call = callOf(2);
        call.should_stop = [](void* left) { return static_cast<int>((*static_cast<int*>(left))-- <= 0); };
        call.context = &asked;
        call.threads = 1;
        CHECK_EQUAL(rtd_index_seal(pair.cascading(), &call), RTD_CANCELLED);
        CHECK_EQUAL(pair.compare(4, 9, 1).scanned, 4 * 6000u);
    }
    pair.seal();
    CHECK_EQUAL(pair.compare(4, 9, 1).scanned, 0u);
}

}  // namespace
