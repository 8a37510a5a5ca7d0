// From a canonical distance to a true one and back, rounding included: what lets a bound on the true distance decide about a canonical value.
//
// u = 2^-24. Of n numbers, a partial sum takes at most c = ceil(n / 128) fma, the tree 7 additions.
//
//   l2, l2sq   The value D is the canonical sum of (q_i - x_i)^2. Each difference is rounded once (a factor in 1 +- u, twice in its square); each
//              term then passes at most c + 7 roundings, all of sums of non-negative numbers. So |D - |q-x|^2| <= g |q-x|^2 with
//              g = (c + 10) u 1.01, plus what is lost where squares underflow: at most n 2^-149 < kUnderflow.
//   dot        The value is -s, s the canonical sum of q_i x_i: |s - q.x| <= g sum |q_i x_i| <= g |q||x|, the same g, plus kUnderflow.
//              Dot products become distances by one more coordinate: x' = (x, sqrt(M^2 - |x|^2)) with M >= every |x|, q' = (q, 0) gives
//              |q'-x'|^2 = |q|^2 + |x'|^2 - 2 q.x. That coordinate is rounded to float32, so | |x'|^2 - M^2 | <= 3 u M^2.
//
// Numbers here are double: their own rounding, below 1e-14 relative, is covered by the factor 1.01 in g and by kDouble where nothing else does.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/canonical.h"
#include "core/dtype.h"

namespace rtd {

// Magnitudes of numbers below which no sum of up to 65,537 squares or products overflows float32.
constexpr float kBoundedMagnitude = 1e15f;

class DistanceBounds {
  public:
    // Of a query to keys of `length` numbers whose lengths are at most `largestKey` (looked at for dot alone).
    RTD_SHARED DistanceBounds(Metric metric, uint32_t length, double queryNorm, double largestKey)
        : isDot_(metric == Metric::dot),
          g_((static_cast<double>((length + 127) / 128) + 10) * 0x1p-24 * 1.01),
          norms_(queryNorm * queryNorm + largestKey * largestKey),
          slack_(2 * g_ * queryNorm * largestKey + 3 * 0x1p-24 * 1.01 * largestKey * largestKey + kDouble * norms_) {}

    // A key at a true distance (for dot: of q' and x') beyond it has a value above `value`.
    RTD_SHARED double radius(float value) const {
        const double v = static_cast<double>(value);
        const double squared = isDot_ ? norms_ + 2 * (v + kUnderflow) + slack_ : (v + kUnderflow) / (1 - g_);
        return squared > 0 ? sqrtRn(squared) * (1 + kDouble) : 0;
    }

    // A key within a true distance has at most this value.
    float value(double distance) const {
        const double squared = distance * distance * (1 + kDouble);
        const double v = isDot_ ? (squared - norms_ + slack_) / 2 + kUnderflow : squared * (1 + g_) + kUnderflow;
        return std::nextafter(static_cast<float>(v), HUGE_VALF);
    }

  private:
    static constexpr double kUnderflow = 1e-35, kDouble = 1e-12;

    bool isDot_;
    double g_;
    double norms_;  // |q|^2 + M^2
    double slack_;
};

}  // namespace rtd
