// What a cascade stores of one head's keys, and why that may rule keys out.
//
// THE MAP. Let x be a key and q a query, both less the same vector `mean`; W a matrix of p directions with |W| <= 1, and
//     F(x) = (W'x, |Sx|),   S = (I - WW')^(1/2),   |Sx|^2 = |x|^2 - |W'x|^2
// p + 1 numbers instead of d. F brings nothing farther apart: |q-x|^2 = |W'(q-x)|^2 + |S(q-x)|^2 and |S(q-x)| >= | |Sq| - |Sx| |, so
//     |q-x| >= |F(q) - F(x)|.
// W need not be orthonormal nor principal directions: those only make the bound good. Where W is cut in two, W1 and W2, the same holds of
// (W1'x, W2'x, |S2 x|), and of one more cut, W2b.
//
// QUANTISED. y is F(x) rounded to a grid, z is F(q) rounded to a finer one, and e_x >= |F(x) - y|, e_q >= |F(q) - z| are measured. Then
//     |q-x| >= |z - y| - e_x - e_q.
// One e_x serves all of level 1: the few keys beyond it are outliers, listed, and never ruled out by it. So a key goes if |z - y| > R + e_x + e_q,
// where nothing beyond the distance R can be among the nearest (core/bounds.h). |z - y|^2 is a sum of integers times the square of the grid's step.
//
// LEVELS. Codes are bytes, 128 for 0.
//   1   blocks of 32 keys: W1' x and |S1 x| (32 numbers), four of each key in turn, then sum of squares / 8 as uint16     34 bytes a key
//   2   a row a key: W2' x and |S2 x| (112 numbers), with a step of its own, their sum of squares, e_x, level 1's code of |S1 x|    128 bytes
//   2b  a row a key: W2b' x and |S2b x|, as in level 2: further directions, where a sample of the keys asks for them               128 to 512 bytes
//   3   a row a key: all of x, with a step of its own; bounds from both sides, |q-x| = |z - y| +- (e_x + e_q)             d + 12 bytes
// Levels that would not be worth their bytes are left out (LevelShape).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/dtype.h"
#include "cpu/backend.h"

namespace rtd::cascade {

constexpr int32_t kZeroCode = 128;     // the code of 0
constexpr int32_t kLargestCode = 127;  // codes stand for -127..127 steps
constexpr uint32_t kNormShift = 3;     // level 1 keeps the sum of squares / 8, rounded down: 32 x 127^2 / 8 < 2^16

// The end of a row of level 2.
struct Tail2 {
    float step;         // of the row's grid
    float norm;         // |y2|^2
    float error;        // e_x of levels 1 and 2 together
    uint8_t residual1;  // code of |S1 x|
    uint8_t isOutlier;  // 1: level 1 says nothing about this key
    uint8_t zero[2];
};
constexpr uint32_t kRowBytes2 = cpu::kInterleavedBytes, kCodes2 = kRowBytes2 - sizeof(Tail2);

// The end of a row of level 2b.
struct Tail2b {
    float step;   // of the row's grid
    float norm;   // |y2b|^2
    float error;  // e_x of levels 1, 2 and 2b together
    uint8_t zero[4];
};
constexpr uint32_t kRowsBytes2b[] = {128, 256, 512};  // as long as rows of level 2b may be

// The end of a row of level 3.
struct Tail3 {
    float step;
    int32_t norm;  // sum of the squares of the codes
    float error;   // e_x
};

constexpr double kLargestShare = 0.34;  // of the bytes of float32 keys, for all levels

// Which levels keys of a length have, and how large.
struct LevelShape {
    uint32_t length = 0;       // numbers of a key: its head's slice; for dot one more (core/bounds.h)
    uint32_t directions1 = 0;  // of W1
    uint32_t directions2 = 0;  // of W2; 0: no level 2
    uint32_t rowBytes2b = 0;   // 0: no level 2b
    bool hasLevel3 = false;

