// A linear map from the keys that are given to those that are searched: z = W (x - mean), with a diagonal or a matrix for W. Queries go through
// the same map, so distances are taken in a space where what matters weighs more.
//
// Canonical arithmetic (core/canonical.h), so that the same key has the same bits on every back end and after every rebuild:
//   t_i = subRn(x_i, mean_i);   diagonal: z_i = mulRn(t_i, w_i);   matrix: z_j = canonical sum over fma(t_i, W_ji, s)
// Cost: inputDim outputDim products a key for a matrix; the matrix is read once for a block of rows.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/arguments.h"
#include "cpu/backend.h"
#include "rtd.h"

namespace rtd {

class Transform {
  public:
    // Copies and checks a caller's: RTD_INVALID_ARGUMENT, RTD_NOT_FINITE. Null where its kind is RTD_TRANSFORM_NONE.
    static std::shared_ptr<const Transform> read(const rtd_transform& given);
    // Takes over numbers, [inputDim] and [inputDim] or [outputDim, inputDim], with the same checks.
    static std::shared_ptr<const Transform> make(rtd_transform_kind kind, uint32_t outputDim, std::vector<float> mean, std::vector<float> weights);

    bool isMatrix() const { return kind_ == RTD_TRANSFORM_MATRIX; }
    uint32_t inputDim() const { return static_cast<uint32_t>(mean_.size()); }
    uint32_t outputDim() const { return outputDim_; }
    const std::vector<float>& mean() const { return mean_; }
    const std::vector<float>& weights() const { return weights_; }
    rtd_transform view() const;  // pointers into this

    // out [count, outputDim] = the rows from `begin` on, which hold inputDim numbers of any dtype. What overflows becomes infinite or NaN.
    void apply(const cpu::Backend& backend, const MatrixView& rows, size_t begin, size_t count, float* out) const;
    // The same for count rows of float32 without gaps.
    void apply(const cpu::Backend& backend, const float* rows, size_t count, float* out) const;

    bool operator==(const Transform&) const = default;

  private:
    Transform(rtd_transform_kind kind, uint32_t outputDim, std::vector<float> mean, std::vector<float> weights)
        : kind_(kind), outputDim_(outputDim), mean_(std::move(mean)), weights_(std::move(weights)) {}

    rtd_transform_kind kind_;
    uint32_t outputDim_;
    std::vector<float> mean_, weights_;
};

// Rows that callers transform at a time: enough to share reading the matrix, few enough to stay in the cache.
inline constexpr size_t kTransformRows = 64;

}  // namespace rtd
