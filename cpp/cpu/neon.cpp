// The back end for NEON (Armv8-A): tiles, log-sum-exp pieces and sums of codes on vectors of 4 numbers. A block of 4 queries and 2 keys keeps 16 of the 32
// registers for sums. Shapes and costs: see tile_sums.h, lse_piece.h and code_sums.h. Relies on nothing that some Armv8-A processor lacks.
#include "cpu/backend_table.h"
#include "cpu/neon_base.h"

namespace rtd::cpu {
namespace {

struct Neon : NeonBase {
    static constexpr size_t kLanes = 4;
    static constexpr Blocking kBlocks[] = {{1, 2}, {2, 8}, {2, 16}, {2, 16}};

    using NeonBase::load;
    static Vector load(const F16* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits))); }
    static Vector load(const Bf16* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&p->bits), 16)); }
    static void store(float* p, Vector a) { vst1q_f32(p, a); }

    static Vector fma(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }

    static uint32x4_t isAtLeast(Vector a, Vector b) { return vcgeq_f32(a, b); }
    static Vector zeroUnless(uint32x4_t condition, Vector a) { return vreinterpretq_f32_u32(vandq_u32(condition, vreinterpretq_u32_f32(a))); }
    static Vector powerOfTwo(Vector n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23)); }
    static void addTo(double* s, Vector a) {
        vst1q_f64(s, vaddq_f64(vld1q_f64(s), vcvt_f64_f32(vget_low_f32(a))));
        vst1q_f64(s + 2, vaddq_f64(vld1q_f64(s + 2), vcvt_high_f64_f32(a)));
    }

    // Lane i = the sum of row i: lanes 0 + 2 and 1 + 3 of two rows in one vector, then these neighbours.
    static Vector sumLanes(const Vector* row) { return vpaddq_f32(addHalves(row[0], row[1]), addHalves(row[2], row[3])); }

    // ---- codes: bytes are widened to 16 bits and multiplied by z

    static void blockSums(const uint8_t* block, uint32_t groups, const CodeQuery& query, Int* sums) {
        for (size_t k = 0; k < kBlockKeys; k += 8) {
            Int s[8];  // of one key each, four sums a key
            for (Int& x : s) x = vdupq_n_s32(0);
            for (uint32_t g = 0; g < groups; ++g) {
                const int16x4_t z = vld1_s16(query.z + size_t{4} * g);
                const uint8_t* codes = block + (size_t{g} * kBlockKeys + k) * 4;
                unroll<4>([&](auto i) RTD_INLINE {
                    const int16x8_t two = widen(codes + 8 * i);
                    s[2 * i] = vmlal_s16(s[2 * i], vget_low_s16(two), z);
                    s[2 * i + 1] = vmlal_s16(s[2 * i + 1], vget_high_s16(two), z);
                });
            }
            for (int i = 0; i < 2; ++i) sums[k / 4 + static_cast<size_t>(i)] = sumFour(s + 4 * i);
        }
    }

    static void rowSums(const uint8_t* const* rows, size_t length, const CodeQuery& query, int32_t* sums) {
        Int s[4];
        for (Int& x : s) x = vdupq_n_s32(0);
        for (size_t j = 0; j < length; j += 8) {
            const int16x8_t z = vld1q_s16(query.z + j);
            unroll<4>([&](auto r) RTD_INLINE {
                const int16x8_t codes = widen(rows[r] + j);
                s[r] = vmlal_s16(s[r], vget_low_s16(codes), vget_low_s16(z));
                s[r] = vmlal_high_s16(s[r], codes, z);
            });
        }
        vst1q_s32(sums, sumFour(s));
    }

  private:
    static int16x8_t widen(const uint8_t* p) { return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p))); }
    static Vector addHalves(Vector a, Vector b) {
        const float64x2_t x = vreinterpretq_f64_f32(a), y = vreinterpretq_f64_f32(b);
        return add(vreinterpretq_f32_f64(vzip1q_f64(x, y)), vreinterpretq_f32_f64(vzip2q_f64(x, y)));
    }
};

constexpr Backend kBackend = backendOf<Neon>("neon");

}  // namespace

const Backend* neonBackend() { return &kBackend; }

}  // namespace rtd::cpu
