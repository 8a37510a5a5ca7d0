// What the two files of NEON share: the simple operations on vectors of 4 numbers.
#pragma once
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "cpu/backend.h"

namespace rtd::cpu {
namespace {

struct NeonBase {
    using Vector = float32x4_t;

    static Vector all(float x) { return vdupq_n_f32(x); }
    static Vector load(const float* p) { return vld1q_f32(p); }
    static Vector add(Vector a, Vector b) { return vaddq_f32(a, b); }
    static Vector sub(Vector a, Vector b) { return vsubq_f32(a, b); }
    static Vector mul(Vector a, Vector b) { return vmulq_f32(a, b); }
    static Vector max(Vector a, Vector b) { return vmaxq_f32(a, b); }

    using Int = int32x4_t;
    static constexpr size_t kIntLanes = 4;

    static Vector toFloats(Int a) { return vcvtq_f32_s32(a); }
    static uint32_t atMost(Vector a, Vector b) {  // a bit a lane: not a > b
        static constexpr uint32_t kBits[4] = {1, 2, 4, 8};
        return vaddvq_u32(vbicq_u32(vld1q_u32(kBits), vcgtq_f32(a, b)));
    }

    static Int allInt(int32_t x) { return vdupq_n_s32(x); }
    static Int addInt(Int a, Int b) { return vaddq_s32(a, b); }
    static Int subInt(Int a, Int b) { return vsubq_s32(a, b); }
    static Int shiftLeft(Int a, uint32_t by) { return vshlq_s32(a, vdupq_n_s32(static_cast<int32_t>(by))); }
    static Int shiftRight(Int a, uint32_t by) { return vshlq_s32(a, vdupq_n_s32(-static_cast<int32_t>(by))); }
    static Int loadWords(const uint8_t* p) { return vreinterpretq_s32_u32(vmovl_u16(vreinterpret_u16_u8(vld1_u8(p)))); }
    static void storeScores(uint16_t* to, Int a, Int b) { vst1q_u16(to, vcombine_u16(vqmovun_s32(a), vqmovun_s32(b))); }

    static void interleaveRows(const uint8_t* rows, uint8_t* block) {
        for (size_t i = 0; i < kBlockKeys; i += 4)
            for (size_t j = 0; j < kInterleavedBytes; j += 16) {
                uint32x4_t a[4], b[4];
                for (size_t r = 0; r < 4; ++r) a[r] = vreinterpretq_u32_u8(vld1q_u8(rows + (i + r) * kInterleavedBytes + j));
                for (size_t r = 0; r < 4; r += 2) {
                    b[r] = vtrn1q_u32(a[r], a[r + 1]);
                    b[r + 1] = vtrn2q_u32(a[r], a[r + 1]);
                }
                for (size_t word = 0; word < 4; ++word) {
                    const uint64x2_t low = vreinterpretq_u64_u32(b[word % 2]), high = vreinterpretq_u64_u32(b[word % 2 + 2]);
                    const uint64x2_t four = word < 2 ? vtrn1q_u64(low, high) : vtrn2q_u64(low, high);
                    vst1q_u8(block + (j / 4 + word) * kBlockKeys * 4 + i * 4, vreinterpretq_u8_u64(four));
                }
            }
    }

    // Lane r = the sum of s[r].
    static Int sumFour(const Int* s) { return vpaddq_s32(vpaddq_s32(s[0], s[1]), vpaddq_s32(s[2], s[3])); }

    static uint32_t maskScores(const uint16_t* scores, uint16_t most) {
        static constexpr uint16_t kBits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
        uint32_t mask = 0;
        for (int i = 0; i < 4; ++i) {
            const uint16x8_t x = vld1q_u16(scores + 8 * i);
            const uint16x8_t within = vcleq_u16(x, vdupq_n_u16(most));
            mask |= static_cast<uint32_t>(vaddvq_u16(vandq_u16(within, vld1q_u16(kBits)))) << 8 * i;
        }
        return mask;
    }
    static size_t storePlaces(uint32_t mask, uint32_t first, uint32_t* places) { return storePlacesOneByOne(mask, first, places); }
};

}  // namespace
}  // namespace rtd::cpu
