// What one instruction set offers to a search: the loops over bulk data, and nothing that decides anything.
//
// Every back end computes the canonical sums of core/canonical.h bit for bit, and sums of integers exactly; they differ in speed alone. Rows are plain: no padding, no
// alignment beyond that of the element type, so that mapped files can be scanned as they are.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "gpu/offload.h"

namespace rtd::cpu {

// Keys of one tile: `count` rows of `length` elements, `stride` elements apart. `length` is a head's slice.
struct KeyTile {
    const void* keys;
    size_t stride;
    uint32_t count;
    uint32_t length;
};

// Queries of one tile, float32: `count` rows of `length` elements, `stride` elements apart.
struct QueryTile {
    const float* queries;
    size_t stride;
    uint32_t count;
};

// sums[q * sumStride + i] = canonical sum of query q and key i: over fma(q-x, q-x, s) for l2 and l2sq, over fma(q, x, s) for dot.
// Any counts, 0 included. Reads each key from memory once.
using TileSums = void (*)(const QueryTile& queries, const KeyTile& keys, float* sums, size_t sumStride);

// One piece of a log-sum-exp, n <= kLsePiece logits: *top = their maximum (NaN if any is NaN, never -0), *sum = canonical sum of
// double(expSmall(l - top)); 0 where top is not finite.
using LsePiece = void (*)(const float* logits, size_t n, float* top, double* sum);

// For an entropy, of a piece whose top is finite: *sum = canonical sum of double(expSmall(x) max(x, -87)), x = l - top.
using EntropyPiece = void (*)(const float* logits, size_t n, float top, double* sum);

// to[j] += factors[i factorStride] rows[i][j], for every j < n and i < rowCount in turn; each product is rounded first.
using AddProducts = void (*)(float* to, const float* factors, size_t factorStride, const float* rows, size_t rowStride, size_t rowCount, size_t n);

// ---- codes: keys as bytes, and queries as integers, for the bounds of cascade/levels.h

// A query's integers z, each in -16384..16383, and their two halves: z = 128 high + low, 0 <= low < 128.
struct CodeQuery {
    const int16_t* z;
    const int8_t* high;
    const int8_t* low;
};

// A block: codes [groups][32 keys][4] (four dimensions of each key in turn), then norms uint16 [32].
constexpr uint32_t kBlockKeys = 32;
constexpr size_t blockBytesOf(uint32_t groups) { return size_t{kBlockKeys} * (4 * groups + sizeof(uint16_t)); }

struct BlockQuery {
    CodeQuery codes;  // [4 groups]
    int32_t start;
    uint32_t normShift, scoreShift;
};

// scores[q * scoreStride + 32 b + i] = min(65535, s >> scoreShift), s = start + (norm << normShift) - sum of code * z, for key i of block b.
// The caller sees to 0 <= s < 2^31.
using BlockScores = void (*)(const uint8_t* blocks, size_t blockCount, uint32_t groups, const BlockQuery* queries, size_t queryCount,
                             uint16_t* scores, size_t scoreStride);

// sums[i] = sum of code * z of key i of one block.
using BlockSums = void (*)(const uint8_t* block, uint32_t groups, const CodeQuery& query, int32_t* sums);

// Makes a block's codes of the rows of 32 keys, 128 bytes each, one after another: 32 groups, without norms.
using InterleaveRows = void (*)(const uint8_t* rows, uint8_t* block);
constexpr size_t kInterleavedBytes = 128;  // of a row

// sums[r] = sum of rows[r][j] * z[j] over j < length, modulo 2^32; length is a multiple of 64.
using RowSums = void (*)(const uint8_t* const* rows, size_t rowCount, size_t length, const CodeQuery& query, int32_t* sums);

// places = first + the places in the blocks of the scores up to `most`, ascending; returns how many. There is room for all, and what lies beyond
// those is written over.
using SelectScores = size_t (*)(const uint16_t* scores, size_t blockCount, uint16_t most, uint32_t first, uint32_t* places);

// Bit i: score i of one block is at most `most`.
using MaskScores = uint32_t (*)(const uint16_t* scores, uint16_t most);

// What level 2 knows of 32 keys.
struct Level2Keys {
    float step[kBlockKeys], norm[kBlockKeys], error[kBlockKeys], residual[kBlockKeys];  // of cascade/levels.h's Tail2
};
// What it is to be compared with: see cascade/query.cpp.
struct Level2Query {
    float scoreUnit, scoreSlack, residual, residualUnit, restUnit, base, sumUnit, reach;
    int32_t sumOffset;
};
// Bit i: key i may lie within reach, judging by its score and its sum of codes. Evaluated in this order, each operation rounded once:
//   one = score scoreUnit - scoreSlack, rest = residual - code residualUnit, left = max(one - rest rest restUnit, 0)
//   positive = base + norm, two = positive + ((sum - sumOffset) sumUnit) step, limit = reach + error
//   not (left + two > (limit limit + kLevel2Rounding (positive + one + scoreSlack)) )
constexpr float kLevel2Rounding = 4e-6f;
using WithinReach = uint32_t (*)(const uint16_t* scores, const int32_t* sums, const Level2Keys& keys, const Level2Query& query);

struct CodeSums {
    BlockScores blockScores;
    BlockSums blockSums;
    InterleaveRows interleaveRows;
    RowSums rowSums;
    SelectScores selectScores;
    MaskScores maskScores;
    WithinReach withinReach;
};

struct Backend {
    const char* name;
    TileSums l2[3];   // by Dtype of the keys
    TileSums dot[3];  // by Dtype of the keys
    LsePiece lsePiece;
    EntropyPiece entropyPiece;
    AddProducts addProducts;
    CodeSums codes;
    gpu::OpenOffloaded open = nullptr;  // does whole calls elsewhere; null for the instruction sets
};

// One per file; a file is only there where it was built for this processor family, and runs only where dispatch.cpp finds it usable.
extern const Backend serialBackend;
const Backend* avx2Backend();
const Backend* avx512Backend();
const Backend* neonBackend();

// Replaces a back end's where the processor also has VNNI, or the dot products of Armv8.2.
const CodeSums* avx512VnniCodes();
const CodeSums* neonDotprodCodes();

}  // namespace rtd::cpu
