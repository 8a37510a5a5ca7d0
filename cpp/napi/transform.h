// Transforms of keys between JavaScript and the library: { mean, scale } or { mean, matrix }.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "napi/arguments.h"
#include "napi/options.h"
#include "napi/results.h"

namespace rtd::napi {

// A copy of a transform that JavaScript gave, for keys of so many dimensions.
class GivenTransform {
  public:
    GivenTransform(const Napi::Value& value, const std::string& name, uint32_t dim) {
        const Options options(value, name, name + ".");
        const bool isMatrix = options.has("matrix");
        if (isMatrix == options.has("scale")) invalid(name + ": expected { mean, scale } or { mean, matrix }, got " + describe(value));
        const auto read = [&](const char* property) {
            const View view = viewArray(options.get(property), options.nameOf(property), {napi_float32_array});
            const auto* data = static_cast<const float*>(view.data);
            return std::vector<float>(data, data + view.length);
        };
        mean_ = read("mean");
        expectLength(mean_.size(), dim, options.nameOf("mean"), "one for each dimension of a key");
        weights_ = read(isMatrix ? "matrix" : "scale");
        if (!isMatrix) expectLength(weights_.size(), dim, options.nameOf("scale"), "one for each dimension of a key");
        if (weights_.empty() || weights_.size() % dim != 0)
            invalid(options.nameOf("matrix") + ": expected rows of " + std::to_string(dim) + " numbers, got " + std::to_string(weights_.size()));
        described_ = {sizeof described_,
                      isMatrix ? RTD_TRANSFORM_MATRIX : RTD_TRANSFORM_SCALE,
                      dim,
                      isMatrix ? static_cast<uint32_t>(weights_.size() / dim) : dim,
                      nullptr,
                      nullptr};
    }

    rtd_transform view() const {
        rtd_transform view = described_;
        view.mean = mean_.data();
        view.weights = weights_.data();
        return view;
    }

  private:
    std::vector<float> mean_, weights_;
    rtd_transform described_{};
};

// The transform among some options; null and undefined are none.
inline std::optional<GivenTransform> readTransform(const Options& options, uint32_t dim) {
    const Napi::Value value = options.get("transform");
    if (value.IsUndefined() || value.IsNull()) return std::nullopt;
    return GivenTransform(value, "transform", dim);
}

inline napi_value transformResult(Results& results, const rtd_transform& transform) {
    if (transform.kind == RTD_TRANSFORM_NONE) return results.undefined();
    const bool isMatrix = transform.kind == RTD_TRANSFORM_MATRIX;
    const size_t dim = transform.input_dim, weights = isMatrix ? dim * transform.output_dim : dim;
    const napi_value made = results.object();
    results.set(made, "mean", results.array(std::vector<float>(transform.mean, transform.mean + dim)));
    results.set(made, isMatrix ? "matrix" : "scale", results.array(std::vector<float>(transform.weights, transform.weights + weights)));
    return made;
}

}  // namespace rtd::napi
