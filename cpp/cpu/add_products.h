// Sums of rows times factors, number by number: what principal directions are made of. Written once for every instruction set, and the same bits by
// each, since a product is rounded before it is added, and numbers do not meet.
// Included like tile_sums.h, and for the same reason nothing but templates over a file's private Isa.
#pragma once
#include "cpu/tile_sums.h"

namespace rtd::cpu {
namespace {

// The AddProducts of an instruction set.
template <class Isa>
void addProducts(float* to, const float* factors, size_t factorStride, const float* rows, size_t rowStride, size_t rowCount, size_t n) {
    constexpr size_t L = Isa::kLanes, kRows = 4;
    size_t i = 0;
    for (; i + kRows <= rowCount; i += kRows) {
        typename Isa::Vector f[kRows];
        unroll<kRows>([&](auto r) RTD_INLINE { f[r] = Isa::all(factors[(i + r) * factorStride]); });
        const float* row = rows + i * rowStride;
        size_t j = 0;
        for (; j + L <= n; j += L) {
            auto sum = Isa::load(to + j);
            unroll<kRows>([&](auto r) RTD_INLINE { sum = Isa::add(sum, Isa::mul(f[r], Isa::load(row + r * rowStride + j))); });
            Isa::store(to + j, sum);
        }
        for (; j < n; ++j)
            for (size_t r = 0; r < kRows; ++r) to[j] += factors[(i + r) * factorStride] * row[r * rowStride + j];
    }
    for (; i < rowCount; ++i)
        for (size_t j = 0; j < n; ++j) to[j] += factors[i * factorStride] * rows[i * rowStride + j];
}

}  // namespace
}  // namespace rtd::cpu
