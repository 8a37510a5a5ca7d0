// Fusion on its own: hits from elsewhere, what is left alone, what is rounded, and the floating-point environment.
#include <cfenv>
#include <cmath>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "case.h"
#include "harness.h"

namespace {

// One row fused.
rtd_row_status fuseRow(ForeignHits foreign, std::vector<float>& logits, const rtd_row_options& row) {
    const rtd_mutable_matrix matrix = {logits.data(), 1, logits.size(), 0, RTD_F32};
    const rtd_hits hits = foreign.view();
    rtd_row_status status;
    CHECK_OK(rtd_fuse(&hits, foreign.heads(), &matrix, &row, 1, &status));
    return status;
}

double probability(const std::vector<float>& logits, size_t v) {
    double sum = 0;
    for (const float l : logits) sum += std::exp(static_cast<double>(l));
    return std::exp(static_cast<double>(logits[v])) / sum;
}

TEST("hits given to fuse count as those of a search") {
    std::mt19937_64 random(3);
    for (uint64_t seed = 0; seed < 150; ++seed) { checkForeignHits(makeCase(randomShape(random), seed, false)); }
}

TEST("fusing is the formula") {
    std::vector<float> logits = {1, 2, 0, -1, 3};
    const std::vector<float> before = logits;
    CHECK_EQUAL(fuseRow({{1, 2, 2, 4}, {3, 0, 3, 4}, {4}}, logits, rowOptions(0, 0.3f, 2)), RTD_ROW_MERGED);
    const double w[] = {1, std::exp(-0.5), std::exp(-0.5), std::exp(-1.5)}, z = w[0] + w[1] + w[2] + w[3];
    const double r[] = {w[1] / z, 0, 0, (w[0] + w[2]) / z, w[3] / z};
    for (size_t v = 0; v < 5; ++v) CHECK(std::fabs(probability(logits, v) - (0.7 * probability(before, v) + 0.3 * r[v])) < 1e-7);
    CHECK_EQUAL(logits[1], before[1]);
    CHECK_EQUAL(logits[2], before[2]);
}

TEST("with heads the votes are averaged, and a head without one counts as nothing") {
    std::vector<float> logits(4, 0.0f);
    const std::vector<float> before = logits;
    ForeignHits foreign = {{1, 1, 5, 0, INFINITY, 0}, {1, 2, 2, 0, 3, 0}, {2, 1, 1}};
    CHECK_EQUAL(fuseRow(foreign, logits, rowOptions(0, 0.5f, 1)), RTD_ROW_MERGED);
    const double r[] = {0, 0.5 / 3, 1.5 / 3, 0}, scale = 0.5 + 0.5 * 2 / 3;
    for (size_t v = 0; v < 4; ++v) CHECK(std::fabs(probability(logits, v) - (0.5 * 0.25 + 0.5 * r[v]) / scale) < 1e-7);
}

TEST("hits in any order count from the smallest distance") {
    std::mt19937_64 random(4);
    for (int i = 0; i < 100; ++i) {
        std::vector<oracle::Hit> hits;
        ForeignHits foreign;
        for (int j = 0; j < 20; ++j) {
            hits.push_back({static_cast<float>(random() % 100000) * 0.01f, 0, static_cast<int32_t>(random() % 8)});
            foreign.distances.push_back(hits.back().distance);
            foreign.tokens.push_back(hits.back().token);
        }
        foreign.counts = {20};
        const float temperature = i % 2 ? 0.1f : 30.0f;  // farther apart than exp reaches, and not
        std::vector<float> logits = {0, 1, 2, 3, -1, -2, -3, -4};
        const std::vector<float> want = oracle::fuse(logits, {hits}, 0.5f, temperature, false).logits;
        CHECK_EQUAL(fuseRow(foreign, logits, rowOptions(0, 0.5f, temperature)), RTD_ROW_MERGED);
        CHECK_SAME_BITS(logits, want);
    }
}

TEST("infinite distances do not vote") {
    std::vector<float> logits = {1, 2, 3};
    const std::vector<float> before = logits;
    CHECK_EQUAL(fuseRow({{-INFINITY, INFINITY}, {0, 1}, {2}}, logits, rowOptions(0, 0.5f, 1)), RTD_ROW_UNCHANGED);
    CHECK_SAME_BITS(logits, before);
    CHECK_EQUAL(fuseRow({{-INFINITY, 3, INFINITY}, {0, 1, 2}, {3}}, logits, rowOptions(0, 1, 1)), RTD_ROW_MERGED);
    CHECK_SAME_BITS(logits, (std::vector<float>{-INFINITY, 0, -INFINITY}));
}

TEST("rows that cannot be merged, or need not be, stay as they are") {
    const ForeignHits foreign = {{1}, {0}, {1}}, none = {{1}, {0}, {0}};
    for (const float weight : {0.0f, 0.5f, 1.0f})
        for (const std::vector<float>& row : {std::vector<float>{1, NAN, 2}, {1, INFINITY, 2}, {-INFINITY, -INFINITY, -INFINITY}}) {
            std::vector<float> logits = row;
            const rtd_row_status want = weight == 0 ? RTD_ROW_UNCHANGED : RTD_ROW_UNMERGEABLE;
            CHECK_EQUAL(fuseRow(foreign, logits, rowOptions(0, weight, 1)), want);
            CHECK_EQUAL(fuseRow(none, logits, rowOptions(0, weight, 1)), want);
            CHECK_SAME_BITS(logits, row);
        }
    std::vector<float> logits = {1, 2, 3};
    rtd_row_options skip = rowOptions(0, 7, -1);
    skip.flags = RTD_ROW_SKIP;
    CHECK_EQUAL(fuseRow({{NAN}, {-9}, {1}}, logits, skip), RTD_ROW_UNCHANGED);
    CHECK_EQUAL(fuseRow(none, logits, rowOptions(0, 1, 1)), RTD_ROW_UNCHANGED);
    CHECK_SAME_BITS(logits, (std::vector<float>{1, 2, 3}));
}

TEST("masked logits stay masked unless a = 1 or unmask is set") {
    rtd_row_options row = rowOptions(0, 0.5f, 1);
    std::vector<float> logits = {-INFINITY, 0, -INFINITY};
    CHECK_EQUAL(fuseRow({{1, 1}, {0, 1}, {2}}, logits, row), RTD_ROW_MERGED);
    CHECK_EQUAL(logits[0], -INFINITY);
    row.flags = RTD_ROW_UNMASK;
    CHECK_EQUAL(fuseRow({{1}, {0}, {1}}, logits, row), RTD_ROW_MERGED);
    CHECK(std::isfinite(logits[0]));
    CHECK_EQUAL(logits[2], -INFINITY);
    logits = {-INFINITY, 0, 5};
    CHECK_EQUAL(fuseRow({{1}, {0}, {1}}, logits, rowOptions(0, 1, 1)), RTD_ROW_MERGED);
    CHECK_SAME_BITS(logits, (std::vector<float>{0, -INFINITY, -INFINITY}));
}

TEST("a vote never lowers a logit") {
    // Votes so small that p and r leave double's range, or round to nothing.
    for (const float logit : {3.0f, 0.0f, 1e-20f, -5.0f, -100.0f, -700.0f, -720.0f, -2000.0f})
        for (const float distance : {0.0f, 10.0f, 300.0f, 690.0f, 707.0f, 709.0f, 1e9f})
            for (const float weight : {1e-30f, 1e-6f, 0.5f, std::nextafter(1.0f, 0.0f)}) {
                std::vector<float> logits = {30.1f, logit};
                CHECK_EQUAL(fuseRow({{0, distance}, {0, 1}, {2}}, logits, rowOptions(0, weight, 1)), RTD_ROW_MERGED);
                CHECK(logits[1] >= logit);
                CHECK(std::isfinite(logits[0]) && std::isfinite(logits[1]));
            }
}

TEST("a vote of 0 leaves the bits of a logit that is small beside the log-sum-exp") {
    // There LSE + log(exp(l - LSE)) would be off by rounding.
    for (float top = 5; top < 300; top += 0.7f)
        for (const float logit : {0.0f, 1e-20f, -1e-20f}) {
            std::vector<float> logits = {top, logit};
            CHECK_EQUAL(fuseRow({{0, 1000}, {0, 1}, {2}}, logits, rowOptions(0, 0.5f, 1)), RTD_ROW_MERGED);
            CHECK_EQUAL(logits[1], logit);
        }
}

TEST("float16 logits are the float32 result rounded once") {
    std::mt19937_64 random(5);
    std::vector<float> floats;
    std::vector<uint16_t> halves;
    for (int v = 0; v < 3000; ++v) {
        floats.push_back(oracle::roundTo(RTD_F16, static_cast<float>(random() % 4000) / 100.0f - 20));
        halves.push_back(oracle::toF16(floats.back()));
    }
    ForeignHits foreign;
    for (int i = 0; i < 1000; ++i) {
        foreign.distances.push_back(static_cast<float>(i) * 0.01f);
        foreign.tokens.push_back(static_cast<int32_t>(random() % 3000));
    }
    foreign.counts = {1000};
    const rtd_row_options row = rowOptions(0, 0.5f, 3);
    CHECK_EQUAL(fuseRow(foreign, floats, row), RTD_ROW_MERGED);
    const rtd_mutable_matrix matrix = {halves.data(), 1, halves.size(), 0, RTD_F16};
    const rtd_hits hits = foreign.view();
    CHECK_OK(rtd_fuse(&hits, 1, &matrix, &row, 1, nullptr));
    for (size_t v = 0; v < halves.size(); ++v) CHECK_EQUAL(halves[v], oracle::toF16(floats[v]));
}

TEST("log probabilities are logit - LSE") {
    std::mt19937_64 random(7);
    std::normal_distribution<float> normal;
    for (const size_t vocabulary : {1, 5, 1024, 1025, 50000}) {
        std::vector<float> logits(3 * vocabulary);
        for (float& l : logits) l = 5 * normal(random);
        logits[2 * vocabulary] = NAN;
        std::vector<int32_t> tokens(3 * 2);
        for (int32_t& t : tokens) t = static_cast<int32_t>(random() % vocabulary);
        std::vector<double> out(6);
        const rtd_matrix matrix = matrixOf(logits, vocabulary);
        CHECK_OK(rtd_log_probabilities(&matrix, tokens.data(), 2, out.data()));
        for (size_t b = 0; b < 2; ++b) {
            long double sum = 0;
            for (size_t v = 0; v < vocabulary; ++v) sum += expl(static_cast<long double>(logits[b * vocabulary + v]));
            for (size_t i = 2 * b; i < 2 * b + 2; ++i) {
                const auto exact = static_cast<double>(static_cast<long double>(logits[b * vocabulary + static_cast<size_t>(tokens[i])]) - logl(sum));
                CHECK(std::fabs(out[i] - exact) < 1e-7);  // float32 exponentials
            }
        }
        CHECK(std::isnan(out[4]) && std::isnan(out[5]));
    }
    const rtd_matrix empty = {nullptr, 0, 5, 0, RTD_F32};
    CHECK_OK(rtd_log_probabilities(&empty, nullptr, 2, nullptr));
}

TEST("a model without a vocabulary cannot be merged") {
    const TestIndex index(indexOptions(2));
    std::vector<float> query = {1, 2};
    const rtd_matrix queries = matrixOf(query, 2);
    const rtd_mutable_matrix logits = {nullptr, 1, 0, 0, RTD_F32};
    const rtd_row_options row = rowOptions(1, 0.5f, 1);
    rtd_row_status status;
    CHECK_OK(rtd_search_and_fuse(index, &queries, &logits, &row, 1, nullptr, nullptr, &status));
    CHECK_EQUAL(status, RTD_ROW_UNMERGEABLE);
}

TEST("rows of weight 0 are searched only for those who want hits") {
    Shape shape;
    shape.batch = 1;
    Case c = makeCase(shape, 1, true);
    c.rows[0].reference_weight = 0;
    const TestIndex index(indexOptions(shape.dim));
    fillIndex(index, c);
    checkSame(run(index, c, {nullptr}), expected(c, RTD_F32));
    const rtd_matrix queries = matrixOf(c.queries, shape.dim);
    std::vector<float> logits = c.logits;
    const rtd_mutable_matrix matrix = mutableMatrixOf(logits, shape.vocabulary);
    int asked = 0;
    rtd_call_options call{};
    call.struct_size = sizeof call;
    call.should_stop = [](void* context) { return ++*static_cast<int*>(context) * 0; };
    call.context = &asked;
    CHECK_OK(rtd_search_and_fuse(index, &queries, &matrix, c.rows.data(), 1, &call, nullptr, nullptr));
    CHECK_EQUAL(asked, 0);
    CHECK_SAME_BITS(logits, c.logits);
}

#if defined(__x86_64__)
unsigned strangeEnvironment() { return 0x1f80u | 0x8040u | 0x6000u; }  // flush to zero, denormals are zero, round toward zero
unsigned environment() { return _mm_getcsr() & ~0x3fu; }
void setEnvironment(unsigned word) { _mm_setcsr(word); }
#else
unsigned strangeEnvironment() { return FE_TOWARDZERO; }
unsigned environment() { return static_cast<unsigned>(std::fegetround()); }
void setEnvironment(unsigned word) { std::fesetround(static_cast<int>(word)); }
#endif

TEST("the host's floating-point environment neither matters nor changes") {
    for (const Kind kind : {Kind::tiny, Kind::normal, Kind::spiky}) {
        Shape shape;
        shape.entries = 3000;
        shape.kind = kind;
        shape.dim = 40;
        const Case c = makeCase(shape, 1, true);
        const Answer want = expected(c, RTD_F32);
        const unsigned saved = environment();
        setEnvironment(strangeEnvironment());
        Answer got;
        unsigned after = 0;
        try {
            const TestIndex index(indexOptions(shape.dim, RTD_L2, RTD_F32, 1, nullptr, 2));
            fillIndex(index, c);
            got = run(index, c, {nullptr, 2});
            after = environment();
        } catch (...) {
            setEnvironment(saved);
            throw;
        }
        setEnvironment(saved);
        CHECK_EQUAL(after, strangeEnvironment());
        checkSame(got, want);
    }
}

}  // namespace
