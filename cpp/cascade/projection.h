// F(x) of keys and queries (levels.h): projections on the levels' directions and what those leave over, with how far each may be from the truth.
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "cascade/levels.h"
#include "cascade/rounding.h"

namespace rtd::cascade {

// Sums of products in double, four at a time so that compilers can use vectors.
inline double dotWide(const float* a, const float* b, size_t n) {
    double s[4] = {};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; ++j) s[j] += static_cast<double>(a[i + j]) * static_cast<double>(b[i + j]);
    for (; i < n; ++i) s[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return s[0] + s[1] + s[2] + s[3];
}

// The coordinates of F(x), level by level: projections, then the residual's length, relative to the levels' middle.
class Coordinates {
  public:
    explicit Coordinates(const LevelShape& shape) : shape_(shape), y_(shape.directions() + 3) {}

    // Of x with |x|^2 = squaredNorm; projections: on the basis, [directions].
    void set(const LevelScales& scales, double squaredNorm, const float* projections) {
        const uint32_t ends[] = {shape_.directions1, shape_.directions12(), shape_.directions()};
        const double middles[] = {scales.residual1, scales.residual2, scales.residual2b};
        double kept = 0, *y = y_.data();
        for (uint32_t level = 0, j = 0; level < 3; ++level) {
            for (; j < ends[level]; ++j) {
                *y = scales.shrink * static_cast<double>(projections[j]);
                kept += *y * *y;
                ++y;
            }
            const Residual residual = residualOf(squaredNorm, kept, shape_.length, ends[level]);
            *y++ = residual.value - middles[level];
            residualErrors_[level] = residual.error;
        }
    }

    std::span<const double> one() const { return {y_.data(), shape_.directions1 + 1}; }
    std::span<const double> two() const { return {y_.data() + shape_.directions1 + 1, shape_.directions2 + 1}; }
    std::span<const double> twoB() const { return {y_.data() + shape_.directions12() + 2, shape_.directions2b() + 1}; }

    // What the errors of projections and residual add to that of rounding to the levels' grids, for levels 1, 1 and 2, and 1 to 2b.
    double error1(double size) const { return projectionError(shape_.length, shape_.directions1) * size + residualErrors_[0]; }
    double error2(double size) const { return projectionError(shape_.length, shape_.directions12()) * size + residualErrors_[1]; }
    double error2b(double size) const { return projectionError(shape_.length, shape_.directions()) * size + residualErrors_[2]; }

  private:
    LevelShape shape_;
    std::vector<double> y_;
    double residualErrors_[3] = {};
};

}  // namespace rtd::cascade
