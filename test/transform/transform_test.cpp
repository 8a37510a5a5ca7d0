// Transforms of keys: the same bits everywhere, and indexes that search the images.
#include <cmath>
#include <cstring>
#include <random>

#include "core/case.h"
#include "core/oracle.h"
#include "cpu/dispatch.h"
#include "harness.h"
#include "rtd.h"

namespace {

struct Numbers {
    explicit Numbers(uint64_t seed) : random(seed) {}
    float normal() { return std::normal_distribution<float>()(random); }
    std::vector<float> normals(size_t n, float scale = 1) {
        std::vector<float> values(n);
        for (float& value : values) value = scale * normal();
        return values;
    }
    std::mt19937_64 random;
};

rtd_transform describe(rtd_transform_kind kind, uint32_t inputs, uint32_t outputs, const std::vector<float>& mean,
                       const std::vector<float>& weights) {
    return {sizeof(rtd_transform), kind, inputs, outputs, mean.data(), weights.data()};
}

using oracle::imageOf;

TEST("the image of a row has the canonical bits, alone and among others, in every dtype of rows") {
    Numbers numbers(1);
    for (const uint32_t inputs : {1u, 2u, 7u, 127u, 128u, 129u, 576u})
        for (const uint32_t outputs : {1u, 3u, 64u, 131u})
            for (const rtd_transform_kind kind : {RTD_TRANSFORM_SCALE, RTD_TRANSFORM_MATRIX}) {
                if (kind == RTD_TRANSFORM_SCALE && outputs != 1) continue;
                const uint32_t out = kind == RTD_TRANSFORM_SCALE ? inputs : outputs;
                const std::vector<float> mean = numbers.normals(inputs),
                                         weights = numbers.normals(size_t{inputs} * (kind == RTD_TRANSFORM_SCALE ? 1 : out));
                const rtd_transform transform = describe(kind, inputs, out, mean, weights);
                for (const uint32_t count : {1u, 65u}) {
                    const std::vector<float> rows = numbers.normals(size_t{count} * inputs, 5);
                    std::vector<float> images(size_t{count} * out);
                    const rtd_matrix matrix = matrixOf(rows, inputs);
                    CHECK_OK(rtd_transform_apply(&transform, &matrix, images.data()));
                    for (uint32_t r = 0; r < count; ++r) {
                        const std::vector<float> wanted = imageOf(transform, &rows[size_t{r} * inputs]);
                        for (uint32_t j = 0; j < out; ++j) CHECK_EQUAL(images[size_t{r} * out + j], wanted[j]);
                    }
                    std::vector<uint16_t> halves(rows.size());
                    std::vector<float> rounded(rows.size()), halfImages(images.size());
                    for (size_t i = 0; i < rows.size(); ++i) rounded[i] = oracle::fromF16(halves[i] = oracle::toF16(rows[i]));
                    const rtd_matrix halfMatrix = {halves.data(), count, inputs, 0, RTD_F16};
                    CHECK_OK(rtd_transform_apply(&transform, &halfMatrix, halfImages.data()));
                    for (uint32_t r = 0; r < count; ++r) {
                        const std::vector<float> wanted = imageOf(transform, &rounded[size_t{r} * inputs]);
                        for (uint32_t j = 0; j < out; ++j) CHECK_EQUAL(halfImages[size_t{r} * out + j], wanted[j]);
                    }
                }
            }
}

// An index with a transform against one without, which holds images that were made one by one.
TEST("an index with a transform finds what an index of the images finds, to the bit, on every back end") {
    Numbers numbers(2);
    struct Space {
        rtd_transform_kind kind;
        uint32_t outputs, heads;
    };
    for (const char* backend : usableBackends())
        for (const rtd_metric metric : {RTD_L2, RTD_L2SQ, RTD_DOT})
            for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16})
                for (const Space& space :
                     {Space{RTD_TRANSFORM_MATRIX, 7, 1}, Space{RTD_TRANSFORM_MATRIX, 40, 1}, Space{RTD_TRANSFORM_SCALE, 24, 3}}) {
                    const uint32_t dim = 24, entries = 150, batch = 9, k = 12;
                    const std::vector<float> mean = numbers.normals(dim);
                    const std::vector<float> weights = numbers.normals(space.kind == RTD_TRANSFORM_SCALE ? dim : size_t{dim} * space.outputs);
                    const rtd_transform transform = describe(space.kind, dim, space.outputs, mean, weights);
                    const std::vector<float> keys = numbers.normals(size_t{entries} * dim), queries = numbers.normals(size_t{batch} * dim);
                    std::vector<float> images, asked;
                    for (uint32_t i = 0; i < entries; ++i) {
                        const auto image = imageOf(transform, &keys[size_t{i} * dim]);
                        images.insert(images.end(), image.begin(), image.end());
                    }
                    for (uint32_t b = 0; b < batch; ++b) {
                        const auto image = imageOf(transform, &queries[size_t{b} * dim]);
                        asked.insert(asked.end(), image.begin(), image.end());
                    }
                    std::vector<int32_t> tokens(entries);
                    for (uint32_t i = 0; i < entries; ++i) tokens[i] = static_cast<int32_t>(i % 11);

                    rtd_index_options options = indexOptions(dim, metric, dtype, space.heads, backend, 2);
                    options.transform = &transform;
                    const TestIndex through(options), plain(indexOptions(space.outputs, metric, dtype, space.heads, backend, 2));
                    for (uint32_t begin = 0; begin < entries; begin += 70) {  // in pieces
                        const uint32_t count = std::min(70u, entries - begin);
                        const rtd_matrix piece = {&keys[size_t{begin} * dim], count, dim, 0, RTD_F32};
                        CHECK_OK(rtd_index_add(through, &piece, &tokens[begin], nullptr, nullptr));
                    }
                    const rtd_matrix all = matrixOf(images, space.outputs);
                    CHECK_OK(rtd_index_add(plain, &all, tokens.data(), nullptr, nullptr));
                    CHECK_OK(rtd_index_seal(through, nullptr));
                    CHECK_OK(rtd_index_seal(plain, nullptr));

                    rtd_index_info info{};
                    info.struct_size = sizeof info;
                    CHECK_OK(rtd_index_get_info(through, &info));
                    CHECK_EQUAL(info.dim, dim);
                    CHECK_EQUAL(info.searched_dim, space.outputs);
                    const size_t rows = size_t{batch} * space.heads;
                    const uint32_t vocabulary = 20;
                    std::vector<float> logits[2] = {numbers.normals(size_t{batch} * vocabulary), {}};
                    logits[1] = logits[0];
                    std::vector<uint32_t> ids[2];
                    std::vector<float> distances[2];
                    for (int which : {0, 1}) {
                        ids[which].resize(rows * k);
                        distances[which].resize(rows * k);
                        const rtd_matrix matrix = matrixOf(which ? asked : queries, which ? space.outputs : dim);
                        const rtd_mutable_matrix out = mutableMatrixOf(logits[which], vocabulary);
                        const rtd_row_options row = rowOptions(k, 0.4f);
                        const rtd_hits hits = {ids[which].data(), distances[which].data(), nullptr, nullptr, k};
                        CHECK_OK(rtd_search_and_fuse(which ? plain : through, &matrix, &out, &row, 1, nullptr, &hits, nullptr));
                    }
                    CHECK(ids[0] == ids[1]);
                    CHECK(distances[0] == distances[1]);
                    CHECK(logits[0] == logits[1]);

                    std::vector<float> kept(size_t{entries} * space.outputs), wanted(kept.size());
                    std::vector<uint32_t> every(entries);
                    for (uint32_t i = 0; i < entries; ++i) every[i] = i;
                    CHECK_OK(rtd_index_keys(through, every.data(), entries, kept.data()));
                    CHECK_OK(rtd_index_keys(plain, every.data(), entries, wanted.data()));
                    CHECK(kept == wanted);
                    rtd_transform own{};
                    own.struct_size = sizeof own;
                    CHECK_OK(rtd_index_transform(through, &own));
                    CHECK_EQUAL(own.kind, space.kind);
                    CHECK(std::vector<float>(own.mean, own.mean + dim) == mean);
                    CHECK(std::vector<float>(own.weights, own.weights + weights.size()) == weights);
                }
}

