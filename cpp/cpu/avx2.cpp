// The back end for AVX2 with FMA and F16C: tiles and log-sum-exp pieces on vectors of 8 floats. With 16 registers a single query takes half
// of a key's partial sums at a time, and four queries an eighth: 8 accumulators, enough to hide the latency of fma.
// Shapes and costs: see tile_sums.h and lse_piece.h. Relies on dispatch.cpp to ask the processor first.
#include <immintrin.h>

#include "cpu/lse_piece.h"
#include "cpu/tile_sums.h"

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

  private:
    static __m128i load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
    static Vector addPairs(Vector a, Vector b) { return add(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee)); }
};

constexpr Backend kBackend = backendOf<Avx2>("avx2");

}  // namespace

const Backend* avx2Backend() { return &kBackend; }

}  // namespace rtd::cpu
