#include "core/dtype.h"

#include <cmath>
#include <cstring>

namespace rtd {

void convertToFloat(const void* from, Dtype type, size_t n, float* to) {
    if (type == Dtype::f32) {
        if (n) std::memcpy(to, from, n * sizeof(float));
    } else if (type == Dtype::f16) {
        for (size_t i = 0; i < n; ++i) to[i] = toFloat(static_cast<const F16*>(from)[i]);
    } else {
        for (size_t i = 0; i < n; ++i) to[i] = toFloat(static_cast<const Bf16*>(from)[i]);
    }
}

void convertFromFloat(const float* from, size_t n, Dtype type, void* to) {
    if (type == Dtype::f32) {
        if (n) std::memcpy(to, from, n * sizeof(float));
    } else if (type == Dtype::f16) {
        for (size_t i = 0; i < n; ++i) static_cast<F16*>(to)[i] = toF16(from[i]);
    } else {
        for (size_t i = 0; i < n; ++i) static_cast<Bf16*>(to)[i] = toBf16(from[i]);
    }
}

size_t firstNotFinite(const float* values, size_t n, Dtype type) {
    constexpr size_t kBlock = 64;  // whole blocks first, without a branch for each number
    const float limit = overflowLimit(type);
    size_t begin = 0;
    for (; begin + kBlock <= n; begin += kBlock) {
        bool isBad = false;
        for (size_t i = 0; i < kBlock; ++i) isBad |= !(std::fabs(values[begin + i]) < limit);
        if (isBad) break;
    }
    while (begin < n && std::fabs(values[begin]) < limit) ++begin;
    return begin;
}

}  // namespace rtd
