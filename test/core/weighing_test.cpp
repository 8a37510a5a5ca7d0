// What a row is weighed by beyond one fixed number: a bias of tokens, a gate; and the figures that say so.
#include <cmath>
#include <limits>

#include "case.h"
#include "harness.h"

namespace {

rtd_status tryFuse(ForeignHits foreign, std::vector<float>& logits, const rtd_row_options& row, rtd_row_status* status = nullptr) {
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
    for (uint64_t i = 0; i < (test::kIsSlow ? 60 : 200); ++i) {
        Case c = makeCase(randomShape(random), i, false);
        giveBiases(c, i);
        checkEverywhere(c);
    }
}

TEST("bias: hits given to fuse count as those of a search") {
    std::mt19937_64 random(12);
    for (uint64_t i = 0; i < 50; ++i) {
        Case c = makeCase(randomShape(random), i, false);
        giveBiases(c, i);
        checkForeignHits(c);
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
    const ForeignHits hit = {{1}, {2}}, none = {{INFINITY}, {2}};
    rtd_row_options skipped = biased(tokens, values);
    skipped.flags = RTD_ROW_SKIP;
    const auto check = [](const std::vector<float>& before, const ForeignHits& foreign, const rtd_row_options& options, rtd_row_status want) {
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

rtd_row_options gated(const rtd_gate& gate) {
    rtd_row_options row = rowOptions(1, NAN, 1);
    row.gate = &gate;
    return row;
}

TEST("gate: random cases, everywhere, with a bias and without") {
    std::mt19937_64 random(13);
    for (uint64_t i = 0; i < (test::kIsSlow ? 60 : 200); ++i) {
        Case c = makeCase(randomShape(random), i, false);
        giveGates(c, i);
        if (i % 3 == 0) giveBiases(c, i);
        checkEverywhere(c);
    }
}

TEST("gate: a weight is the sigmoid of what the figures say") {
    const rtd_gate gate = {sizeof(rtd_gate), 0.8f, 0.5f, -1.5f, 2, 0.75f};
    std::vector<float> logits = {1, 2, 0, -1};
    double sum = 0, modelEntropy = 0, hitEntropy = 0;
    for (const float l : logits) sum += std::exp(static_cast<double>(l));
    for (const float l : logits) modelEntropy -= std::exp(static_cast<double>(l)) / sum * std::log(std::exp(static_cast<double>(l)) / sum);
    const double w[] = {1, std::exp(-1.0), std::exp(-2.0)}, z = w[0] + w[1] + w[2];
    const double r[] = {0, (w[0] + w[2]) / z, 0, w[1] / z};
    for (const double x : {r[1], r[3]}) hitEntropy -= x * std::log(x);
    const double a = static_cast<double>(gate.max_weight) / (1 + std::exp(-(0.5 - 1.5 * hitEntropy + 2 * r[1] + 0.75 * modelEntropy)));

    const std::vector<float> before = logits;
    CHECK_OK(tryFuse({{3, 4, 5}, {1, 3, 1}}, logits, gated(gate)));
    double merged = 0;
    for (const float l : logits) merged += std::exp(static_cast<double>(l));
    for (size_t v = 0; v < 4; ++v) {
        const double p = std::exp(static_cast<double>(before[v])) / sum;
        CHECK(std::fabs(std::exp(static_cast<double>(logits[v])) / merged - ((1 - a) * p + a * r[v])) < 1e-6);
    }
    ForeignHits foreign = {{3, 4, 5}, {1, 3, 1}};
    const rtd_hits hits = foreign.view();
    const rtd_matrix matrix = matrixOf(before, 4);
    const rtd_row_options row = gated(gate);
    rtd_row_figures figures;
    CHECK_OK(rtd_figures(&hits, 1, &matrix, &row, 1, &figures));
    CHECK_EQUAL(figures.nearest, 3);
    CHECK_EQUAL(figures.temperature, 1);
    CHECK(std::fabs(figures.hit_entropy - hitEntropy) < 1e-12);
    CHECK(std::fabs(figures.largest_vote - r[1]) < 1e-12);
    CHECK(std::fabs(figures.model_entropy - modelEntropy) < 1e-6);
    CHECK(std::fabs(figures.reference_weight - a) < 1e-6);
}

TEST("figures: true to float64, also of wide, masked and nearly certain models") {
    std::mt19937_64 random(14);
    for (uint64_t i = 0; i < (test::kIsSlow ? 50 : 150); ++i) {
        const Case c = makeCase(randomShape(random), i, false);
        const Shape& s = c.shape;
        const TestIndex index(indexOptions(s.dim, s.metric, s.dtype, s.heads));
        fillIndex(index, c);
        const Answer got = run(index, c, {nullptr, 1, RTD_F32, false, true});
        for (size_t b = 0; b < s.batch; ++b) {
            if (c.rows[b].flags & RTD_ROW_SKIP) continue;
            std::vector<std::vector<oracle::Hit>> heads(s.heads);
            for (uint32_t h = 0; h < s.heads; ++h) heads[h] = oracle::nearest(c.data, &c.queries[b * s.dim], h, c.rows[b]);
            const auto begin = c.logits.begin() + static_cast<ptrdiff_t>(b * s.vocabulary);
            const oracle::Fused want = oracle::fuse({begin, begin + s.vocabulary}, heads, 0.5f, c.rows[b].temperature, false);
            const auto isNear = [](double value, long double exact, double slack) { return fabsl(static_cast<long double>(value) - exact) <= slack; };
            CHECK(isNear(got.figures[b].hit_entropy, want.exactFigures.hitEntropy, 1e-12));
            CHECK(isNear(got.figures[b].largest_vote, want.exactFigures.largestVote, 1e-12));
            if (!std::isnan(want.figures.model_entropy)) CHECK(isNear(got.figures[b].model_entropy, want.exactFigures.modelEntropy, 4e-6));
        }
    }
}

TEST("figures: of foreign hits are those that a search has") {
    std::mt19937_64 random(15);
    for (uint64_t i = 0; i < 50; ++i) {
        Case c = makeCase(randomShape(random), i, false);
        if (c.shape.batch == 0) continue;
        giveGates(c, i);
        const TestIndex index(indexOptions(c.shape.dim, c.shape.metric, c.shape.dtype, c.shape.heads));
        fillIndex(index, c);
        const Answer want = run(index, c, {nullptr, 1, RTD_F32, false, true});
        Answer got = want;
        const std::vector<float> before = c.logits;
        const rtd_matrix logits = matrixOf(c.logits, c.shape.vocabulary);
        rtd_hits hits = {nullptr, got.distances.data(), got.tokens.data(), got.counts.data(), c.shape.k};
        CHECK_OK(rtd_figures(&hits, c.shape.heads, &logits, c.rows.data(), c.rows.size(), got.figures.data()));
        checkSame(got, want);
        CHECK_SAME_BITS(c.logits, before);
    }
}

TEST("gate: what it may not be is refused") {
    const auto refused = [](rtd_gate gate, const char* part) {
        std::vector<float> logits = {1, 2, 3};
        CHECK_EQUAL(tryFuse({{1}, {2}}, logits, gated(gate)), RTD_INVALID_ARGUMENT);
        CHECK(std::string(rtd_last_error()).find(part) != std::string::npos);
        CHECK_SAME_BITS(logits, (std::vector<float>{1, 2, 3}));
    };
    refused({sizeof(rtd_gate), 1.5f, 0, 0, 0, 0}, "gate.max_weight is 1.5; give 0..1");
    refused({sizeof(rtd_gate), NAN, 0, 0, 0, 0}, "gate.max_weight is ");
    refused({sizeof(rtd_gate), 1, INFINITY, 0, 0, 0}, "coefficient of the gate is inf");
    refused({sizeof(rtd_gate), 1, 0, 0, 0, NAN}, "coefficient of the gate is ");
    refused({3, 1, 0, 0, 0, 0}, "struct_size is 3");
    ForeignHits foreign = {{1}, {2}};
    const rtd_hits hits = foreign.view();
    const std::vector<float> logits = {1, 2, 3};
    const rtd_matrix matrix = matrixOf(logits, 3);
    const rtd_row_options cold = rowOptions(1, 0, 0), warm = rowOptions(1, 0, 1);
    rtd_row_figures figures;
    CHECK_EQUAL(rtd_figures(&hits, 1, &matrix, &cold, 1, &figures), RTD_NO_TEMPERATURE);  // weight 0 is no excuse
    CHECK_EQUAL(rtd_figures(&hits, 1, &matrix, &warm, 1, nullptr), RTD_INVALID_ARGUMENT);
}

}  // namespace
