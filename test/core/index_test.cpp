// The index as a table: ids, removal, snapshots, parts of foreign memory, the default temperature.
#include "index/index.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "case.h"
#include "core/canonical.h"
#include "harness.h"
#include "index/handle.h"
#include "index/search.h"

namespace {

rtd_index_info infoOf(const rtd_index* index) {
    rtd_index_info info{};
    info.struct_size = sizeof info;
    CHECK_OK(rtd_index_get_info(index, &info));
    return info;
}

// Entries whose first dimension counts, tokens 10, 11, ...
uint32_t addCounting(rtd_index* index, uint32_t n, uint32_t dim, float from = 0) {
    std::vector<float> keys(size_t{n} * dim, 0.5f);
    std::vector<int32_t> tokens(n);
    for (uint32_t i = 0; i < n; ++i) {
        keys[size_t{i} * dim] = from + static_cast<float>(i);
        tokens[i] = static_cast<int32_t>(10 + i);
    }
    const rtd_matrix matrix = matrixOf(keys, dim);
    uint32_t first = 0;
    CHECK_OK(rtd_index_add(index, &matrix, tokens.data(), nullptr, &first));
    return first;
}

std::vector<uint32_t> searchIds(const rtd_index* index, std::vector<float> query, uint32_t k) {
    std::vector<uint32_t> ids(k), count(1);
    const rtd_matrix queries = matrixOf(query, query.size());
    const rtd_row_options row = rowOptions(k);
    const rtd_hits hits = {ids.data(), nullptr, nullptr, count.data(), k};
    CHECK_OK(rtd_search(index, &queries, &row, 1, nullptr, &hits));
    ids.resize(count[0]);
    return ids;
}

TEST("an index tells what it holds") {
    const TestIndex index(indexOptions(3, RTD_DOT, RTD_F16, 3, "serial", 2));
    rtd_index_info info = infoOf(index);
    CHECK_EQUAL(info.dim, 3u);
    CHECK_EQUAL(info.metric, RTD_DOT);
    CHECK_EQUAL(info.dtype, RTD_F16);
    CHECK_EQUAL(info.heads, 3u);
    CHECK_EQUAL(info.threads, 2u);
    CHECK_EQUAL(std::string(info.backend), "serial");
    CHECK_EQUAL(info.entries + info.live + info.sealed + info.bytes, 0u);
    CHECK_EQUAL(info.max_token, -1);
    CHECK_EQUAL(info.temperature, 0.0f);

    CHECK_EQUAL(addCounting(index, 5, 3), 0u);
    CHECK_EQUAL(addCounting(index, 4, 3), 5u);
    const uint32_t removed[] = {8, 0};
    CHECK_OK(rtd_index_remove(index, removed, 2));
    info = infoOf(index);
    CHECK_EQUAL(info.entries, 9u);
    CHECK_EQUAL(info.live, 7u);
    CHECK_EQUAL(info.sealed, 0u);
    CHECK_EQUAL(info.max_token, 14);
    CHECK(info.bytes >= 9 * (6 + 8));
    CHECK_OK(rtd_index_seal(index, nullptr));
    CHECK_EQUAL(infoOf(index).sealed, 9u);
    CHECK_EQUAL(addCounting(index, 1, 3), 9u);  // ids are never given twice
    CHECK_EQUAL(infoOf(index).sealed, 9u);

    rtd_index_info older{};
    older.struct_size = offsetof(rtd_index_info, metric);  // what a program of an older header passes
    older.entries = 77;
    CHECK_OK(rtd_index_get_info(index, &older));
    CHECK_EQUAL(older.dim, 3u);
    CHECK_EQUAL(older.entries, 77u);
}

TEST("keys and entries come back as they were given") {
    Shape shape;
    shape.entries = 5000;
    shape.dim = 7;
    for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16}) {
        shape.dtype = dtype;
        const Case c = makeCase(shape, 3, false);
        const TestIndex index(indexOptions(shape.dim, RTD_L2, dtype));
        fillIndex(index, c);
        std::vector<uint32_t> ids(shape.entries);
        std::iota(ids.begin(), ids.end(), 0u);
        std::reverse(ids.begin(), ids.end());
        std::vector<float> keys(c.given.size());
        std::vector<int32_t> tokens(ids.size());
        std::vector<uint32_t> namespaces(ids.size());
        std::vector<uint8_t> live(ids.size());
        CHECK_OK(rtd_index_keys(index, ids.data(), ids.size(), keys.data()));
        CHECK_OK(rtd_index_entries(index, ids.data(), ids.size(), tokens.data(), namespaces.data(), live.data()));
        CHECK_OK(rtd_index_entries(index, ids.data(), ids.size(), nullptr, nullptr, nullptr));
        for (size_t i = 0; i < ids.size(); ++i) {
            CHECK_EQUAL(tokens[i], c.data.tokens[ids[i]]);
            CHECK_EQUAL(namespaces[i], c.data.namespaces[ids[i]]);
            CHECK_EQUAL(live[i] != 0, !c.data.removed[ids[i]]);
            for (uint32_t j = 0; j < shape.dim; ++j) CHECK_EQUAL(keys[i * shape.dim + j], c.data.keys[size_t{ids[i]} * shape.dim + j]);
        }
    }
}

