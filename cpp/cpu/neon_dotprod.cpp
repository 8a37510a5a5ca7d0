// Sums of codes for NEON with the dot products of Armv8.2, which multiply four bytes by four bytes and add all to a 32-bit sum at once. Both
// sides have a sign, so codes are taken less 128, and 128 times the sum of z is added at the end. Everything else is in neon.cpp.
#include "cpu/backend_table.h"
#include "cpu/neon_base.h"

namespace rtd::cpu {
namespace {

struct NeonDotprod : NeonBase {
    static void blockSums(const uint8_t* block, uint32_t groups, const CodeQuery& query, Int* sums) {
        constexpr size_t kVectors = kBlockKeys / kIntLanes;
        Int high[kVectors], low[kVectors];
        for (size_t i = 0; i < kVectors; ++i) high[i] = low[i] = vdupq_n_s32(0);
        int32_t sumOfZ = 0;
        for (uint32_t g = 0; g < groups; ++g) {
            const int8x16_t zHigh = allFour(query.high + size_t{4} * g), zLow = allFour(query.low + size_t{4} * g);
            for (size_t j = size_t{4} * g; j < size_t{4} * g + 4; ++j) sumOfZ += query.z[j];
            unroll<kVectors>([&](auto i) RTD_INLINE {
                const int8x16_t codes = loadCodes(block + (size_t{g} * kBlockKeys + kIntLanes * i) * 4);
                high[i] = vdotq_s32(high[i], codes, zHigh);
                low[i] = vdotq_s32(low[i], codes, zLow);
            });
        }
        for (size_t i = 0; i < kVectors; ++i) sums[i] = addInt(join(high[i], low[i]), allInt(128 * sumOfZ));
    }

    static void rowSums(const uint8_t* const* rows, size_t length, const CodeQuery& query, int32_t* sums) {
        Int high[4], low[4], sumOfZ = vdupq_n_s32(0);
        for (int r = 0; r < 4; ++r) high[r] = low[r] = vdupq_n_s32(0);
        for (size_t j = 0; j < length; j += 16) {
            const int8x16_t zHigh = vld1q_s8(query.high + j), zLow = vld1q_s8(query.low + j);
            sumOfZ = vpadalq_s16(vpadalq_s16(sumOfZ, vld1q_s16(query.z + j)), vld1q_s16(query.z + j + 8));
            unroll<4>([&](auto r) RTD_INLINE {
                const int8x16_t codes = loadCodes(rows[r] + j);
                high[r] = vdotq_s32(high[r], codes, zHigh);
                low[r] = vdotq_s32(low[r], codes, zLow);
            });
        }
        for (int r = 0; r < 4; ++r) high[r] = join(high[r], low[r]);
        vst1q_s32(sums, addInt(sumFour(high), shiftLeft(allInt(vaddvq_s32(sumOfZ)), 7)));
    }

  private:
    static int8x16_t loadCodes(const uint8_t* p) { return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80))); }
    static int8x16_t allFour(const int8_t* p) {
        int32_t four;
        std::memcpy(&four, p, sizeof four);
        return vreinterpretq_s8_s32(allInt(four));
    }
    static Int join(Int high, Int low) { return addInt(vshlq_n_s32(high, 7), low); }
};

constexpr CodeSums kCodeSums = codeSumsOf<NeonDotprod>();

}  // namespace

const CodeSums* neonDotprodCodes() { return &kCodeSums; }

}  // namespace rtd::cpu
