// Threads: the pool, searches beside writers, cancellation. Run under ThreadSanitizer too.
#include <atomic>
#include <cmath>
#include <thread>

#include "case.h"
#include "harness.h"
#include "index/index.h"
#include "index/workers.h"

namespace {

TEST("the pool runs a body on the caller and at most once a worker") {
    rtd::WorkerPool pool;
    for (uint32_t threads = 0; threads < 12; ++threads)
        for (int i = 0; i < 50; ++i) {
            std::atomic<uint32_t> runs = 0, next = 0, sum = 0;
            pool.run(threads, [&] {
                ++runs;
                for (uint32_t t; (t = next++) < 100;) sum += t;
            });
            CHECK_EQUAL(sum.load(), 4950u);
            CHECK(runs >= 1 && runs <= std::max(threads, 1u));
        }
}

TEST("the pool hands on what a body throws, and goes on") {
    rtd::WorkerPool pool;
    for (int i = 0; i < 100; ++i) {
        bool isThrown = false;
        try {
            std::atomic<int> order = 0;
            pool.run(3, [&] {
                if (order++ == i % 2) throw std::runtime_error("one of them");
            });
            isThrown = i % 2 == 1;  // the second may never have come
        } catch (const std::runtime_error& error) { isThrown = std::string(error.what()) == "one of them"; }
        CHECK(isThrown);
    }
}

TEST("a call within a call, and calls side by side, run on their caller") {
    rtd::WorkerPool pool;
    std::atomic<int> inner = 0;
    pool.run(2, [&] { pool.run(2, [&] { ++inner; }); });
    CHECK(inner >= 1 && inner <= 2);
    std::vector<std::thread> callers;
    std::atomic<int> total = 0;
    for (int t = 0; t < 4; ++t)
        callers.emplace_back([&] {
            for (int i = 0; i < 200; ++i) {
                std::atomic<int> next = 0;
                pool.run(3, [&] {
                    while (next++ < 10) ++total;
                });
            }
        });
    for (std::thread& caller : callers) caller.join();
    CHECK_EQUAL(total.load(), 4 * 200 * 10);
}

TEST("a search sees what was there when it began, whatever goes on beside it") {
    // Key i is (i, 0); the query is the origin, so that the hits are the first live entries, in order. A writer adds keys and removes the
    // first few again and again: every search must see some moment between.
    constexpr uint32_t kDim = 2, kK = 50;
    const TestIndex index(indexOptions(kDim, RTD_L2, RTD_F32, 1, nullptr, 2));
    std::atomic<bool> isDone = false;
    std::atomic<uint32_t> failures = 0, searches = 0;
    const auto add = [&](uint32_t begin, uint32_t n) {
        std::vector<float> keys;
        std::vector<int32_t> tokens;
        for (uint32_t i = begin; i < begin + n; ++i) {
            keys.insert(keys.end(), {static_cast<float>(i), 0});
            tokens.push_back(static_cast<int32_t>(i % 1000));
        }
        const rtd_matrix matrix = matrixOf(keys, kDim);
        CHECK_OK(rtd_index_add(index, &matrix, tokens.data(), nullptr, nullptr));
    };
    add(0, 1000);
    std::vector<std::thread> readers;
    for (int t = 0; t < 3; ++t)
        readers.emplace_back([&] {
            std::vector<float> query(kDim, 0.0f), logits(1000);
            std::vector<uint32_t> ids(kK);
            std::vector<float> distances(kK);
            std::vector<int32_t> tokens(kK);
            uint32_t count;
            const rtd_hits hits = {ids.data(), distances.data(), tokens.data(), &count, kK};
            const rtd_matrix queries = matrixOf(query, kDim);
            const rtd_mutable_matrix matrix = mutableMatrixOf(logits, 1000);
            const rtd_row_options row = rowOptions(kK, 0.5f, 3);
            uint32_t lowest = 0;
            while (!isDone || searches < 3) {
                bool isRight =
                    rtd_search_and_fuse(index, &queries, &matrix, &row, 1, nullptr, &hits, nullptr) == RTD_OK && count == kK && ids[0] >= lowest;
                lowest = ids[0];  // what is removed stays removed
                for (uint32_t i = 0; i < count; ++i)
                    isRight = isRight && ids[i] == ids[0] + i && distances[i] == static_cast<float>(ids[i]) &&
                              tokens[i] == static_cast<int32_t>(ids[i] % 1000);
                if (!isRight) ++failures;
                ++searches;
            }
        });
    std::thread sealer([&] {
        while (!isDone) {
            if (rtd_index_seal(index, nullptr) != RTD_OK) ++failures;
            std::this_thread::yield();
        }
    });
    uint32_t entries = 1000, removed = 0;
    for (int i = 0; i < 150; ++i) {
        const uint32_t n = 1 + static_cast<uint32_t>(i) * 7 % 90;
        add(entries, n);
        entries += n;
        std::vector<uint32_t> ids;
        for (int j = 0; j < 3; ++j) ids.push_back(removed++);
        CHECK_OK(rtd_index_remove(index, ids.data(), ids.size()));
    }
    isDone = true;
    for (std::thread& reader : readers) reader.join();
    sealer.join();
    CHECK_EQUAL(failures.load(), 0u);
    CHECK(searches >= 3);
}

TEST("several threads search one index and get the same bits") {
    Shape shape;
    shape.entries = 20000;
    shape.dim = 16;
    const Case c = makeCase(shape, 3, true);
    const TestIndex index(indexOptions(shape.dim, RTD_L2, RTD_F32, 1, nullptr, 3));
    fillIndex(index, c);
    const Answer want = run(index, c, {nullptr, 1});
    std::atomic<int> failures = 0;
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 5; ++i) {
                try {
                    checkSame(run(index, c, {nullptr, 1 + t}), want);
                } catch (const std::exception&) { ++failures; }
            }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK_EQUAL(failures.load(), 0);
}