TEST("an add that fails changes nothing") {
    const TestIndex index(indexOptions(4));
    addCounting(index, 3, 4);
    std::vector<float> keys(2000 * 4, 1);
    std::vector<int32_t> tokens(2000, 99);
    const rtd_matrix matrix = matrixOf(keys, 4);
    keys.back() = NAN;
    CHECK_EQUAL(rtd_index_add(index, &matrix, tokens.data(), nullptr, nullptr), RTD_NOT_FINITE);
    keys.back() = 0;
    tokens.back() = -1;
    CHECK_EQUAL(rtd_index_add(index, &matrix, tokens.data(), nullptr, nullptr), RTD_TOKEN_RANGE);
    CHECK_EQUAL(infoOf(index).entries, 3u);
    CHECK_EQUAL(infoOf(index).max_token, 12);
    CHECK_EQUAL(addCounting(index, 2, 4, 3), 3u);
    CHECK_SAME_BITS(searchIds(index, {4, 0.5f, 0.5f, 0.5f}, 10), (std::vector<uint32_t>{4, 3, 2, 1, 0}));
}

TEST("removed entries are never found again, all or none") {
    const TestIndex index(indexOptions(2));
    addCounting(index, 200, 2);
    const uint32_t unknown[] = {3, 200}, twice[] = {3, 4, 3}, some[] = {0, 2, 199};
    CHECK_EQUAL(rtd_index_remove(index, unknown, 2), RTD_UNKNOWN_ID);
    CHECK_EQUAL(rtd_index_remove(index, twice, 3), RTD_UNKNOWN_ID);
    CHECK_EQUAL(infoOf(index).live, 200u);
    CHECK_OK(rtd_index_remove(index, some, 3));
    CHECK_EQUAL(rtd_index_remove(index, some, 1), RTD_UNKNOWN_ID);
    CHECK_SAME_BITS(searchIds(index, {0, 0.5f}, 3), (std::vector<uint32_t>{1, 3, 4}));
    std::vector<uint32_t> rest;
    for (uint32_t id = 0; id < 199; ++id)
        if (id != 0 && id != 2) rest.push_back(id);
    CHECK_OK(rtd_index_remove(index, rest.data(), rest.size()));
    CHECK_EQUAL(infoOf(index).live, 0u);
    CHECK_EQUAL(searchIds(index, {0, 0.5f}, 3).size(), 0u);
    CHECK_OK(rtd_index_remove(index, nullptr, 0));
    CHECK_EQUAL(addCounting(index, 1, 2), 200u);
    CHECK_SAME_BITS(searchIds(index, {0, 0.5f}, 3), (std::vector<uint32_t>{200}));
}

