// A piece of a log-sum-exp, written once for every instruction set: n <= 1024 logits to their maximum and the canonical sum of their
// exponentials, some 20 instructions a vector, and to the sum that an entropy takes. expSmall is core/canonical.h's, line for line on vectors: the two change together.
// Included like tile_sums.h, and for the same reason nothing but templates over a file's private Isa.
#pragma once
#include "cpu/tile_sums.h"

namespace rtd::cpu {
namespace {

template <class Isa, class Vector>
RTD_INLINE inline Vector expSmall(Vector x) {
    const Vector y = Isa::max(x, Isa::all(-87.0f));
    const Vector n = Isa::sub(Isa::fma(y, Isa::all(0x1.715476p+0f), Isa::all(0x1.8p23f)), Isa::all(0x1.8p23f));
    Vector r = Isa::fma(n, Isa::all(-0x1.62e4p-1f), y);
    r = Isa::fma(n, Isa::all(-0x1.7f7d1cp-20f), r);
    Vector p = Isa::all(1.0f / 5040);
    p = Isa::fma(p, r, Isa::all(1.0f / 720));
    p = Isa::fma(p, r, Isa::all(1.0f / 120));
    p = Isa::fma(p, r, Isa::all(1.0f / 24));
    p = Isa::fma(p, r, Isa::all(1.0f / 6));
    p = Isa::fma(p, r, Isa::all(1.0f / 2));
    p = Isa::fma(p, r, Isa::all(1.0f));
    p = Isa::fma(p, r, Isa::all(1.0f));
    return Isa::zeroUnless(Isa::isAtLeast(x, Isa::all(-87.0f)), Isa::mul(p, Isa::powerOfTwo(n)));
}

// The LsePiece of an instruction set.
template <class Isa>
void lsePiece(const float* logits, size_t n, float* top, double* sum) {
    using Vector = typename Isa::Vector;
    constexpr size_t L = Isa::kLanes;
    const float kNone = -__builtin_inff();  // exp of it is 0, which changes no sum
    Rows<Isa, float, 1> row = {{logits}, {}};
    row.padRest(n, kNone);
    const auto at = [&](size_t i) { return Isa::load(i + L <= n ? logits + i : row.rest[0]); };

    Vector largest = Isa::all(kNone), ordered = Isa::all(1.0f);  // a lane of ordered is 0 once it has seen a NaN
    for (size_t i = 0; i < n; i += L) {
        largest = Isa::max(largest, at(i));
        ordered = Isa::zeroUnless(Isa::isAtLeast(at(i), Isa::all(kNone)), ordered);
    }
    float largestOf[L], orderedOf[L];
    Isa::store(largestOf, largest);
    Isa::store(orderedOf, ordered);
    *top = kNone;
    *sum = 0;
    for (size_t lane = 0; lane < L; ++lane)
        if (largestOf[lane] > *top) *top = largestOf[lane];
    for (size_t lane = 0; lane < L; ++lane)
        if (orderedOf[lane] == 0.0f) *top = __builtin_nanf("");
    if (!(*top - *top == 0.0f)) return;  // not finite
    *top += 0.0f;                        // -0 counts as +0, whichever came first

    alignas(64) double s[kPartialSums] = {};
    for (size_t i = 0; i < n; i += L) Isa::addTo(s + i % kPartialSums, expSmall<Isa>(Isa::sub(at(i), Isa::all(*top))));
    for (size_t half = kPartialSums / 2; half > 0; half /= 2)
        for (size_t j = 0; j < half; ++j) s[j] += s[j + half];
    *sum = s[0];
}

// The EntropyPiece of an instruction set.
template <class Isa>
void entropyPiece(const float* logits, size_t n, float top, double* sum) {
    using Vector = typename Isa::Vector;
    constexpr size_t L = Isa::kLanes;
    Rows<Isa, float, 1> row = {{logits}, {}};
    row.padRest(n, -__builtin_inff());  // 0 times -87, which changes no sum

    alignas(64) double s[kPartialSums] = {};
    for (size_t i = 0; i < n; i += L) {
        const Vector x = Isa::sub(Isa::load(i + L <= n ? logits + i : row.rest[0]), Isa::all(top));
        Isa::addTo(s + i % kPartialSums, Isa::mul(expSmall<Isa>(x), Isa::max(x, Isa::all(-87.0f))));
    }
    for (size_t half = kPartialSums / 2; half > 0; half /= 2)
        for (size_t j = 0; j < half; ++j) s[j] += s[j + half];
    *sum = s[0];
}

}  // namespace
}  // namespace rtd::cpu