void checkRefused(rtd_status status, rtd_status wanted, const std::string& part) {
    CHECK_EQUAL(status, wanted);
    if (std::string(rtd_last_error()).find(part) == std::string::npos) throw test::Failure(std::string("says: ") + rtd_last_error());
}

TEST("a transform that does not fit is refused, and says why") {
    const std::vector<float> mean(4), weights(12, 1);
    std::vector<float> bad = weights;
    bad[5] = NAN;
    rtd_index* index = nullptr;
    const auto create = [&](const rtd_transform& transform, uint32_t dim, uint32_t heads, rtd_dtype dtype = RTD_F32) {
        rtd_index_options options = indexOptions(dim, RTD_L2, dtype, heads);
        options.transform = &transform;
        return rtd_index_create(&options, &index);
    };
    checkRefused(create(describe(RTD_TRANSFORM_MATRIX, 4, 3, mean, weights), 5, 1), RTD_INVALID_ARGUMENT,
                 "takes keys of 4 dimensions, and these have 5");
    checkRefused(create(describe(RTD_TRANSFORM_MATRIX, 4, 3, mean, weights), 4, 3), RTD_INVALID_ARGUMENT, "mixes what heads keep apart");
    checkRefused(create(describe(RTD_TRANSFORM_MATRIX, 4, 0, mean, weights), 4, 1), RTD_INVALID_ARGUMENT, "output_dim is 0");
    checkRefused(create(describe(RTD_TRANSFORM_SCALE, 4, 3, mean, weights), 4, 1), RTD_INVALID_ARGUMENT, "as many afterwards, not 3");
    checkRefused(create(describe(RTD_TRANSFORM_MATRIX, 4, 3, mean, bad), 4, 1), RTD_NOT_FINITE, "weights holds nan at 5");
    rtd_transform unknown = describe(RTD_TRANSFORM_MATRIX, 4, 3, mean, weights);
    std::memset(&unknown.kind, 7, 1);
    checkRefused(create(unknown, 4, 1), RTD_INVALID_ARGUMENT, "kind is 7");
    rtd_transform none = describe(RTD_TRANSFORM_MATRIX, 4, 3, mean, weights);
    none.weights = nullptr;
    checkRefused(create(none, 4, 1), RTD_INVALID_ARGUMENT, "transform.weights is NULL");

    const std::vector<float> large(4, 1e30f);
    CHECK_OK(create(describe(RTD_TRANSFORM_SCALE, 4, 4, mean, large), 4, 1));
    const std::vector<float> key = {1, 2, 1e20f, 3};
    const rtd_matrix keys = matrixOf(key, 4);
    const int32_t token = 0;
    checkRefused(rtd_index_add(index, &keys, &token, nullptr, nullptr), RTD_NOT_FINITE, "key 0 holds inf at dimension 2 under the transform");
    const std::vector<float> small = {1e-9f, 0, 0, 0};
    const rtd_matrix smallKeys = matrixOf(small, 4);
    CHECK_OK(rtd_index_add(index, &smallKeys, &token, nullptr, nullptr));
    uint32_t id;
    const rtd_row_options row = rowOptions(1);
    const rtd_hits hits = {&id, nullptr, nullptr, nullptr, 1};
    checkRefused(rtd_search(index, &keys, &row, 1, nullptr, &hits), RTD_NOT_FINITE, "query 0 holds inf at dimension 2 under the transform");
    CHECK_OK(rtd_search(index, &smallKeys, &row, 1, nullptr, &hits));
    CHECK_EQUAL(id, 0u);
    rtd_index_release(index);
}

}  // namespace
