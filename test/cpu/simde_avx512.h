// AVX-512 on any x86-64 processor, for tests: SIMDe's portable intrinsics under their usual names, and those that its version 0.7.4 lacks.
// Each of these is what its name says in Intel's guide.
#pragma once
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace {

struct Floats {
    float lane[16];
};
struct Ints {
    uint32_t lane[16];
};
struct FloatHalves {
    __m256 half[2];
};
struct FloatQuarters {
    __m128 quarter[4];
};

inline __m512 cvtph_ps(__m256i a) {
    return std::bit_cast<__m512>(FloatHalves{{_mm256_cvtph_ps(_mm256_castsi256_si128(a)), _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))}});
}

inline __m512i cvtepu16_epi32(__m256i a) {
    struct Halves {
        __m256i half[2];
    };
    return std::bit_cast<__m512i>(Halves{{_mm256_cvtepu16_epi32(_mm256_castsi256_si128(a)), _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1))}});
}

inline __m512i cvtepu8_epi16(__m256i a) {
    struct Halves {
        __m256i half[2];
    };
    return std::bit_cast<__m512i>(Halves{{_mm256_cvtepu8_epi16(_mm256_castsi256_si128(a)), _mm256_cvtepu8_epi16(_mm256_extracti128_si256(a, 1))}});
}

inline __m512i cvtps_epi32(__m512 a) {
    struct {
        int32_t lane[16];
    } to;
    for (int i = 0; i < 16; ++i) to.lane[i] = static_cast<int32_t>(std::nearbyintf(std::bit_cast<Floats>(a).lane[i]));
    return std::bit_cast<__m512i>(to);
}

inline __m512 cvtepi32_ps(__m512i a) {
    struct Halves {
        __m256i half[2];
    };
    const auto from = std::bit_cast<Halves>(a);
    return std::bit_cast<__m512>(FloatHalves{{_mm256_cvtepi32_ps(from.half[0]), _mm256_cvtepi32_ps(from.half[1])}});
}

inline __m256i cvtusepi32_epi16(__m512i a) {
    const auto from = std::bit_cast<Ints>(a);
    struct {
        uint16_t lane[16];
    } to;
    for (int i = 0; i < 16; ++i) to.lane[i] = static_cast<uint16_t>(from.lane[i] < 65535u ? from.lane[i] : 65535u);
    return std::bit_cast<__m256i>(to);
}

inline __m512d cvtps_pd(__m256 a) {
    struct {
        __m256d half[2];
    } to = {{_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))}};
    return std::bit_cast<__m512d>(to);
}

inline __m256 extractf32x8_ps(__m512 a, int which) { return std::bit_cast<FloatHalves>(a).half[which]; }

inline __m512 shuffle_f32x4(__m512 a, __m512 b, int from) {
    const FloatQuarters x = std::bit_cast<FloatQuarters>(a), y = std::bit_cast<FloatQuarters>(b);
    return std::bit_cast<__m512>(FloatQuarters{{x.quarter[from & 3], x.quarter[from >> 2 & 3], y.quarter[from >> 4 & 3], y.quarter[from >> 6 & 3]}});
}

}  // namespace

#define _mm512_cvtph_ps cvtph_ps
#define _mm512_cvtepu16_epi32 cvtepu16_epi32
#define _mm512_cvtepu8_epi16 cvtepu8_epi16
#define _mm512_cvtepi32_ps cvtepi32_ps
#define _mm512_cvtps_epi32 cvtps_epi32
#define _mm512_cvtps_pd cvtps_pd
#define _mm512_cvtusepi32_epi16 cvtusepi32_epi16
#define _mm512_extractf32x8_ps extractf32x8_ps
#define _mm512_shuffle_f32x4 shuffle_f32x4
#undef _mm512_madd_epi16  // its alias has the arguments of another
#define _mm512_madd_epi16 simde_mm512_madd_epi16
