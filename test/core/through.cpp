#include "through.h"

#include <algorithm>
#include <cmath>

namespace {

// Sums of |w| are at most 1/2, so that images stay within what their dtype holds.
std::vector<float> makeWeights(std::mt19937_64& random, const Through& t, bool isSelection) {
    std::normal_distribution<float> normal;
    if (t.kind == RTD_TRANSFORM_SCALE) {
        std::vector<float> weights(t.inputs);
        for (float& w : weights) w = isSelection ? (random() % 2 ? 0.5f : -0.5f) : std::clamp(normal(random), -2.0f, 2.0f) / 4;
        return weights;
    }
    std::vector<float> weights(size_t{t.outputs} * t.inputs);
    for (uint32_t j = 0; j < t.outputs; ++j) {
        float* row = &weights[size_t{j} * t.inputs];
        if (isSelection) {
            row[(j * 7 + 3) % t.inputs] = 0.5f;
            continue;
        }
        float sum = 0;
        for (uint32_t i = 0; i < t.inputs; ++i) row[i] = normal(random), sum += std::fabs(row[i]);
        for (uint32_t i = 0; i < t.inputs; ++i) row[i] *= 0.49f / sum;
    }
    return weights;
}

std::vector<float> imagesOf(const Through& through, const std::vector<float>& rows) {
    std::vector<float> images;
    const rtd_transform view = through.view();
    for (size_t at = 0; at < rows.size(); at += through.inputs) {
        const std::vector<float> image = oracle::imageOf(view, &rows[at]);
        images.insert(images.end(), image.begin(), image.end());
    }
    return images;
}

}  // namespace

std::string ThroughCase::text() const {
    return searched.shape.text() + (through.kind == RTD_TRANSFORM_SCALE ? ", scaled" : ", by a matrix from " + std::to_string(through.inputs));
}

ThroughCase makeThroughCase(const Shape& shape, uint32_t inputs, uint64_t seed, bool isPlain, rtd_dtype queryDtype) {
    ThroughCase made;
    Shape given = shape;
    if (inputs > 0) given.dim = inputs;
    made.given = makeCase(given, seed, isPlain);
    for (float& q : made.given.queries)
        if (queryDtype == RTD_F16) q = oracle::roundTo(RTD_F16, std::clamp(q, -60000.0f, 60000.0f));

    std::mt19937_64 random(seed + 77);
    Through& through = made.through;
    through = {inputs > 0 ? RTD_TRANSFORM_MATRIX : RTD_TRANSFORM_SCALE, given.dim, shape.dim, std::vector<float>(given.dim), {}};
    if (seed % 2 && shape.entries > 0) std::copy_n(made.given.given.begin(), given.dim, through.mean.begin());
    through.weights = makeWeights(random, through, seed % 3 == 0);

    made.searched = made.given;
    made.searched.shape.dim = made.searched.data.dim = shape.dim;
    made.searched.queries = imagesOf(through, made.given.queries);
    made.searched.data.keys.clear();
    for (const float x : imagesOf(through, made.given.given)) made.searched.data.keys.push_back(oracle::roundTo(shape.dtype, x));
    return made;
}

uint32_t randomInputs(std::mt19937_64& random, const Shape& shape) {
    constexpr uint32_t kInputs[] = {1, 2, 5, 16, 33, 127, 128, 129, 260};
    return shape.heads > 1 || random() % 3 == 0 ? 0 : kInputs[random() % std::size(kInputs)];
}

void checkSameButBroken(Answer got, Answer want, const Case& c, uint32_t b) {
    const Shape& s = c.shape;
    const auto copy = [&](auto& to, const auto& from, size_t each) {
        std::copy_n(from.begin() + static_cast<ptrdiff_t>(b * each), each, to.begin() + static_cast<ptrdiff_t>(b * each));
    };
    copy(got.counts, want.counts, s.heads);
    copy(got.ids, want.ids, size_t{s.heads} * s.k);
    copy(got.distances, want.distances, size_t{s.heads} * s.k);
    copy(got.tokens, want.tokens, size_t{s.heads} * s.k);
    copy(want.logits, c.logits, s.vocabulary);
    const bool isFused = !(c.rows[b].flags & RTD_ROW_SKIP) && c.rows[b].reference_weight > 0;
    want.statuses[b] = isFused ? RTD_ROW_UNMERGEABLE : RTD_ROW_UNCHANGED;
    checkSame(got, want);
}
