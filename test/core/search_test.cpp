// Search and fusion against the oracle, bit for bit: every back end that runs here, every number of threads.
#include <cmath>
#include <cstdlib>

#include "case.h"
#include "harness.h"

namespace {

TEST("random cases") {
    const char* wanted = std::getenv("RTD_TEST_CASES");
    const int cases = wanted ? std::atoi(wanted) : test::kIsSlow ? 80 : 300;
    std::mt19937_64 random(1);
    for (int i = 0; i < cases; ++i) {
        const Shape shape = randomShape(random);
        checkEverywhere(makeCase(shape, static_cast<uint64_t>(i), false));
    }
}

TEST("every dimension, metric and dtype") {
    for (uint32_t dim = 1; dim <= 130; ++dim)
        for (const rtd_metric metric : {RTD_L2, RTD_L2SQ, RTD_DOT})
            for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16}) {
                if (test::kIsSlow && (dim + 3 * metric + dtype) % 4 != 0) continue;
                Shape shape;
                shape.entries = 37;
                shape.dim = dim;
                shape.metric = metric;
                shape.dtype = dtype;
                shape.kind = kKinds[dim % std::size(kKinds)];
                checkEverywhere(makeCase(shape, dim, true));
            }
}

TEST("large dimensions") {
    for (const uint32_t dim : {255u, 256u, 576u, 1000u, 4096u, 65536u})
        for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16}) {
            Shape shape;
            shape.entries = dim > 5000 ? 3 : 150;
            shape.dim = dim;
            shape.dtype = dtype;
            shape.metric = dim % 3 == 0 ? RTD_DOT : RTD_L2SQ;
            shape.kind = Kind::spiky;
            checkEverywhere(makeCase(shape, dim, true));
        }
}

TEST("every batch size up to 66, and more") {
    for (uint32_t batch = 0; batch <= 66; ++batch) {
        if (test::kIsSlow && batch > 20 && batch % 16 > 1) continue;
        Shape shape;
        shape.batch = batch;
        shape.dim = 20;
        checkEverywhere(makeCase(shape, batch, true));
    }
    Shape shape;
    shape.batch = 200;
    checkEverywhere(makeCase(shape, 1, true));
}

TEST("every k that is special") {
    for (const uint32_t entries : {0u, 1u, 63u, 64u, 65u, 2047u, 2048u, 2500u})
        for (const uint32_t k : {1u, 2u, 64u, 65u, 1000u, 2047u, 2048u})
            for (const Kind kind : {Kind::normal, Kind::descending, Kind::equal}) {
                Shape shape;
                shape.entries = entries;
                shape.dim = 3;
                shape.batch = 1;
                shape.k = k;
                shape.kind = kind;
                checkEverywhere(makeCase(shape, k, true));
            }
}

TEST("many heads") {
    for (const uint32_t heads : {1u, 2u, 7u, 32u, 129u, 300u}) {
        if (test::kIsSlow && heads > 129) continue;
        Shape shape;
        shape.heads = heads;
        shape.dim = heads * 4;
        shape.batch = 70;
        shape.entries = 50;
        shape.k = 3;
        checkEverywhere(makeCase(shape, heads, true));
    }
}

TEST("the same bits for 1 to 8 threads and any of them twice") {
    for (const Kind kind : kKinds) {
        if (test::kIsSlow && kind != Kind::spiky && kind != Kind::ties) continue;
        Shape shape;
        shape.entries = 20000;  // several tickets
        shape.dim = 32;
        shape.heads = 2;
        shape.batch = 9;
        shape.k = 600;             // enough to sort on several threads
        shape.vocabulary = 30000;  // and to fuse
        shape.kind = kind;
        const Case c = makeCase(shape, 5, false);
        const char* backend = usableBackends().front();
        const TestIndex index(indexOptions(shape.dim, shape.metric, shape.dtype, shape.heads, backend));
        fillIndex(index, c);
        const Answer want = run(index, c, {backend, 1});
        if (kind == Kind::spiky) checkSame(want, expected(c, RTD_F32));
        for (uint32_t threads = 1; threads <= 8; ++threads)
            for (int i = 0; i < 2; ++i) checkSame(run(index, c, {backend, threads}), want);
    }
}

TEST("distances are close to their true values") {
    for (const rtd_metric metric : {RTD_L2, RTD_L2SQ, RTD_DOT}) {
        Shape shape;
        shape.dim = 576;
        shape.metric = metric;
        const Case c = makeCase(shape, 3, true);
        const Answer got = expected(c, RTD_F32);
        for (size_t r = 0; r < got.counts.size(); ++r)
            for (size_t i = r * shape.k; i < r * shape.k + got.counts[r]; ++i) {
                const auto exact = static_cast<double>(oracle::trueDistance(c.data, &c.queries[r * shape.dim], 0, got.ids[i]));
                const double size = metric == RTD_DOT ? shape.dim : exact;  // a dot product's terms cancel
                CHECK(std::fabs(static_cast<double>(got.distances[i]) - exact) <= 1e-6 * size);
            }
    }
}

TEST("one option for all rows is as one each") {
    Shape shape;
    Case c = makeCase(shape, 1, true);
    const TestIndex index(indexOptions(shape.dim));
    fillIndex(index, c);
    const Answer each = run(index, c, {nullptr});
    c.rows.resize(1);
    checkSame(run(index, c, {nullptr}), each);
}

TEST("queries may be float16, keys may come in any dtype and with gaps") {
    Shape shape;
    shape.dim = 9;
    Case c = makeCase(shape, 1, true);
    for (float& q : c.queries) q = oracle::roundTo(RTD_F16, q);
    for (float& x : c.given) x = oracle::roundTo(RTD_F16, x);
    c.data.keys = c.given;
    for (const rtd_dtype dtype : {RTD_F32, RTD_F16}) {
        const TestIndex index(indexOptions(shape.dim, RTD_L2, dtype));
        const size_t stride = shape.dim + 2;
        std::vector<uint16_t> keys(shape.entries * stride, 0x7e00), queries;
        for (size_t i = 0; i < c.given.size(); ++i) keys[i / shape.dim * stride + i % shape.dim] = oracle::toF16(c.given[i]);
        for (const float q : c.queries) queries.push_back(oracle::toF16(q));
        const rtd_matrix keyMatrix = {keys.data(), shape.entries, shape.dim, stride, RTD_F16};
        CHECK_OK(rtd_index_add(index, &keyMatrix, c.data.tokens.data(), nullptr, nullptr));
        const rtd_matrix queryMatrix = {queries.data(), shape.batch, shape.dim, 0, RTD_F16};
        std::vector<uint32_t> ids(shape.batch * shape.k);
        const rtd_hits hits = {ids.data(), nullptr, nullptr, nullptr, shape.k};
        CHECK_OK(rtd_search(index, &queryMatrix, c.rows.data(), c.rows.size(), nullptr, &hits));
        CHECK_SAME_BITS(ids, expected(c, RTD_F32).ids);
    }
}

TEST("fused logits are within 1 ULP of max(|l'|, |LSE|, 1)") {
    std::mt19937_64 random(9);
    double worst = 0;
    for (int i = 0; i < (test::kIsSlow ? 50 : 150); ++i)
        worst = std::max(worst, worstUlp(makeCase(randomShape(random), static_cast<uint64_t>(i), false)));
    CHECK(worst > 0);
    CHECK(worst < 0.6);  // 0.53 seen
}

}  // namespace
