// The host side of the kernel through the C interface, on whichever device the program has.
#include "../core/case.h"
#include "../harness.h"
#include "tested_backend.h"

namespace {

Shape smaller(Shape s) {
    if (s.entries > 5000) s.entries = 1500;
    return s;
}

void checkBackend(const Case& c, const Way& way) {
    try {
        const TestIndex index(indexOptions(c.shape.dim, c.shape.metric, c.shape.dtype, c.shape.heads, testedBackend()));
        fillIndex(index, c);
        checkSame(run(index, c, way), expected(c, way.logitsDtype));
    } catch (const std::exception& error) { throw test::Failure(std::string(error.what()) + "\n    in: " + c.shape.text()); }
}

TEST("random cases through the C interface") {
    std::mt19937_64 random(5);
    for (int i = 0; i < 60; ++i)
        checkBackend(makeCase(smaller(randomShape(random)), static_cast<uint64_t>(i), false),
                     {testedBackend(), 1, i % 4 ? RTD_F32 : RTD_F16, i % 3 == 0});
}

TEST("rows with a bias or gate, and figures: searched on the device and merged on the host, bit for bit") {
    std::mt19937_64 random(6);
    for (uint64_t i = 0; i < 30; ++i) {
        Case c = makeCase(smaller(randomShape(random)), i, false);
        if (i % 3 != 0) giveBiases(c, i);
        if (i % 3 != 1) giveGates(c, i);
        checkBackend(c, {testedBackend(), 1, i % 4 ? RTD_F32 : RTD_F16, i % 3 == 0, i % 2 == 0});
    }
}

TEST("entries added and removed between calls are seen, also by larger calls than before") {
    Shape shape;
    shape.dim = 6;
    const TestIndex index(indexOptions(shape.dim, RTD_L2, RTD_F32, 1, testedBackend()));
    for (const uint32_t entries : {0u, 5u, 33u, 200u}) {
        shape.entries = entries;
        shape.batch = 1 + entries / 3;
        shape.k = 1 + entries / 2;
        shape.vocabulary = 40 + 20 * entries;
        Case c = makeCase(shape, 7, true);
        rtd_index_info info{};
        info.struct_size = sizeof info;
        CHECK_OK(rtd_index_get_info(index, &info));
        const auto had = static_cast<uint32_t>(info.entries);
        const rtd_matrix keys = {c.given.data() + size_t{had} * shape.dim, entries - had, shape.dim, 0, RTD_F32};
        // What the index holds from before are other numbers than the case's: take them from it.
        std::vector<uint32_t> ids(had);
        for (uint32_t i = 0; i < had; ++i) ids[i] = i;
        std::vector<int32_t> tokens(had);
        std::vector<uint8_t> live(had);
        CHECK_OK(rtd_index_keys(index, ids.data(), had, c.data.keys.data()));
        CHECK_OK(rtd_index_entries(index, ids.data(), had, tokens.data(), nullptr, live.data()));
        CHECK_OK(rtd_index_add(index, &keys, c.data.tokens.data() + had, nullptr, nullptr));
        for (uint32_t i = 0; i < had; ++i) {
            c.data.tokens[i] = tokens[i];
            c.data.removed[i] = !live[i];
        }
        if (entries > 0) {
            const uint32_t removed = entries - 1;
            CHECK_OK(rtd_index_remove(index, &removed, 1));
            c.data.removed[removed] = true;
        }
        checkSame(run(index, c, {testedBackend()}), expected(c, RTD_F32));
    }
}

TEST("a call that is refused changes nothing, and the next one is right") {
    Case c = makeCase(Shape{}, 1, true);
    const TestIndex index(indexOptions(c.shape.dim, RTD_L2, RTD_F32, 1, testedBackend()));
    fillIndex(index, c);
    const Answer want = run(index, c, {testedBackend()});
    std::vector<float> logits = c.logits, queries = c.queries;
    queries[5] = NAN;
    const rtd_matrix queryMatrix = matrixOf(queries, c.shape.dim);
    const rtd_mutable_matrix logitMatrix = mutableMatrixOf(logits, c.shape.vocabulary);
    CHECK_EQUAL(rtd_search_and_fuse(index, &queryMatrix, &logitMatrix, c.rows.data(), c.rows.size(), nullptr, nullptr, nullptr), RTD_NOT_FINITE);
    CHECK_SAME_BITS(logits, c.logits);
    rtd_call_options call{};
    call.struct_size = sizeof call;
    call.should_stop = [](void*) { return 1; };
    const rtd_matrix good = matrixOf(c.queries, c.shape.dim);
    CHECK_EQUAL(rtd_search_and_fuse(index, &good, &logitMatrix, c.rows.data(), c.rows.size(), &call, nullptr, nullptr), RTD_CANCELLED);
    CHECK_SAME_BITS(logits, c.logits);
    checkSame(run(index, c, {testedBackend()}), want);
}

TEST("indexes come and go") {
    Shape shape;
    shape.entries = 4;
    shape.dim = 3;
    shape.batch = 1;
    shape.vocabulary = 10;
    const Case c = makeCase(shape, 1, true);
    for (int i = 0; i < 100; ++i) checkBackend(c, {testedBackend()});
}

}  // namespace
