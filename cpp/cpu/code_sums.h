// Integer sums over codes (cascade/levels.h), written once for every instruction set: what rules keys out before their canonical distance.
// All of it is exact modulo 2^32, so every back end gives the same numbers whatever the order.
//
// Included like tile_sums.h, and for the same reason nothing but templates over a file's private Isa. Isa says how
//   blockSums   sums 32 keys' codes that lie interleaved, four dimensions of each key in turn
//   rowSums     sums four rows of codes
// and what else a vector of kLanes 32-bit integers does.
#pragma once
#include "cpu/tile_sums.h"

namespace rtd::cpu {
namespace {

// The BlockScores of an instruction set.
template <class Isa>
void blockScores(const uint8_t* blocks, size_t blockCount, uint32_t groups, const BlockQuery* queries, size_t queryCount, uint16_t* scores,
                 size_t scoreStride) {
    constexpr size_t L = Isa::kIntLanes, kVectors = kBlockKeys / L;
    const size_t blockBytes = blockBytesOf(groups);
    for (size_t b = 0; b < blockCount; ++b) {
        const uint8_t* block = blocks + b * blockBytes;
        const auto* norms = block + size_t{groups} * kBlockKeys * 4;
        prefetchBytes(block, 4 * blockBytes, 5 * blockBytes);
        for (size_t q = 0; q < queryCount; ++q) {
            const BlockQuery& query = queries[q];
            typename Isa::Int s[kVectors];
            Isa::blockSums(block, groups, query.codes, s);
            uint16_t* to = scores + q * scoreStride + b * kBlockKeys;
            unroll<kVectors>([&](auto v) RTD_INLINE {
                const auto norm = Isa::shiftLeft(Isa::loadWords(norms + v * L * sizeof(uint16_t)), query.normShift);
                s[v] = Isa::shiftRight(Isa::subInt(Isa::addInt(norm, Isa::allInt(query.start)), s[v]), query.scoreShift);
            });
            unroll<kVectors / 2>([&](auto v) RTD_INLINE { Isa::storeScores(to + 2 * v * L, s[2 * v], s[2 * v + 1]); });
        }
    }
}

// The BlockSums of an instruction set.
template <class Isa>
void blockSums(const uint8_t* block, uint32_t groups, const CodeQuery& query, int32_t* sums) {
    typename Isa::Int s[kBlockKeys / Isa::kIntLanes];
    Isa::blockSums(block, groups, query, s);
    std::memcpy(sums, s, sizeof s);
}

// The RowSums of an instruction set.
template <class Isa>
void rowSums(const uint8_t* const* rows, size_t rowCount, size_t length, const CodeQuery& query, int32_t* sums) {
    constexpr size_t kRows = 4;
    size_t r = 0;
    for (; r + kRows <= rowCount; r += kRows) Isa::rowSums(rows + r, length, query, sums + r);
    if (r == rowCount) return;
    const uint8_t* last[kRows];
    int32_t some[kRows];
    for (size_t i = 0; i < kRows; ++i) last[i] = rows[r + i < rowCount ? r + i : rowCount - 1];
    Isa::rowSums(last, length, query, some);
    for (size_t i = 0; r + i < rowCount; ++i) sums[r + i] = some[i];
}

// The SelectScores of an instruction set.
template <class Isa>
size_t selectScores(const uint16_t* scores, size_t blockCount, uint16_t most, uint32_t first, uint32_t* places) {
    size_t n = 0;
    for (size_t b = 0; b < blockCount; ++b)
        n += Isa::storePlaces(Isa::maskScores(scores + b * kBlockKeys, most), first + static_cast<uint32_t>(b * kBlockKeys), places + n);
    return n;
}

// first + the places of a mask's bits, and how many.
inline size_t storePlacesOneByOne(uint32_t mask, uint32_t first, uint32_t* places) {
    size_t n = 0;
    for (; mask != 0; mask &= mask - 1) places[n++] = first + static_cast<uint32_t>(__builtin_ctz(mask));
    return n;
}

// The WithinReach of an instruction set.
template <class Isa>
uint32_t withinReach(const uint16_t* scores, const int32_t* sums, const Level2Keys& keys, const Level2Query& query) {
    using Vector = typename Isa::Vector;
    constexpr size_t L = Isa::kIntLanes;
    uint32_t mask = 0;
    for (size_t i = 0; i < kBlockKeys; i += L) {
        typename Isa::Int sum;
        std::memcpy(&sum, sums + i, sizeof sum);
        const Vector score = Isa::toFloats(Isa::loadWords(reinterpret_cast<const uint8_t*>(scores + i)));
        const Vector one = Isa::sub(Isa::mul(score, Isa::all(query.scoreUnit)), Isa::all(query.scoreSlack));
        const Vector rest = Isa::sub(Isa::all(query.residual), Isa::mul(Isa::load(keys.residual + i), Isa::all(query.residualUnit)));
        const Vector left = Isa::max(Isa::sub(one, Isa::mul(Isa::mul(rest, rest), Isa::all(query.restUnit))), Isa::all(0.0f));
        const Vector positive = Isa::add(Isa::all(query.base), Isa::load(keys.norm + i));
        const Vector centred = Isa::toFloats(Isa::subInt(sum, Isa::allInt(query.sumOffset)));
        const Vector two = Isa::add(positive, Isa::mul(Isa::mul(centred, Isa::all(query.sumUnit)), Isa::load(keys.step + i)));
        const Vector limit = Isa::add(Isa::all(query.reach), Isa::load(keys.error + i));
        const Vector size = Isa::add(Isa::add(positive, one), Isa::all(query.scoreSlack));
        const Vector most = Isa::add(Isa::mul(limit, limit), Isa::mul(Isa::all(kLevel2Rounding), size));
        mask |= Isa::atMost(Isa::add(left, two), most) << i;
    }
    return mask;
}

}  // namespace
}  // namespace rtd::cpu
