// The arithmetic that every back end shares: what is computed here has the same bits in C++ and in CUDA.
//
// Rules. Only operations that IEEE 754 rounds once (add, sub, mul, div, sqrt, fma), spelt as functions so that no compiler may contract or
// reorder them; constants are quotients of small integers or hexadecimal literals; every sum has a stated order. C++ is built with
// -ffp-contract=off and without -ffast-math, and runs in the default floating-point environment (core/float_environment.h).
//
//   order of a sum   128 partial sums s[i mod 128] in order of i, then s[j] += s[j + 64], then + 32, 16, 8, 4, 2, 1
//   squared distance that sum over fma(q_i - x_i, q_i - x_i, s), float32; l2 is its square root, taken last
//   dot              that sum over fma(q_i, x_i, s), float32; the distance is its negative
//   order            (value, id) where value is the squared distance or the negative dot product; a NaN, which only products that overflow in
//                    opposite directions give, counts as +infinity: the farthest; -0 counts as +0
//   log-sum-exp      pieces of 1024 logits: m = their maximum, s = sum of double(expSmall(l - m)); S = sum over pieces of s * expWide(m - M)
//                    in double, M = the largest m; LSE = M + logWide(S)
//   vote, merge      see core/fusion.h
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>

#if !defined(__CUDA_ARCH__)
#include <bit>
#endif
#if defined(__CUDACC__)
#define RTD_SHARED __host__ __device__ __forceinline__
#else
#define RTD_SHARED inline
#endif

namespace rtd {

constexpr uint32_t kPartials = 128;  // partial sums of every canonical sum
constexpr size_t kLsePiece = 1024;   // logits in one piece of a log-sum-exp

// ---- operations that round once -------------------------------------------------------------------------------------------------------

#if defined(__CUDA_ARCH__)
RTD_SHARED float addRn(float a, float b) { return __fadd_rn(a, b); }
RTD_SHARED float subRn(float a, float b) { return __fsub_rn(a, b); }
RTD_SHARED float mulRn(float a, float b) { return __fmul_rn(a, b); }
RTD_SHARED float fmaRn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
RTD_SHARED float sqrtRn(float a) { return __fsqrt_rn(a); }
RTD_SHARED double addRn(double a, double b) { return __dadd_rn(a, b); }
RTD_SHARED double subRn(double a, double b) { return __dsub_rn(a, b); }
RTD_SHARED double mulRn(double a, double b) { return __dmul_rn(a, b); }
RTD_SHARED double divRn(double a, double b) { return __ddiv_rn(a, b); }
RTD_SHARED double fmaRn(double a, double b, double c) { return __fma_rn(a, b, c); }
RTD_SHARED double sqrtRn(double a) { return __dsqrt_rn(a); }
RTD_SHARED uint32_t bitsOf(float a) { return __float_as_uint(a); }
RTD_SHARED float floatOf(uint32_t b) { return __uint_as_float(b); }
RTD_SHARED uint64_t bitsOf(double a) { return static_cast<uint64_t>(__double_as_longlong(a)); }
RTD_SHARED double doubleOf(uint64_t b) { return __longlong_as_double(static_cast<long long>(b)); }
#else
RTD_SHARED float addRn(float a, float b) { return a + b; }
RTD_SHARED float subRn(float a, float b) { return a - b; }
RTD_SHARED float mulRn(float a, float b) { return a * b; }
RTD_SHARED float fmaRn(float a, float b, float c) { return std::fma(a, b, c); }
RTD_SHARED float sqrtRn(float a) { return std::sqrt(a); }
RTD_SHARED double addRn(double a, double b) { return a + b; }
RTD_SHARED double subRn(double a, double b) { return a - b; }
RTD_SHARED double mulRn(double a, double b) { return a * b; }
RTD_SHARED double divRn(double a, double b) { return a / b; }
RTD_SHARED double fmaRn(double a, double b, double c) { return std::fma(a, b, c); }
RTD_SHARED double sqrtRn(double a) { return std::sqrt(a); }
RTD_SHARED uint32_t bitsOf(float a) { return std::bit_cast<uint32_t>(a); }
RTD_SHARED float floatOf(uint32_t b) { return std::bit_cast<float>(b); }
RTD_SHARED uint64_t bitsOf(double a) { return std::bit_cast<uint64_t>(a); }
RTD_SHARED double doubleOf(uint64_t b) { return std::bit_cast<double>(b); }
#endif

// ---- sums -----------------------------------------------------------------------------------------------------------------------------

// The canonical sum of n terms: step(i, s) returns the partial sum s with term i added to it, by one rounded operation.
template <typename Real, typename Step>
RTD_SHARED Real canonicalSum(size_t n, Step step) {
    Real partial[kPartials] = {};
    for (size_t i = 0; i < n; ++i) partial[i % kPartials] = step(i, partial[i % kPartials]);
    for (uint32_t half = kPartials / 2; half > 0; half /= 2)
        for (uint32_t j = 0; j < half; ++j) partial[j] = addRn(partial[j], partial[j + half]);
    return partial[0];
}

// ---- the total order of hits ----------------------------------------------------------------------------------------------------------

// What a sum is ordered by: itself, or for dot its negative.
RTD_SHARED float orderedValue(float sum, bool isDot) {
    const float value = isDot ? -sum : sum;
    return value == value ? addRn(value, 0.0f) : floatOf(0x7f800000u);  // -0 + 0 = +0
}

// (value, id) as one integer that sorts as the pair does: negative values have all bits flipped, others the sign alone. Never ~0, as
// values are never NaN.
RTD_SHARED uint64_t orderKey(float value, uint32_t id) {
    const uint32_t bits = bitsOf(value);
    return static_cast<uint64_t>(bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u)) << 32 | id;
}
RTD_SHARED float valueOf(uint64_t key) {
    const uint32_t bits = static_cast<uint32_t>(key >> 32);
    return floatOf(bits ^ (bits >> 31 ? 0x80000000u : 0xffffffffu));
}
RTD_SHARED uint32_t idOf(uint64_t key) { return static_cast<uint32_t>(key); }

