// Level 3 of all keys for many queries at once, on the tensor cores: where plain distances are bound by arithmetic, this reads a quarter of the
// keys' bytes and multiplies 8-bit integers, whose sums are exact.
//
// A warp takes 16 keys; rows of the product are keys, columns are queries, and each half of a query has sums of its own. Which codes stand where
// along a row is free as long as keys and queries agree: lane t of the four that share a key takes 16 neighbouring bytes of 64, so that all loads are
// 16 bytes wide, and its four words are what it holds of two products.
#pragma once
#include "levels.cuh"

namespace rtd::cuda {

// One piece of both halves of the queries' codes.
template <uint32_t kColumns>
struct alignas(128) CodeStage {
    uint8_t codes[2][kColumns][kPieceCodes];
};

template <class C, uint32_t kColumns>
RTD_DEVICE void copyCodes(const SearchFuseArgs& a, CodeStage<kColumns>& stage, uint32_t segment, uint32_t head, uint32_t firstQuery, uint32_t piece) {
    constexpr uint32_t kUnits = kPieceCodes / kUnitCodes;
    for (uint32_t i = threadIndex(); i < 2 * kColumns * kUnits; i += C::kThreads) {
        const uint32_t half = i / (kColumns * kUnits), column = i / kUnits % kColumns, unit = i % kUnits, b = firstQuery + column;
        const bool isValid = b < a.batch;
        copyAsync16(&stage.codes[half][column][unit * kUnitCodes], codes3Of(a, segment, head, piece, half, isValid ? b : 0) + 2 * unit, isValid);
    }
    copyCommit();
}

// scores[column * stride + i]: lower bounds, as bits, of the distances of keys place .. place + count - 1 to queries firstQuery + column, for as many
// columns; 0 where no bound holds. place: a multiple of 32.
template <class C, uint32_t kColumns>
RTD_DEVICE void scoreByTensors(const SearchFuseArgs& a, CodeStage<kColumns>* stages, const QueryScales* scales, uint32_t* scores, uint32_t stride,
                               uint32_t segment, uint32_t head, uint32_t firstQuery, uint32_t place, uint32_t count) {
    constexpr uint32_t kBlocks = kColumns / 8;
    const LevelLayout& shape = a.cascade.layout;
    const CascadeLevels& levels = levelsOf(a, segment, head);
    const uint32_t warp = threadIndex() / 32, lane = threadIndex() & 31, group = lane / 4, t = lane % 4;
    uint32_t at = 0;  // how many pieces have been taken
    for (uint32_t begin = 0; begin < count; begin += 16 * C::kWarps) {
        const uint32_t first = begin + 16 * warp;
        const bool isIdle = first >= count;  // and then computes what nobody reads
        const uint8_t* tile = tileOf3(shape, levels, place + (isIdle ? 0 : first));
        const uint32_t key = (isIdle ? 0 : first) % kLevelKeys + group;
        int32_t sums[2][kBlocks][4] = {};
        copyCodes<C>(a, stages[at & 1], segment, head, firstQuery, 0);  // not where the last piece is still read
#pragma unroll 1
        for (uint32_t piece = 0; piece < shape.pieces3(); ++piece, ++at) {
            const uint8_t* from = tile + (piece * kLevelKeys + key) * kPieceCodes + t * kUnitCodes;
            const Quad upper = load16(from), lower = load16(from + 8 * kPieceCodes);
            copyWait<0>();
            syncBlock();  // this piece has landed, and everybody is done with the one before
            if (piece + 1 < shape.pieces3()) copyCodes<C>(a, stages[(at + 1) & 1], segment, head, firstQuery, piece + 1);
#pragma unroll
            for (uint32_t n = 0; n < kBlocks; ++n)
#pragma unroll
                for (uint32_t half = 0; half < 2; ++half) {
                    const Quad z = loadShared16(&stages[at & 1].codes[half][8 * n + group][t * kUnitCodes]);
#pragma unroll
                    for (uint32_t w = 0; w < 4; w += 2)
                        multiplyCodes(sums[half][n], {upper.words[w], lower.words[w], upper.words[w + 1], lower.words[w + 1]},
                                      {z.words[w], z.words[w + 1]});
                }
        }
        if (isIdle) continue;
#pragma unroll
        for (uint32_t n = 0; n < kBlocks; ++n)
#pragma unroll
            for (uint32_t i = 0; i < 4; ++i) {
                const uint32_t row = group + i / 2 * 8, column = 8 * n + 2 * t + i % 2;
                const uint32_t sum = (static_cast<uint32_t>(sums[0][n][i]) << 7) + static_cast<uint32_t>(sums[1][n][i]);
                const QueryScales& q = scales[column];
                scores[column * stride + first + row] = q.isBounded ? bitsOf(lowerBound3(shape, tile, key - group + row, q, sum)) : 0;
            }
    }
}

}  // namespace rtd::cuda