    static LevelShape of(uint32_t dimsOfHead, Metric metric, uint32_t rowBytes2b = 0) {
        LevelShape shape;
        shape.length = dimsOfHead + (metric == Metric::dot ? 1 : 0);
        shape.directions1 = shape.length < 31 ? shape.length : 31;
        // A level pays where its row is much shorter than what a survivor of the one before would cost without it.
        shape.hasLevel3 = shape.length >= 128;
        if (shape.rowBytes3() >= 2 * kRowBytes2) shape.directions2 = kCodes2 - 1 < shape.length - 31 ? kCodes2 - 1 : shape.length - 31;
        shape.rowBytes2b = rowBytes2b;
        return shape;
    }

    // Whether rows of that length have a place: all levels take at most kLargestShare of float32 keys. For very long keys there are none, as
    // finding so many directions takes too long.
    bool admits2b(uint32_t rowBytes) const {
        const double all = 34 + kRowBytes2 + rowBytes + rowBytes3();
        return std::ranges::find(kRowsBytes2b, rowBytes) != std::end(kRowsBytes2b) && all <= kLargestShare * 4 * length && length <= 16384;
    }

    uint32_t codes2b() const { return rowBytes2b ? rowBytes2b - static_cast<uint32_t>(sizeof(Tail2b)) : 0; }
    uint32_t directions2b() const { return rowBytes2b ? codes2b() - 1 : 0; }
    uint32_t directions12() const { return directions1 + directions2; }
    uint32_t directions() const { return directions12() + directions2b(); }
    uint32_t groups() const { return (directions1 + 1 + 3) / 4; }  // of level 1's codes: W1' x, |S1 x|, zeros
    size_t blockBytes() const { return cpu::blockBytesOf(groups()); }
    uint32_t rowBytes3() const { return hasLevel3 ? (length + 3) / 4 * 4 + static_cast<uint32_t>(sizeof(Tail3)) : 0; }
    uint32_t tail3() const { return (length + 3) / 4 * 4; }  // where in the row it begins
    static size_t blocksOf(uint32_t keys) { return (size_t{keys} + cpu::kBlockKeys - 1) / cpu::kBlockKeys; }
};

// Rows are read in steps of 64 bytes: there is as much behind the last one.
constexpr size_t kReadBeyond = 64;

// The numbers a bound needs beside the codes.
struct LevelScales {
    double shrink = 1;                                    // W = shrink x basis
    double step1 = 1;                                     // of level 1's grid
    double residual1 = 0, residual2 = 0, residual2b = 0;  // codes of |S x| are relative to these
    double error1 = 0;                                    // e_x of level 1
    double largestKey = 0;                                // M, for dot
};

// The levels of one head's keys. Memory belongs to `owner`.
struct Levels {
    LevelShape shape;
    LevelScales scales;
    uint32_t count = 0;                  // keys
    const float* mean = nullptr;         // [length]
    const F16* basis = nullptr;          // [directions, length]
    const uint8_t* level1 = nullptr;     // [blocks, blockBytes]
    const uint8_t* level2 = nullptr;     // [count, 128]
    const uint8_t* level2b = nullptr;    // [count, rowBytes2b]
    const uint8_t* level3 = nullptr;     // [count, rowBytes3], and kReadBeyond more
    const uint32_t* outliers = nullptr;  // places of keys, ascending
    uint32_t outlierCount = 0;
    std::shared_ptr<const void> owner;

    uint64_t bytes() const {
        return LevelShape::blocksOf(count) * shape.blockBytes() +
               uint64_t{count} * ((shape.directions2 ? kRowBytes2 : 0) + shape.rowBytes2b + shape.rowBytes3()) +
               uint64_t{shape.directions()} * shape.length * sizeof(F16) + shape.length * sizeof(float) + outlierCount * sizeof(uint32_t);
    }
};

}  // namespace rtd::cascade
