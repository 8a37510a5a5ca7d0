// The choices that an index is made with, and the three ways a key is kept with their exact conversion to and from float32 (IEEE 754, round to nearest even).
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace rtd {

enum class Dtype : uint32_t { f32 = 0, f16 = 1, bf16 = 2 };
enum class Metric : uint32_t { l2 = 0, l2sq = 1, dot = 2 };
enum class CascadeUse : uint32_t { automatic = 0, off = 1, always = 2 };

constexpr uint32_t bytesOf(Dtype t) { return t == Dtype::f32 ? 4 : 2; }
constexpr const char* nameOf(Dtype t) { return t == Dtype::f32 ? "f32" : t == Dtype::f16 ? "f16" : "bf16"; }
constexpr const char* nameOf(Metric m) { return m == Metric::l2 ? "l2" : m == Metric::l2sq ? "l2sq" : "dot"; }

// Numbers in memory: the bits of a float16 and of a bfloat16.
struct F16 {
    uint16_t bits;
};
struct Bf16 {
    uint16_t bits;
};

inline float toFloat(float v) { return v; }

inline float toFloat(Bf16 v) { return std::bit_cast<float>(uint32_t{v.bits} << 16); }

inline float toFloat(F16 v) {
    const uint32_t sign = (v.bits & 0x8000u) << 16, magnitude = v.bits & 0x7fffu;
    if (magnitude < 0x400u) return std::bit_cast<float>(std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f) | sign);
    const uint32_t rebias = magnitude < 0x7c00u ? 0x38000000u : 0x70000000u;  // 127 - 15, or up to the exponent of infinity
    return std::bit_cast<float>(((magnitude << 13) + rebias) | sign);
}

inline Bf16 toBf16(float v) {
    const uint32_t bits = std::bit_cast<uint32_t>(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>(bits >> 16 | 0x40u)};  // a NaN must not round to infinity
    return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

inline F16 toF16(float v) {
    const uint32_t bits = std::bit_cast<uint32_t>(v), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    uint32_t half;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00u;
    } else if (magnitude >= 0x477ff000u) {  // 65520 and more: half way to the next power, which is infinity
        half = 0x7c00u;
    } else if (magnitude < 0x38800000u) {  // below 2^-14 a unit is 2^-24, which is also the unit of floats in [0.5, 1): let the addition round
        half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    } else {
        half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    }
    return {static_cast<uint16_t>(half | sign)};
}

// n numbers of one type after another, as float32. Exact.
void convertToFloat(const void* from, Dtype type, size_t n, float* to);

// n float32 rounded once to a type.
void convertFromFloat(const float* from, size_t n, Dtype type, void* to);

// Numbers whose magnitude is below it stay finite when they are rounded to the type.
constexpr float overflowLimit(Dtype t) { return t == Dtype::f32 ? std::numeric_limits<float>::infinity() : t == Dtype::f16 ? 65520.0f : 0x1.ffp127f; }

// The first of n numbers that is NaN, infinite, or not below a type's overflowLimit; n if there is none.
size_t firstNotFinite(const float* values, size_t n, Dtype type = Dtype::f32);

}  // namespace rtd