TEST("a snapshot stays as it was") {
    const rtd::IndexConfig config{2, rtd::Metric::l2, rtd::Dtype::f32, 1, "serial", 1};
    const auto index = rtd::Index::create(config);
    rtd_index handle(index);
    addCounting(&handle, 100, 2);
    const uint32_t removed[] = {3, 0, 1};
    CHECK_OK(rtd_index_remove(&handle, removed, 1));
    const rtd::Snapshot before = index->snapshot();
    addCounting(&handle, 50, 2);  // the same keys again
    CHECK_OK(rtd_index_remove(&handle, removed + 1, 2));
    const float query[] = {0, 0.5f};
    rtd::SearchRow row;
    row.k = 3;
    const rtd::HitLists hits = rtd::search(*index, before, query, {row}, {});
    for (uint32_t i = 0; i < 3; ++i) CHECK_EQUAL(rtd::idOf(hits.row(0)[i]), i);
    CHECK_SAME_BITS(searchIds(&handle, {0, 0.5f}, 3), (std::vector<uint32_t>{100, 101, 2}));
}

// Keys in memory of the test's own, as little aligned as their elements allow.
struct Foreign {
    Foreign(const Case& c, uint32_t begin, uint32_t count, uint32_t bytes)
        : memory(std::make_shared<std::vector<char>>(size_t{count} * c.shape.dim * bytes + bytes)) {
        char* keys = memory->data() + bytes;
        const auto dtype = static_cast<rtd::Dtype>(c.shape.dtype);
        rtd::convertFromFloat(&c.data.keys[size_t{begin} * c.shape.dim], size_t{count} * c.shape.dim, dtype, keys);
        part.keys = keys;
        part.tokens = &c.data.tokens[begin];
        part.namespaces = &c.data.namespaces[begin];
        part.count = count;
        part.first = begin;
        part.owner = memory;
    }
    std::shared_ptr<std::vector<char>> memory;
    rtd::Part part;
};

TEST("parts of foreign memory are searched as they are, and replace pending entries") {
    for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16}) {
        Shape shape;
        shape.entries = 700;
        shape.dim = 13;
        shape.dtype = dtype;
        shape.kind = Kind::ties;
        const Case c = makeCase(shape, 6, false);
        const uint32_t bytes = dtype == RTD_F32 ? 4 : 2;
        const auto index = rtd::Index::create({shape.dim, rtd::Metric::l2, static_cast<rtd::Dtype>(dtype), 1, nullptr, 2}, rtd::Ownership::store);
        rtd_index handle(index);
        Foreign a(c, 0, 300, bytes), b(c, 300, 1, bytes), tail(c, 301, 399, bytes);
        CHECK_EQUAL(index->addPart(a.part), 0u);
        CHECK_EQUAL(index->addPart(b.part), 300u);
        CHECK_EQUAL(index->addPart({}), 301u);
        for (uint32_t begin = 301; begin < 700; begin += 133) {
            const rtd_matrix keys = {&c.given[size_t{begin} * shape.dim], 133, shape.dim, 0, RTD_F32};
            CHECK_EQUAL(index->add(keys, &c.data.tokens[begin], &c.data.namespaces[begin]), begin);
        }
        std::vector<uint32_t> removed;
        for (uint32_t id = 0; id < 700; ++id)
            if (c.data.removed[id]) removed.push_back(id);
        index->remove(removed.data(), removed.size());
        const Answer want = expected(c, RTD_F32);
        checkSame(run(&handle, c, {nullptr, 2}), want);

        const std::weak_ptr<const void> pending = index->snapshot().parts->back().owner;
        index->replaceParts(tail.part);
        CHECK(pending.expired());
        CHECK_EQUAL(tail.memory.use_count(), 3);  // ours twice, the index's once
        checkSame(run(&handle, c, {nullptr, 2}), want);
        tail.part.owner.reset();
        CHECK_EQUAL(index->snapshot().parts->size(), 3u);
        index->markSealed(700, 2.5f, {});
        CHECK_EQUAL(infoOf(&handle).temperature, 2.5f);

        const rtd_matrix more = {c.given.data(), 1, shape.dim, 0, RTD_F32};
        CHECK_EQUAL(index->add(more, c.data.tokens.data(), nullptr), 700u);
        CHECK_EQUAL(index->snapshot().parts->size(), 4u);
        for (const auto& [first, count] : {std::pair{299u, 2u}, {300u, 2u}, {0u, 299u}, {301u, 398u}, {700u, 2u}, {701u, 1u}, {300u, 0u}}) {
            Foreign wrong(c, 0, count, bytes);
            wrong.part.first = first;
            bool isRefused = false;
            try {
                index->replaceParts(wrong.part);
            } catch (const rtd::Error& error) { isRefused = error.status == RTD_INTERNAL; }
            CHECK(isRefused);
        }
        // Those in the middle: what follows stays, and what is added goes on in its chunk.
        Foreign both(c, 0, 301, bytes);
        index->replaceParts(both.part);
        CHECK_EQUAL(index->add(more, c.data.tokens.data(), nullptr), 701u);
        CHECK_EQUAL(index->snapshot().parts->size(), 3u);
        const uint32_t last[] = {700, 701};
        index->remove(last, 2);
        checkSame(run(&handle, c, {nullptr, 2}), want);
    }
}

