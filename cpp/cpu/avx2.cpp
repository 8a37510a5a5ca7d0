// The back end for AVX2 with FMA and F16C: tiles, log-sum-exp pieces and sums of codes on vectors of 8 numbers. With 16 registers a single query takes half
// of a key's partial sums at a time, and four queries an eighth: 8 accumulators, enough to hide the latency of fma.
// Shapes and costs: see tile_sums.h, lse_piece.h and code_sums.h. Relies on dispatch.cpp to ask the processor first.
#include <immintrin.h>

#include "cpu/backend_table.h"
#include "cpu/interleave_avx.h"

namespace rtd::cpu {
namespace {

struct Avx2 {
    using Vector = __m256;
    static constexpr size_t kLanes = 8;
    static constexpr Blocking kBlocks[] = {{1, 2}, {1, 4}, {1, 8}, {1, 8}};

    static Vector all(float x) { return _mm256_set1_ps(x); }
    static Vector load(const float* p) { return _mm256_loadu_ps(p); }
    static Vector load(const F16* p) { return _mm256_cvtph_ps(load16(p)); }
    static Vector load(const Bf16* p) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load16(p)), 16)); }
    static void store(float* p, Vector a) { _mm256_storeu_ps(p, a); }

    static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
    static Vector sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
    static Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
    static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
    static Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }

    static Vector isAtLeast(Vector a, Vector b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
    static Vector zeroUnless(Vector condition, Vector a) { return _mm256_and_ps(condition, a); }
    static Vector powerOfTwo(Vector n) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
    }
    static void addTo(double* s, Vector a) {
        _mm256_storeu_pd(s, _mm256_add_pd(_mm256_loadu_pd(s), _mm256_cvtps_pd(_mm256_castps256_ps128(a))));
        _mm256_storeu_pd(s + 4, _mm256_add_pd(_mm256_loadu_pd(s + 4), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))));
    }

    // Lane i = the sum of row i. Each step adds the halves of two vectors' rows and leaves one vector with twice the rows, of half the length:
    // rows of 8, 4, 2, 1. Which rows meet when is chosen so that the last step leaves them in order.
    static Vector sumLanes(const Vector* row) {
        Vector two[4];  // a 128-bit half each of the rows i and i + 4
        for (int i = 0; i < 4; ++i) two[i] = add(_mm256_permute2f128_ps(row[i], row[i + 4], 0x20), _mm256_permute2f128_ps(row[i], row[i + 4], 0x31));
        const Vector even = addPairs(two[0], two[1]), odd = addPairs(two[2], two[3]);
        return add(_mm256_shuffle_ps(even, odd, 0x88), _mm256_shuffle_ps(even, odd, 0xdd));
    }

    // ---- codes: bytes are widened to 16 bits, so that one instruction multiplies by z and adds neighbours

    using Int = __m256i;
    static constexpr size_t kIntLanes = 8;

    static Int allInt(int32_t x) { return _mm256_set1_epi32(x); }
    static Int addInt(Int a, Int b) { return _mm256_add_epi32(a, b); }
    static Int subInt(Int a, Int b) { return _mm256_sub_epi32(a, b); }
    static Int shiftLeft(Int a, uint32_t by) { return _mm256_sll_epi32(a, _mm_cvtsi32_si128(static_cast<int>(by))); }
    static Int shiftRight(Int a, uint32_t by) { return _mm256_srl_epi32(a, _mm_cvtsi32_si128(static_cast<int>(by))); }
    static Vector toFloats(Int a) { return _mm256_cvtepi32_ps(a); }
    static uint32_t atMost(Vector a, Vector b) { return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NGT_UQ))); }
    static Int loadWords(const uint8_t* p) { return _mm256_cvtepu16_epi32(load16(p)); }
    static void storeScores(uint16_t* to, Int a, Int b) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8));
    }

    static void blockSums(const uint8_t* block, uint32_t groups, const CodeQuery& query, Int* sums) {
        Int s[8];  // of four keys each, two sums a key
        for (Int& x : s) x = _mm256_setzero_si256();
        for (uint32_t g = 0; g < groups; ++g) {
            int64_t four;
            std::memcpy(&four, query.z + size_t{4} * g, sizeof four);
            const Int z = _mm256_set1_epi64x(four);
            unroll<8>([&](auto i) RTD_INLINE { s[i] = addInt(s[i], _mm256_madd_epi16(widen(block + (size_t{g} * kBlockKeys + 4 * i) * 4), z)); });
        }
        for (int i = 0; i < 4; ++i) sums[i] = _mm256_permute4x64_epi64(_mm256_hadd_epi32(s[2 * i], s[2 * i + 1]), 0xd8);
    }

    static void interleaveRows(const uint8_t* rows, uint8_t* block) { interleaveByEights(rows, block); }

    static void rowSums(const uint8_t* const* rows, size_t length, const CodeQuery& query, int32_t* sums) {
        Int s[4];
        for (Int& x : s) x = _mm256_setzero_si256();
        for (size_t j = 0; j < length; j += 16) {
            const Int z = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query.z + j));
            unroll<4>([&](auto r) RTD_INLINE { s[r] = addInt(s[r], _mm256_madd_epi16(widen(rows[r] + j), z)); });
        }
        const Int four = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), _mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1)));
    }

    static uint32_t maskScores(const uint16_t* scores, uint16_t most) {
        const Int high = _mm256_set1_epi16(static_cast<short>(most));
        const auto test = [&](const uint16_t* p) {
            const Int x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
            return _mm256_cmpeq_epi16(_mm256_min_epu16(x, high), x);
        };
        return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(test(scores), test(scores + 16)), 0xd8)));
    }
    static size_t storePlaces(uint32_t mask, uint32_t first, uint32_t* places) { return storePlacesOneByOne(mask, first, places); }

  private:
    static Int widen(const uint8_t* p) { return _mm256_cvtepu8_epi16(load16(p)); }
    static __m128i load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
    static Vector addPairs(Vector a, Vector b) { return add(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee)); }
};

constexpr Backend kBackend = backendOf<Avx2>("avx2");

}  // namespace

const Backend* avx2Backend() { return &kBackend; }

}  // namespace rtd::cpu
