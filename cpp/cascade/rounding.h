// How far what is computed of a key or a query in float32 may be from the truth (see levels.h). Shared with CUDA.
#pragma once
#include <cstdint>

#include "core/canonical.h"

namespace rtd::cascade {

// The error of a projection in float32, as a share of |x|: x less mean is rounded once, each product passes ceil(d / 128) + 8 roundings, a
// direction is at most 1.001 long (its numbers are rounded to float16). For p directions together.
RTD_SHARED double projectionError(uint32_t length, uint32_t directions) {
    return sqrtRn(static_cast<double>(directions)) * (static_cast<double>((length + 127) / 128) + 10) * 0x1p-24 * 1.01;
}

struct Residual {
    double value;  // |Sx| ...
    double error;  // ... and how far that may be from the truth
};

// What W' x, for p directions in float32, leaves over of |x|^2. |W'x|^2 is off by at most 2 e |x|^2 + e^2 |x|^2, e the projection's error, and |x|^2
// by 2.1 u |x|^2; a root is off by its square's error over the root, or by the root of that.
RTD_SHARED Residual residualOf(double squaredNorm, double squaredProjection, uint32_t length, uint32_t directions) {
    const double rest = squaredNorm - squaredProjection, value = rest > 0 ? sqrtRn(rest) : 0.0;
    const double off = (2.01 * projectionError(length, directions) + 2.1 * 0x1p-24) * squaredNorm;
    return {value, value * value > off ? off / value : sqrtRn(off)};
}

}  // namespace rtd::cascade
