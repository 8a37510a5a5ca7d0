// Lower bounds of true distances out of a key's codes, by integer sums. cpp/cascade/levels.h has the proof; prepare.cuh the query's side.
//
// Sums of codes are exact modulo 2^32. What follows is float32, in which a sum of squares A and the like passes at most 12 roundings, so that it is
// off by less than kSumRounding (the sum of its terms' magnitudes); roots and errors are taken 1e-6 to the safe side. Where squares underflow, less
// than 2e-36 is lost of them, which DistanceBounds::radius allows for.
#pragma once
#include "prepare.cuh"

namespace rtd::cuda {

constexpr float kSumRounding = 4e-6f;
constexpr float kToSafeSide = 1 - 1e-6f;

// A lower bound of a distance from one of its square and the errors that lie between codes and the truth.
RTD_DEVICE float lowerBound(float squared, float errors) {
    const float bound = squared > 0 ? subRn(mulRn(sqrtRn(squared), kToSafeSide), errors) : 0.0f;
    return bound > 0 ? bound : 0.0f;
}

// Four products at a time of both halves of a query with codes.
struct CodeSum {
    int32_t high = 0, low = 0;
    RTD_DEVICE void add(const Quad& codes, const Quad& zHigh, const Quad& zLow) {
#pragma unroll
        for (uint32_t w = 0; w < 4; ++w) {
            high = dp4a(codes.words[w], zHigh.words[w], high);
            low = dp4a(codes.words[w], zLow.words[w], low);
        }
    }
    RTD_DEVICE uint32_t total() const { return (static_cast<uint32_t>(high) << 7) + static_cast<uint32_t>(low); }
};
// Over eight lanes.
RTD_DEVICE uint32_t addOfEight(uint32_t v) {
#pragma unroll
    for (int step = 4; step > 0; step >>= 1) v += shuffleXor(v, step);
    return v;
}

// ---- level 1 ------------------------------------------------------------------------------------------------------------------------------

// Of key `lane` of a block; negative for an outlier, of which nothing is known. codes: the query's, in shared memory.
RTD_DEVICE float lowerBound1(const LevelLayout& shape, const uint8_t* block, const uint64_t (&codes)[2][kCodes1 / 8], const QueryScales& q,
                             uint32_t lane) {
    CodeSum sum;
    for (uint32_t unit = 0; unit < shape.units1(); ++unit)
        sum.add(load16(block + (unit * kLevelKeys + lane) * kUnitCodes), loadShared16(&codes[0][2 * unit]), loadShared16(&codes[1][2 * unit]));
    const uint32_t norm = reinterpret_cast<const uint16_t*>(block + shape.units1() * kLevelKeys * kUnitCodes)[lane];
    if (norm == kOutlierNorm) return -1.0f;
    const auto s = static_cast<int32_t>(q.start + (norm << q.normShift) - sum.total());
    return lowerBound(mulRn(static_cast<float>(s - q.slack1), q.unit1), q.error1);
}

// ---- level 2 ------------------------------------------------------------------------------------------------------------------------------

// By eight lanes, one key's; they all get it. lower1: what level 1 says. The row's last 12 bytes are cascade::Tail2.
RTD_DEVICE float lowerBound2(const uint8_t* row, const uint64_t (&codes)[2][kRowBytes2 / 8], const QueryScales& q, float lower1, uint32_t lane) {
    const uint32_t part = lane & 7;
    const Quad mine = load16(row + part * kUnitCodes);
    CodeSum sum;
    sum.add(mine, loadShared16(&codes[0][2 * part]), loadShared16(&codes[1][2 * part]));  // zeros stand against the tail
    const uint32_t total = addOfEight(sum.total()), norm = shuffle(mine.words[1], lane | 7), error = shuffle(mine.words[2], lane | 7),
                   last = shuffle(mine.words[3], lane | 7);
    // Level 1's square, less the part of what its directions left over, of which level 2 knows more.
    const float reached = mulRn(addRn(lower1, q.error1), kToSafeSide), one = lower1 > 0 ? mulRn(reached, reached) : 0.0f;
    const float residual = static_cast<float>(static_cast<int32_t>(last & 255) - kZeroCode);
    const float rest = subRn(q.residual, mulRn(residual, q.residualUnit)), left = subRn(one, mulRn(mulRn(rest, rest), q.restUnit));
    const float positive = addRn(q.base, mulRn(static_cast<float>(static_cast<int32_t>(norm)), q.normUnit));
    const float two = addRn(positive, mulRn(static_cast<float>(static_cast<int32_t>(total - q.offset2)), q.sumUnit));
    const float rounding = mulRn(kSumRounding, addRn(positive, addRn(one, q.scoreSlack)));
    return lowerBound(subRn(addRn(left > 0 ? left : 0.0f, two), rounding), addRn(q.error2, floatOf(error)));
}

// ---- level 3 ------------------------------------------------------------------------------------------------------------------------------

RTD_DEVICE const uint8_t* tileOf3(const LevelLayout& shape, const CascadeLevels& levels, uint32_t place) {
    return levels.level3 + static_cast<size_t>(place / kLevelKeys) * shape.tileBytes3();
}
// From a key's sum of codes.
RTD_DEVICE float lowerBound3(const LevelLayout& shape, const uint8_t* tile, uint32_t key, const QueryScales& q, uint32_t sum) {
    const auto* steps = reinterpret_cast<const float*>(tile + shape.codeBytes3());
    const auto* norms = reinterpret_cast<const int32_t*>(steps + kLevelKeys);
    const float step = steps[key], error = steps[2 * kLevelKeys + key];
    const float positive = addRn(q.norm3, mulRn(mulRn(step, step), static_cast<float>(norms[key])));
    const float negative = mulRn(mulRn(q.unit3, step), static_cast<float>(static_cast<int32_t>(sum - q.offset3)));
    return lowerBound(subRn(subRn(positive, negative), mulRn(kSumRounding, positive)), addRn(q.error3, error));
}
// By eight lanes, one key's; they all get it.
RTD_DEVICE float lowerBound3(const SearchFuseArgs& a, const uint8_t* tile, uint32_t key, const QueryScales& q, uint32_t segment, uint32_t head,
                             uint32_t b, uint32_t lane) {
    const LevelLayout& shape = a.cascade.layout;
    const uint32_t unit = lane & 3;
    CodeSum sum;
#pragma unroll 2
    for (uint32_t piece = lane >> 2 & 1; piece < shape.pieces3(); piece += 2)
        sum.add(load16(tile + (piece * kLevelKeys + key) * kPieceCodes + unit * kUnitCodes),
                loadGlobal16(codes3Of(a, segment, head, piece, 0, b) + 2 * unit), loadGlobal16(codes3Of(a, segment, head, piece, 1, b) + 2 * unit));
    return lowerBound3(shape, tile, key, q, addOfEight(sum.total()));
}

}  // namespace rtd::cuda