TEST("a search can be stopped at any tile, and then writes nothing") {
    Shape shape;
    shape.entries = 40000;
    shape.dim = 16;
    shape.batch = 70;  // two readings of the keys
    Case c = makeCase(shape, 3, true);
    const TestIndex index(indexOptions(shape.dim, RTD_L2, RTD_F32, 1, nullptr, 2));
    fillIndex(index, c);
    const Answer want = run(index, c, {nullptr, 1});
    struct Counter {
        std::atomic<int> left;
        static int stop(void* context) { return --static_cast<Counter*>(context)->left < 0; }
    };
    const rtd_matrix queries = matrixOf(c.queries, shape.dim);
    for (uint32_t threads = 1; threads <= 2; ++threads)
        for (int after = 0;; after += test::kIsSlow ? 5 : 1) {
            Counter counter{after};
            rtd_call_options call = {sizeof call, threads, Counter::stop, &counter, RTD_MEMORY_HOST, nullptr, nullptr, nullptr};
            std::vector<float> logits = c.logits;
            std::vector<uint32_t> ids(size_t{shape.batch} * shape.k, 77);
            const rtd_mutable_matrix matrix = mutableMatrixOf(logits, shape.vocabulary);
            const rtd_hits hits = {ids.data(), nullptr, nullptr, nullptr, shape.k};
            const rtd_status status = rtd_search_and_fuse(index, &queries, &matrix, c.rows.data(), c.rows.size(), &call, &hits, nullptr);
            if (status == RTD_OK) {
                CHECK(after > 10);
                CHECK_SAME_BITS(ids, want.ids);
                break;
            }
            CHECK_EQUAL(status, RTD_CANCELLED);
            CHECK_SAME_BITS(logits, c.logits);
            CHECK_SAME_BITS(ids, std::vector<uint32_t>(ids.size(), 77));
        }
    // Sealing reads the keys too.
    Counter counter{3};
    const rtd_call_options call = {sizeof call, 2, Counter::stop, &counter, RTD_MEMORY_HOST, nullptr, nullptr, nullptr};
    CHECK_EQUAL(rtd_index_seal(index, &call), RTD_CANCELLED);
    rtd_index_info info{};
    info.struct_size = sizeof info;
    CHECK_OK(rtd_index_get_info(index, &info));
    CHECK_EQUAL(info.sealed, 0u);
}

TEST("entries are added and removed while a seal reads the keys; they are the next seal's") {
    constexpr uint32_t kDim = 8, kFirst = 500, kMore = 40;
    const auto index = rtd::Index::create({kDim, rtd::Metric::l2, rtd::Dtype::f32, 1, nullptr, 2});
    std::vector<float> keys(size_t{kFirst} * kDim);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<float>(i * 7919 % 4096);
    const std::vector<int32_t> tokens(kFirst, 5);
    index->add({keys.data(), kFirst, kDim, 0, RTD_F32}, tokens.data(), nullptr);
    const float temperature = index->computeTemperature(index->snapshot(), {});

    // The seal stands still until the writer is done: it would hang here if the writer waited for it.
    struct Meeting {
        std::atomic<bool> hasBegun = false, isWritten = false;
        static int stop(void* context) {
            auto& meeting = *static_cast<Meeting*>(context);
            meeting.hasBegun = true;
            while (!meeting.isWritten) std::this_thread::yield();
            return 0;
        }
    } meeting;
    std::thread writer([&] {
        while (!meeting.hasBegun) std::this_thread::yield();
        index->add({keys.data(), kMore, kDim, 0, RTD_F32}, tokens.data(), nullptr);
        const uint32_t id = 3;
        index->remove(&id, 1);
        meeting.isWritten = true;
    });
    index->seal({.threads = 2, .shouldStop = Meeting::stop, .context = &meeting});
    writer.join();
    CHECK_EQUAL(index->snapshot().entries, kFirst + kMore);
    CHECK_EQUAL(index->snapshot().live, kFirst + kMore - 1);
    CHECK_EQUAL(index->snapshot().sealed, kFirst);
    CHECK_EQUAL(index->snapshot().temperature, temperature);
    const float anew = index->computeTemperature(index->snapshot(), {});
    CHECK(anew != temperature);
    index->seal({});
    CHECK_EQUAL(index->snapshot().sealed, kFirst + kMore);
    CHECK_EQUAL(index->snapshot().temperature, anew);
}

TEST("an entry removed while a seal reads the keys makes the next seal compute the temperature anew") {
    const auto index = rtd::Index::create({1, rtd::Metric::l2, rtd::Dtype::f32, 1, nullptr, 1});
    const std::vector<float> keys = {0, 1, 3, 700};
    const std::vector<int32_t> tokens(4, 1);
    index->add({keys.data(), 4, 1, 0, RTD_F32}, tokens.data(), nullptr);
    index->seal({.shouldStop =
                     [](void* context) {
                         auto& i = *static_cast<rtd::Index*>(context);
                         const uint32_t farthest = 3;
                         if (i.snapshot().isLive(farthest)) i.remove(&farthest, 1);
                         return 0;
                     },
                 .context = index.get()});
    const float before = index->snapshot().temperature;
    index->seal({});
    CHECK(index->snapshot().temperature < before);
}

}  // namespace
