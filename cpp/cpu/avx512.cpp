// The back end for AVX-512 (F, BW, DQ, VL): tiles, log-sum-exp pieces and sums of codes on vectors of 16 numbers. A block of 4 queries and 2 keys keeps 16 of
// the 32 registers for sums; one or two queries are bound by the memory and take the keys in the order they lie there.
// Shapes and costs: see tile_sums.h, lse_piece.h and code_sums.h. Relies on dispatch.cpp to ask the processor first.
#include "cpu/avx512_base.h"
#include "cpu/backend_table.h"

namespace rtd::cpu {
namespace {

struct Avx512 : Avx512Base {
    static constexpr size_t kLanes = 16;
    static constexpr Blocking kBlocks[] = {{2, 1}, {2, 2}, {2, 2}, {2, 4}};

    using Avx512Base::load;
    static Vector load(const F16* p) { return _mm512_cvtph_ps(load16(p)); }
    static Vector load(const Bf16* p) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load16(p)), 16)); }
    static void store(float* p, Vector a) { _mm512_storeu_ps(p, a); }

    static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }

    static __mmask16 isAtLeast(Vector a, Vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
    static Vector zeroUnless(__mmask16 condition, Vector a) { return _mm512_maskz_mov_ps(condition, a); }
    static Vector powerOfTwo(Vector n) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
    }
    static void addTo(double* s, Vector a) {
        _mm512_storeu_pd(s, _mm512_add_pd(_mm512_loadu_pd(s), _mm512_cvtps_pd(_mm512_castps512_ps256(a))));
        _mm512_storeu_pd(s + 8, _mm512_add_pd(_mm512_loadu_pd(s + 8), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))));
    }

    // Lane i = the sum of row i. Each step adds the halves of two vectors' rows and leaves one vector with twice the rows, of half the length:
    // rows of 16, 8, 4, 2, 1. Which rows meet when is chosen so that the last step leaves them in order.
    static Vector sumLanes(const Vector* row) {
        Vector four[4];  // a 128-bit quarter each of the rows i, i + 4, i + 8, i + 12
        for (int i = 0; i < 4; ++i) {
            const Vector low = addHalves(row[i], row[i + 4]), high = addHalves(row[i + 8], row[i + 12]);
            four[i] = add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
        }
        const Vector even = addPairs(four[0], four[1]), odd = addPairs(four[2], four[3]);
        return add(_mm512_shuffle_ps(even, odd, 0x88), _mm512_shuffle_ps(even, odd, 0xdd));
    }

    // ---- codes: bytes are widened to 16 bits, so that one instruction multiplies by z and adds neighbours

    static void blockSums(const uint8_t* block, uint32_t groups, const CodeQuery& query, Int* sums) {
        Int s[4];  // of eight keys each, two sums a key
        for (Int& x : s) x = _mm512_setzero_si512();
        for (uint32_t g = 0; g < groups; ++g) {
            int64_t four;
            std::memcpy(&four, query.z + size_t{4} * g, sizeof four);
            const Int z = _mm512_set1_epi64(four);
            unroll<4>([&](auto i) RTD_INLINE { s[i] = addInt(s[i], _mm512_madd_epi16(widen(block + (size_t{g} * kBlockKeys + 8 * i) * 4), z)); });
        }
        const Int even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0), odd = addInt(even, allInt(1));
        for (int i = 0; i < 2; ++i)
            sums[i] = addInt(_mm512_permutex2var_epi32(s[2 * i], even, s[2 * i + 1]), _mm512_permutex2var_epi32(s[2 * i], odd, s[2 * i + 1]));
    }

    static void rowSums(const uint8_t* const* rows, size_t length, const CodeQuery& query, int32_t* sums) {
        Int s[4];
        for (Int& x : s) x = _mm512_setzero_si512();
        for (size_t j = 0; j < length; j += 32) {
            const Int z = loadInt(query.z + j);
            unroll<4>([&](auto r) RTD_INLINE { s[r] = addInt(s[r], _mm512_madd_epi16(widen(rows[r] + j), z)); });
        }
        storeFourSums(sums, s);
    }

  private:
    static Int widen(const uint8_t* p) { return _mm512_cvtepu8_epi16(load16(p)); }
    static __m256i load16(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
    static Vector addHalves(Vector a, Vector b) { return add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee)); }
    static Vector addPairs(Vector a, Vector b) { return add(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee)); }
};

constexpr Backend kBackend = backendOf<Avx512>("avx512");

}  // namespace

const Backend* avx512Backend() { return &kBackend; }

}  // namespace rtd::cpu
