// Sums of codes for AVX-512 with VNNI, which multiplies four bytes by four bytes and adds all to a 32-bit sum at once. One side has no sign
// (the codes), the other has one (each half of z). Everything else of that back end is in avx512.cpp.
#include "cpu/avx512_base.h"
#include "cpu/backend_table.h"

namespace rtd::cpu {
namespace {

struct Avx512Vnni : Avx512Base {
    static void blockSums(const uint8_t* block, uint32_t groups, const CodeQuery& query, Int* sums) {
        Int high[2], low[2];  // of 16 keys each
        for (int i = 0; i < 2; ++i) high[i] = low[i] = _mm512_setzero_si512();
        for (uint32_t g = 0; g < groups; ++g) {
            const Int zHigh = allFour(query.high + size_t{4} * g), zLow = allFour(query.low + size_t{4} * g);
            unroll<2>([&](auto i) RTD_INLINE {
                const Int codes = loadInt(block + (size_t{g} * kBlockKeys + 16 * i) * 4);
                high[i] = _mm512_dpbusd_epi32(high[i], codes, zHigh);
                low[i] = _mm512_dpbusd_epi32(low[i], codes, zLow);
            });
        }
        for (int i = 0; i < 2; ++i) sums[i] = join(high[i], low[i]);
    }

    static void rowSums(const uint8_t* const* rows, size_t length, const CodeQuery& query, int32_t* sums) {
        Int high[4], low[4];
        for (int r = 0; r < 4; ++r) high[r] = low[r] = _mm512_setzero_si512();
        for (size_t j = 0; j < length; j += 64) {
            const Int zHigh = loadInt(query.high + j), zLow = loadInt(query.low + j);
            unroll<4>([&](auto r) RTD_INLINE {
                const Int codes = loadInt(rows[r] + j);
                high[r] = _mm512_dpbusd_epi32(high[r], codes, zHigh);
                low[r] = _mm512_dpbusd_epi32(low[r], codes, zLow);
            });
        }
        for (int r = 0; r < 4; ++r) high[r] = join(high[r], low[r]);
        storeFourSums(sums, high);
    }

  private:
    static Int allFour(const int8_t* p) {
        int32_t four;
        std::memcpy(&four, p, sizeof four);
        return allInt(four);
    }
    static Int join(Int high, Int low) { return addInt(_mm512_slli_epi32(high, 7), low); }
};

constexpr CodeSums kCodeSums = codeSumsOf<Avx512Vnni>();

}  // namespace

const CodeSums* avx512VnniCodes() { return &kCodeSums; }

}  // namespace rtd::cpu
