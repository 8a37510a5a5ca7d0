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
RTD_DEVICE float lowerBound1(const LevelLayout& shape, const uint8_t* block, const uint64_t (&codes)[2][kCodes1 / 8], const QueryGrid1& q,
                             uint32_t lane) {
    CodeSum sum;
    for (uint32_t unit = 0; unit < shape.units1(); ++unit)
        sum.add(load16(block + (unit * kLevelKeys + lane) * kUnitCodes), loadShared16(&codes[0][2 * unit]), loadShared16(&codes[1][2 * unit]));
    const uint32_t norm = reinterpret_cast<const uint16_t*>(block + shape.units1() * kLevelKeys * kUnitCodes)[lane];
    if (norm == kOutlierNorm) return -1.0f;
    const auto s = static_cast<int32_t>(q.start + (norm << q.normShift) - sum.total());
    return lowerBound(mulRn(static_cast<float>(s - q.slack1), q.unit1), q.error1);
}

// ---- levels 2 and 2b ----------------------------------------------------------------------------------------------------------------------

// What is known of a key: a lower bound of its distance, and one of the square of it without what the last level's directions left over.
struct Known {
    float lower, withoutRest;
};

// By eight lanes, of one key, of which levels before know something; they all get it. codes: the query's for this level, in shared memory.
RTD_DEVICE Known lowerBoundMiddle(const MiddleLevel& level, uint32_t middle, const uint8_t* row, const uint64_t* codes, const QueryGrids& q,
                                  Known before, uint32_t lane) {
    const uint32_t part = lane & 7;
    CodeSum sum;
    Quad mine = {};
    for (uint32_t unit = part; unit < level.rowBytes / kUnitCodes; unit += 8) {
        mine = load16(row + unit * kUnitCodes);
        sum.add(mine, loadShared16(codes + 2 * unit), loadShared16(codes + level.rowBytes / 8 + 2 * unit));  // zeros stand against the tail
    }
    uint32_t tail[4];
#pragma unroll
    for (uint32_t w = 0; w < 4; ++w) tail[w] = shuffle(mine.words[w], lane | 7);
    const auto& scales = q.middles[middle];
    const float step = floatOf(tail[0]), norm = floatOf(tail[1]), error = floatOf(tail[2]);
    float known = before.withoutRest, size = known;
    if (middle == 0) {  // level 1's square, less the part of what its directions left over
        const float reached = mulRn(addRn(before.lower, q.one.error1), kToSafeSide), one = before.lower > 0 ? mulRn(reached, reached) : 0.0f;
        const float rest = subRn(q.one.residual1, mulRn(static_cast<float>(static_cast<int32_t>(tail[3] & 255) - kZeroCode), q.one.residualUnit1));
        known = subRn(one, mulRn(mulRn(rest, rest), q.one.restUnit1));
        known = known > 0 ? known : 0.0f;
        size = addRn(one, q.one.scoreSlack);
    }
    const float positive = addRn(scales.norm, norm);
    const float negative =
        mulRn(mulRn(addRn(scales.unit, scales.unit), step), static_cast<float>(static_cast<int32_t>(addOfEight(sum.total()) - scales.offset)));
    const float squared = subRn(addRn(known, subRn(positive, negative)), mulRn(kSumRounding, addRn(positive, size)));
    const float rest = subRn(scales.residual, mulRn(step, static_cast<float>(row[level.directions] - kZeroCode)));
    const float withoutRest = subRn(squared, mulRn(rest, rest));
    return {lowerBound(squared, addRn(scales.error, error)), withoutRest > 0 ? withoutRest : 0.0f};
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
#pragma unroll 1
    for (uint32_t piece = lane >> 2 & 1; piece < shape.pieces3(); piece += 2)
        sum.add(load16(tile + (piece * kLevelKeys + key) * kPieceCodes + unit * kUnitCodes),
                loadGlobal16(codes3Of(a, segment, head, piece, 0, b) + 2 * unit), loadGlobal16(codes3Of(a, segment, head, piece, 1, b) + 2 * unit));
    return lowerBound3(shape, tile, key, q, addOfEight(sum.total()));
}

}  // namespace rtd::cuda