TEST("a part may follow a chunk that is not full, and be followed by another") {
    Shape shape;
    shape.entries = 30;
    const Case c = makeCase(shape, 1, true);
    const auto index = rtd::Index::create({shape.dim, rtd::Metric::l2, rtd::Dtype::f32, 1, nullptr, 1});
    rtd_index handle(index);
    const Foreign part(c, 10, 7, 4);
    const auto add = [&](uint32_t begin, uint32_t n) {
        const rtd_matrix keys = {&c.given[size_t{begin} * shape.dim], n, shape.dim, 0, RTD_F32};
        CHECK_EQUAL(index->add(keys, &c.data.tokens[begin], &c.data.namespaces[begin]), begin);
    };
    add(0, 10);
    CHECK_EQUAL(index->addPart(part.part), 10u);
    add(17, 12);
    add(29, 1);
    checkSame(run(&handle, c, {nullptr}), expected(c, RTD_F32));
}

TEST("the index of a store is read-only to others") {
    rtd_index handle(rtd::Index::create({2, rtd::Metric::l2, rtd::Dtype::f32, 1, nullptr, 1}, rtd::Ownership::store));
    std::vector<float> key = {1, 2};
    const rtd_matrix keys = matrixOf(key, 2);
    const int32_t token = 1;
    const uint32_t id = 0;
    CHECK_EQUAL(handle.index->add(keys, &token, nullptr), 0u);
    CHECK_EQUAL(rtd_index_add(&handle, &keys, &token, nullptr, nullptr), RTD_READ_ONLY);
    CHECK_EQUAL(rtd_index_remove(&handle, &id, 1), RTD_READ_ONLY);
    CHECK_EQUAL(rtd_index_seal(&handle, nullptr), RTD_READ_ONLY);
    CHECK_SAME_BITS(searchIds(&handle, {1, 2}, 1), (std::vector<uint32_t>{0}));
}

TEST("a handle lives until its last release") {
    const rtd_index_options options = indexOptions(2);
    rtd_index* index;
    CHECK_OK(rtd_index_create(&options, &index));
    const std::weak_ptr<rtd::Index> watched = index->index;
    rtd_index_retain(index);
    rtd_index_release(index);
    CHECK(!watched.expired());
    rtd_index_release(index);
    CHECK(watched.expired());
    rtd_index_release(nullptr);
}

