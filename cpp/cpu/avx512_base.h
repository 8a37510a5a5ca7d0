// What the two files of AVX-512 share: the simple operations on vectors of 16 numbers. With RTD_SIMDE the intrinsics are SIMDe's, for tests on machines without AVX-512.
#pragma once
#if defined(RTD_SIMDE)
#include "simde_avx512.h"
#else
#include <immintrin.h>
#endif

#include <cstddef>
#include <cstdint>

#include "cpu/interleave_avx.h"

namespace rtd::cpu {
namespace {

struct Avx512Base {
    using Vector = __m512;

    static Vector all(float x) { return _mm512_set1_ps(x); }
    static Vector load(const float* p) { return _mm512_loadu_ps(p); }
    static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
    static Vector sub(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
    static Vector mul(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
    static Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }

    using Int = __m512i;
    static constexpr size_t kIntLanes = 16;

    static Vector toFloats(Int a) { return _mm512_cvtepi32_ps(a); }
    static uint32_t atMost(Vector a, Vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ); }  // a bit a lane: not a > b

    static Int allInt(int32_t x) { return _mm512_set1_epi32(x); }
    static Int loadInt(const void* p) { return _mm512_loadu_si512(p); }
    static Int addInt(Int a, Int b) { return _mm512_add_epi32(a, b); }
    static Int subInt(Int a, Int b) { return _mm512_sub_epi32(a, b); }
    static Int shiftLeft(Int a, uint32_t by) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(static_cast<int>(by))); }
    static Int shiftRight(Int a, uint32_t by) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(static_cast<int>(by))); }
    static Int loadWords(const uint8_t* p) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
    static void storeScores(uint16_t* to, Int a, Int b) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtusepi32_epi16(a));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 16), _mm512_cvtusepi32_epi16(b));
    }

    static void interleaveRows(const uint8_t* rows, uint8_t* block) { interleaveByEights(rows, block); }

    // sums[r] = the sum of s[r].
    static void storeFourSums(int32_t* sums, const Int* s) {
        __m256i half[4];
        for (int r = 0; r < 4; ++r) half[r] = _mm256_add_epi32(_mm512_castsi512_si256(s[r]), _mm512_extracti64x4_epi64(s[r], 1));
        const __m256i four = _mm256_hadd_epi32(_mm256_hadd_epi32(half[0], half[1]), _mm256_hadd_epi32(half[2], half[3]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), _mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1)));
    }

    static uint32_t maskScores(const uint16_t* scores, uint16_t most) {
        return _mm512_cmple_epu16_mask(loadInt(scores), _mm512_set1_epi16(static_cast<short>(most)));
    }

    // Compressed in a register and stored whole: storing under a mask is slow on some processors.
    static size_t storePlaces(uint32_t mask, uint32_t first, uint32_t* places) {
        const Int lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        size_t n = 0;
        for (uint32_t half = 0; half < 2; ++half, mask >>= 16) {
            const auto some = static_cast<__mmask16>(mask);
            _mm512_storeu_si512(places + n, _mm512_maskz_compress_epi32(some, addInt(lanes, allInt(static_cast<int32_t>(first + 16 * half)))));
            n += static_cast<size_t>(__builtin_popcount(some));
        }
        return n;
    }
};

}  // namespace
}  // namespace rtd::cpu
