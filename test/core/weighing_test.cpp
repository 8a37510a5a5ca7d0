// What a row is weighed by beyond one fixed number: a bias of tokens.
#include <cmath>
#include <limits>

#include "case.h"
#include "harness.h"

namespace {

// Hits that came from elsewhere, of one head.
struct Foreign {
    std::vector<float> distances;
    std::vector<int32_t> tokens;
    uint32_t count = static_cast<uint32_t>(distances.size());

    rtd_hits view() { return {nullptr, distances.data(), tokens.data(), &count, static_cast<uint32_t>(distances.size())}; }
};

rtd_status tryFuse(Foreign foreign, std::vector<float>& logits, const rtd_row_options& row, rtd_row_status* status = nullptr) {
    const rtd_mutable_matrix matrix = mutableMatrixOf(logits, logits.size());
    const rtd_hits hits = foreign.view();
    return rtd_fuse(&hits, 1, &matrix, &row, 1, status);
}

rtd_row_options biased(const std::vector<int32_t>& tokens, const std::vector<float>& values, float weight = 0.5f) {
    rtd_row_options row = rowOptions(1, weight, 1);
    row.bias_tokens = tokens.data();
    row.bias_values = values.data();
    row.bias_count = tokens.size();
    return row;
}

TEST("bias: random cases, everywhere") {
    std::mt19937_64 random(11);
    for (uint64_t i = 0; i < 200; ++i) {
        Case c = makeCase(randomShape(random), i, false);
        giveBiases(c, i);
        checkEverywhere(c);
    }
}

TEST("bias: hits given to fuse count as those of a search") {
    std::mt19937_64 random(12);
    for (uint64_t i = 0; i < 50; ++i) {
        Case c = makeCase(randomShape(random), i, false);
        if (c.shape.batch == 0) continue;
        giveBiases(c, i);
        const TestIndex index(indexOptions(c.shape.dim, c.shape.metric, c.shape.dtype, c.shape.heads));
        fillIndex(index, c);
        Answer want = run(index, c, {nullptr}), got = want;
        got.logits = c.logits;
        const rtd_mutable_matrix logits = mutableMatrixOf(got.logits, c.shape.vocabulary);
        const rtd_hits hits = {nullptr, want.distances.data(), want.tokens.data(), want.counts.data(), c.shape.k};
        CHECK_OK(rtd_fuse(&hits, c.shape.heads, &logits, c.rows.data(), c.rows.size(), got.statuses.data()));
        checkSame(got, want);
    }
}

TEST("bias: within 1 ULP of the true value for the biased logits") {
    double worst = 0;
    for (uint64_t seed = 0; seed < 100; ++seed) {
        Shape shape;
        shape.vocabulary = 1500;
        shape.k = 60;
        Case c = makeCase(shape, seed, true);
        giveBiases(c, seed);
        worst = std::max(worst, worstUlp(c));
    }
    CHECK(worst > 0 && worst <= 1);
}

TEST("bias: fusing is the formula for the biased model") {
    const std::vector<int32_t> tokens = {3, 0};
    const std::vector<float> values = {1.5f, -2};
    std::vector<float> logits = {1, 2, 0, -1};
    const double l[] = {-1, 2, 0, 0.5};
    CHECK_OK(tryFuse({{1}, {3}}, logits, biased(tokens, values)));
    double sum = 0, merged = 0;
    for (const double x : l) sum += std::exp(x);
    for (const float x : logits) merged += std::exp(static_cast<double>(x));
    for (size_t v = 0; v < 4; ++v)
        CHECK(std::fabs(std::exp(static_cast<double>(logits[v])) / merged - (0.5 * std::exp(l[v]) / sum + (v == 3 ? 0.5 : 0))) < 1e-7);
}

TEST("bias: a row that is not merged stays as it was, to the bit") {
    const std::vector<int32_t> tokens = {0, 1};
    const std::vector<float> values = {2, std::numeric_limits<float>::max()};
    const std::vector<float> row = {1, 2, -0.0f}, masked(3, -INFINITY), huge = {0, std::numeric_limits<float>::max(), 0};
    const Foreign hit = {{1}, {2}}, none = {{INFINITY}, {2}};
    rtd_row_options skipped = biased(tokens, values);
    skipped.flags = RTD_ROW_SKIP;
    const auto check = [](const std::vector<float>& before, const Foreign& foreign, const rtd_row_options& options, rtd_row_status want) {
        std::vector<float> logits = before;
        rtd_row_status status;
        CHECK_OK(tryFuse(foreign, logits, options, &status));
        CHECK_EQUAL(status, want);
        CHECK_SAME_BITS(logits, before);
    };
    check(row, hit, biased(tokens, values, 0), RTD_ROW_UNCHANGED);
    check(row, none, biased(tokens, values), RTD_ROW_UNCHANGED);
    check(row, hit, skipped, RTD_ROW_UNCHANGED);
    check(masked, hit, biased(tokens, values), RTD_ROW_UNMERGEABLE);
    check(huge, hit, biased(tokens, values), RTD_ROW_UNMERGEABLE);  // the bias makes it infinite
}

TEST("bias: weight 1 leaves nothing of it, and masked logits stay masked") {
    const std::vector<int32_t> tokens = {0, 1};
    const std::vector<float> values = {9, 9};
    std::vector<float> logits = {1, -INFINITY, 3};
    CHECK_OK(tryFuse({{1, 1}, {1, 2}}, logits, biased(tokens, values)));
    CHECK_EQUAL(logits[0], 10.0f);
    CHECK_EQUAL(logits[1], -INFINITY);
    logits = {1, 2, 3};
    CHECK_OK(tryFuse({{1}, {2}}, logits, biased(tokens, values, 1)));
    CHECK_SAME_BITS(logits, (std::vector<float>{-INFINITY, -INFINITY, 0}));
}

TEST("bias: what it may not be is refused, and nothing is changed") {
    const auto refused = [](const std::vector<int32_t>& tokens, const std::vector<float>& values, rtd_status want, const char* part) {
        std::vector<float> logits = {1, 2, 3};
        CHECK_EQUAL(tryFuse({{1}, {2}}, logits, biased(tokens, values)), want);
        CHECK(std::string(rtd_last_error()).find(part) != std::string::npos);
        CHECK_SAME_BITS(logits, (std::vector<float>{1, 2, 3}));
    };
    refused({0, -1}, {1, 1}, RTD_TOKEN_RANGE, "bias_tokens[1] is -1");
    refused({0, 3}, {1, 1}, RTD_TOKEN_RANGE, "bias_tokens has 3; the logits have 3 columns");
    refused({2, 0, 2}, {1, 1, 1}, RTD_INVALID_ARGUMENT, "token 2 twice");
    refused({0, 1}, {1, INFINITY}, RTD_INVALID_ARGUMENT, "bias_values[1] is inf");
    refused({1}, {NAN}, RTD_INVALID_ARGUMENT, "bias_values[0] is ");
    rtd_row_options row = biased({}, {});
    row.bias_count = 1;
    std::vector<float> logits = {1, 2, 3};
    CHECK_EQUAL(tryFuse({{1}, {2}}, logits, row), RTD_INVALID_ARGUMENT);
    CHECK(std::string(rtd_last_error()).find("bias_") != std::string::npos);
}

}  // namespace