// From the design's words, over 128 live entries evenly spaced, or all.
float expectedTemperature(const Case& c) {
    const oracle::Data& data = c.data;
    std::vector<uint32_t> live;
    for (uint32_t id = 0; id < data.size(); ++id)
        if (!data.removed[id]) live.push_back(id);
    const size_t m = std::min<size_t>(64, live.size() - 1), samples = std::min<size_t>(128, live.size());
    std::vector<double> differences, positive;
    for (size_t i = 0; i < samples; ++i) {
        const uint32_t id = live[i * live.size() / samples];
        oracle::Data others = data;
        others.removed[id] = true;
        for (uint32_t h = 0; h < data.heads && m > 0; ++h) {
            const auto hits = oracle::nearest(others, &data.keys[size_t{id} * data.dim], h, rowOptions(static_cast<uint32_t>(m)));
            differences.push_back(static_cast<double>(hits.back().distance) - static_cast<double>(hits.front().distance));
            if (differences.back() > 0) positive.push_back(differences.back());
        }
    }
    for (auto* of : {&differences, &positive}) {
        if (of->empty()) continue;
        std::sort(of->begin(), of->end());
        const double median = ((*of)[(of->size() - 1) / 2] + (*of)[of->size() / 2]) / 2;
        if (median > 0) return static_cast<float>(0.4 * median);
    }
    return 1;
}

TEST("the default temperature is 0.4 x median(d_64 - d_1)") {
    for (const uint32_t entries : {1u, 2u, 3u, 64u, 65u, 66u, 100u, 128u, 129u, 300u})
        for (const rtd_metric metric : {RTD_L2, RTD_L2SQ, RTD_DOT})
            for (const Kind kind : {Kind::normal, Kind::duplicates, Kind::equal, Kind::ties}) {
                Shape shape;
                shape.entries = entries;
                shape.metric = metric;
                shape.kind = kind;
                shape.heads = entries % 2 ? 2 : 1;
                const Case c = makeCase(shape, entries == 100 ? 6 : 1, false);
                const TestIndex index(indexOptions(shape.dim, metric, RTD_F32, shape.heads));
                fillIndex(index, c);
                CHECK_OK(rtd_index_seal(index, nullptr));
                CHECK_EQUAL(infoOf(index).temperature, expectedTemperature(c));
            }
}

TEST("the default temperature is the same everywhere, and changes only when sealed anew") {
    Shape shape;
    shape.entries = 3000;
    shape.dim = 24;
    rtd_call_options never{};
    never.struct_size = sizeof never;
    never.should_stop = [](void*) { return 1; };
    Case c = makeCase(shape, 1, true);
    const float first = expectedTemperature(c);
    const uint32_t removed = 0;  // a sampled one
    c.data.removed[removed] = true;
    const float second = expectedTemperature(c);
    c.data.removed[removed] = false;
    CHECK(first != second);
    for (const char* backend : usableBackends())
        for (uint32_t threads = 1; threads <= 3; ++threads) {
            const TestIndex index(indexOptions(shape.dim, RTD_L2, RTD_F32, 1, backend, threads));
            CHECK_OK(rtd_index_seal(index, nullptr));
            CHECK_EQUAL(infoOf(index).temperature, 0.0f);
            fillIndex(index, c);
            CHECK_OK(rtd_index_seal(index, nullptr));
            CHECK_EQUAL(infoOf(index).temperature, first);
            CHECK_OK(rtd_index_seal(index, &never));  // nothing new: no key is read
            CHECK_OK(rtd_index_remove(index, &removed, 1));
            CHECK_EQUAL(infoOf(index).temperature, first);
            CHECK_EQUAL(rtd_index_seal(index, &never), RTD_CANCELLED);
            CHECK_EQUAL(infoOf(index).temperature, first);
            CHECK_OK(rtd_index_seal(index, nullptr));
            CHECK_EQUAL(infoOf(index).temperature, second);
        }
}

}  // namespace
