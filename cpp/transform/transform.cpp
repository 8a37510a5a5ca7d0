#include "transform/transform.h"

#include <algorithm>

#include "core/canonical.h"
#include "core/status.h"

namespace rtd {

std::shared_ptr<const Transform> Transform::read(const rtd_transform& given) {
    const uint32_t kind = numberOf(given.kind);
    if (kind == RTD_TRANSFORM_NONE) return nullptr;
    if (kind > RTD_TRANSFORM_MATRIX) fail(RTD_INVALID_ARGUMENT, "transform.kind is %u; give RTD_TRANSFORM_NONE, _SCALE or _MATRIX", kind);
    const auto checkDim = [](uint32_t dim, const char* name) {
        if (dim < 1 || dim > RTD_MAX_DIM) fail(RTD_INVALID_ARGUMENT, "transform.%s is %u; give 1..%u", name, dim, RTD_MAX_DIM);
    };
    checkDim(given.input_dim, "input_dim");
    checkDim(given.output_dim, "output_dim");
    const float* weights = needPointer(given.weights, "transform.weights");
    const size_t count = kind == RTD_TRANSFORM_SCALE ? given.input_dim : size_t{given.output_dim} * given.input_dim;
    std::vector<float> mean(given.input_dim);
    if (given.mean) std::copy_n(given.mean, given.input_dim, mean.begin());
    return make(static_cast<rtd_transform_kind>(kind), given.output_dim, std::move(mean), {weights, weights + count});
}

std::shared_ptr<const Transform> Transform::make(rtd_transform_kind kind, uint32_t outputDim, std::vector<float> mean, std::vector<float> weights) {
    if (kind == RTD_TRANSFORM_SCALE && outputDim != mean.size())
        fail(RTD_INVALID_ARGUMENT, "a transform that scales %zu dimensions has as many afterwards, not %u", mean.size(), outputDim);
    const auto checkFinite = [](const std::vector<float>& numbers, const char* name) {
        if (const size_t at = firstNotFinite(numbers.data(), numbers.size()); at < numbers.size())
            fail(RTD_NOT_FINITE, "the transform's %s holds %g at %zu; give finite numbers", name, static_cast<double>(numbers[at]), at);
    };
    checkFinite(mean, "mean");
    checkFinite(weights, "weights");
    return std::shared_ptr<const Transform>(new Transform(kind, outputDim, std::move(mean), std::move(weights)));
}

rtd_transform Transform::view() const { return {sizeof(rtd_transform), kind_, inputDim(), outputDim_, mean_.data(), weights_.data()}; }

void Transform::apply(const cpu::Backend& backend, const MatrixView& rows, size_t begin, size_t count, float* out) const {
    std::vector<float> block(std::min(count, kTransformRows) * inputDim());
    for (size_t done = 0; done < count; done += kTransformRows) {
        const size_t here = std::min(count - done, kTransformRows);
        for (size_t r = 0; r < here; ++r) convertToFloat(rows.row(begin + done + r), rows.dtype(), inputDim(), &block[r * inputDim()]);
        apply(backend, block.data(), here, out + done * outputDim_);
    }
}

void Transform::apply(const cpu::Backend& backend, const float* rows, size_t count, float* out) const {
    const size_t dim = inputDim();
    std::vector<float> centred(isMatrix() ? std::min(count, kTransformRows) * dim : 0);
    for (size_t done = 0; done < count; done += kTransformRows) {
        const size_t here = std::min(count - done, kTransformRows);
        float* to = isMatrix() ? centred.data() : out + done * dim;
        for (size_t r = 0; r < here; ++r) {
            const float* row = rows + (done + r) * dim;
            for (size_t i = 0; i < dim; ++i) {
                const float t = subRn(row[i], mean_[i]);
                to[r * dim + i] = isMatrix() ? t : mulRn(t, weights_[i]);
            }
        }
        // The matrix's rows are to the centred keys what keys are to queries.
        if (isMatrix())
            backend.dot[static_cast<size_t>(Dtype::f32)]({centred.data(), dim, static_cast<uint32_t>(here)},
                                                         {weights_.data(), dim, outputDim_, static_cast<uint32_t>(dim)}, out + done * outputDim_,
                                                         outputDim_);
    }
}

}  // namespace rtd
