// The back end for NEON (Armv8-A): tiles and log-sum-exp pieces on vectors of 4 floats. A block of 4 queries and 2 keys keeps 16 of the 32
// registers for sums. Shapes and costs: see tile_sums.h and lse_piece.h. Relies on nothing that some Armv8-A processor lacks.
#include <arm_neon.h>

#include "cpu/lse_piece.h"
#include "cpu/tile_sums.h"

namespace rtd::cpu {
namespace {

struct Neon {
    using Vector = float32x4_t;
    static constexpr size_t kLanes = 4;
    static constexpr Blocking kBlocks[] = {{1, 2}, {2, 8}, {2, 16}, {2, 16}};

    static Vector all(float x) { return vdupq_n_f32(x); }
    static Vector load(const float* p) { return vld1q_f32(p); }
    static Vector load(const F16* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits))); }
    static Vector load(const Bf16* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&p->bits), 16)); }
    static void store(float* p, Vector a) { vst1q_f32(p, a); }

    static Vector add(Vector a, Vector b) { return vaddq_f32(a, b); }
    static Vector sub(Vector a, Vector b) { return vsubq_f32(a, b); }
    static Vector mul(Vector a, Vector b) { return vmulq_f32(a, b); }
    static Vector fma(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }
    static Vector max(Vector a, Vector b) { return vmaxq_f32(a, b); }

    static uint32x4_t isAtLeast(Vector a, Vector b) { return vcgeq_f32(a, b); }
    static Vector zeroUnless(uint32x4_t condition, Vector a) { return vreinterpretq_f32_u32(vandq_u32(condition, vreinterpretq_u32_f32(a))); }
    static Vector powerOfTwo(Vector n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23)); }
    static void addTo(double* s, Vector a) {
        vst1q_f64(s, vaddq_f64(vld1q_f64(s), vcvt_f64_f32(vget_low_f32(a))));
        vst1q_f64(s + 2, vaddq_f64(vld1q_f64(s + 2), vcvt_high_f64_f32(a)));
    }

    // Lane i = the sum of row i: lanes 0 + 2 and 1 + 3 of two rows in one vector, then these neighbours.
    static Vector sumLanes(const Vector* row) { return vpaddq_f32(addHalves(row[0], row[1]), addHalves(row[2], row[3])); }

  private:
    static Vector addHalves(Vector a, Vector b) {
        const float64x2_t x = vreinterpretq_f64_f32(a), y = vreinterpretq_f64_f32(b);
        return add(vreinterpretq_f32_f64(vzip1q_f64(x, y)), vreinterpretq_f32_f64(vzip2q_f64(x, y)));
    }
};

constexpr Backend kBackend = backendOf<Neon>("neon");

}  // namespace

const Backend* neonBackend() { return &kBackend; }

}  // namespace rtd::cpu