// The distance that users see.
RTD_SHARED float distanceOf(uint64_t key, bool isRoot) { return isRoot ? sqrtRn(valueOf(key)) : valueOf(key); }

// ---- exp and log ----------------------------------------------------------------------------------------------------------------------

// exp(x) for the bulk of a vocabulary, x <= 0: x = n ln 2 + r, |r| <= ln 2 / 2, Taylor to r^7; 0 below -87. Within 0.9 ULP.
RTD_SHARED float expSmall(float x) {
    const bool isZero = !(x >= -87.0f);  // a select, not a branch, so that it vectorises
    const float y = isZero ? -87.0f : x;
    const float n = subRn(fmaRn(y, 0x1.715476p+0f, 0x1.8p23f), 0x1.8p23f);  // y / ln 2, rounded to an integer by its place beside 1.5 x 2^23
    float r = fmaRn(n, -0x1.62e4p-1f, y);                                   // ln 2 in two parts, the first so short that n times it is exact
    r = fmaRn(n, -0x1.7f7d1cp-20f, r);
    float p = 1.0f / 5040;
    p = fmaRn(p, r, 1.0f / 720);
    p = fmaRn(p, r, 1.0f / 120);
    p = fmaRn(p, r, 1.0f / 24);
    p = fmaRn(p, r, 1.0f / 6);
    p = fmaRn(p, r, 1.0f / 2);
    p = fmaRn(p, r, 1.0f);
    p = fmaRn(p, r, 1.0f);
    return isZero ? 0.0f : mulRn(p, floatOf(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23));
}

// exp(x) in double, x <= 709: Taylor to r^13; 0 below -708. Within 0.9 ULP.
RTD_SHARED double expWide(double x) {
    if (!(x >= -708.0)) return 0.0;
    const double n = subRn(fmaRn(x, 0x1.71547652b82fep+0, 0x1.8p52), 0x1.8p52);
    double r = fmaRn(n, -0x1.62e42feep-1, x);
    r = fmaRn(n, -0x1.a39ef35793c76p-33, r);
    double p = 1.0 / 6227020800;
    p = fmaRn(p, r, 1.0 / 479001600);
    p = fmaRn(p, r, 1.0 / 39916800);
    p = fmaRn(p, r, 1.0 / 3628800);
    p = fmaRn(p, r, 1.0 / 362880);
    p = fmaRn(p, r, 1.0 / 40320);
    p = fmaRn(p, r, 1.0 / 5040);
    p = fmaRn(p, r, 1.0 / 720);
    p = fmaRn(p, r, 1.0 / 120);
    p = fmaRn(p, r, 1.0 / 24);
    p = fmaRn(p, r, 1.0 / 6);
    p = fmaRn(p, r, 1.0 / 2);
    p = fmaRn(p, r, 1.0);
    p = fmaRn(p, r, 1.0);
    return mulRn(p, doubleOf(static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52));
}

// log(x) in double, x finite; -infinity for x <= 0. x = m 2^e with m in [sqrt(1/2), sqrt(2)) and, with s = (m - 1) / (m + 1),
// log m = 2 s (1 + s^2 / 3 + ... + s^22 / 23). Within 1.9 ULP.
RTD_SHARED double logWide(double x) {
    if (!(x > 0.0)) return doubleOf(0xfff0000000000000ull);
    int e = 0;
    if (x < 0x1p-1022) {
        x = mulRn(x, 0x1p54);
        e = -54;
    }
    const uint64_t bits = bitsOf(x);
    const int64_t exponent = static_cast<int64_t>(bits - 0x3fe6a09e667f3bcdull) >> 52;  // relative to sqrt(1/2)
    e += static_cast<int>(exponent);
    const double m = doubleOf(bits - (static_cast<uint64_t>(exponent) << 52));
    const double s = divRn(subRn(m, 1.0), addRn(m, 1.0)), z = mulRn(s, s), twice = addRn(s, s);
    double p = 1.0 / 23;
    p = fmaRn(p, z, 1.0 / 21);
    p = fmaRn(p, z, 1.0 / 19);
    p = fmaRn(p, z, 1.0 / 17);
    p = fmaRn(p, z, 1.0 / 15);
    p = fmaRn(p, z, 1.0 / 13);
    p = fmaRn(p, z, 1.0 / 11);
    p = fmaRn(p, z, 1.0 / 9);
    p = fmaRn(p, z, 1.0 / 7);
    p = fmaRn(p, z, 1.0 / 5);
    p = fmaRn(p, z, 1.0 / 3);
    const double tail = fmaRn(mulRn(p, z), twice, mulRn(static_cast<double>(e), 0x1.a39ef35793c76p-33));
    return addRn(mulRn(static_cast<double>(e), 0x1.62e42feep-1), addRn(twice, tail));
}

}  // namespace rtd
