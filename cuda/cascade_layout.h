// What the kernel is given of cascades, and the layouts that host and device must agree on: of the levels, whose numbers are those that
// cpp/cascade/levels.h describes, and of queries as the levels take them. Plain C++.
#pragma once
#include "core/canonical.h"

namespace rtd::cuda {

constexpr uint32_t kLevelKeys = 32;                    // keys that lie together in levels 1 and 3
constexpr uint32_t kCodes1 = 32;                       // numbers of level 1: directions, what they leave over, zeros
constexpr uint32_t kPieceCodes = 64;                   // codes of a key in level 3 that lie together
constexpr uint32_t kUnitCodes = 16;                    // codes that a lane takes at a time
constexpr uint32_t kNormBytes1 = 2, kTailBytes3 = 12;  // beside the codes of a key
constexpr uint16_t kOutlierNorm = 0xffff;              // in level 1, which says nothing about this key; no sum of squares is as large

// From one row of float32 to the next where rows of so many begin on 16 bytes.
RTD_SHARED uint32_t alignedStride(uint32_t numbers) { return (numbers + 3) / 4 * 4; }

constexpr uint32_t kMaxMiddles = 2;                                       // levels between 1 and 3
constexpr uint32_t kRowBytes2 = 128, kMaxRowBytes2b = 512;                // of a key in each
constexpr uint32_t kMiddleWords = 2 * (kRowBytes2 + kMaxRowBytes2b) / 8;  // of a query's codes
constexpr uint32_t kMaxDirections = 640;                                  // of all levels

// The shape that all levels of an index share.
struct LevelLayout {
    uint32_t length;       // numbers of a key: its head's slice; for dot one more
    uint32_t directions1;  // of level 1
    uint32_t directions;   // of levels 1 to 2b together, the most that any has
    uint32_t hasLevel3;

    // [block of 32 keys][unit of 16 codes][key], and at the block's end the keys' norms, uint16.
    RTD_SHARED uint32_t units1() const { return (directions1 + 1 + kUnitCodes - 1) / kUnitCodes; }
    RTD_SHARED uint32_t blockBytes1() const { return kLevelKeys * (units1() * kUnitCodes + kNormBytes1); }
    // [tile of 32 keys][piece of 64 codes][key], and at the tile's end steps, norms and errors of its keys.
    RTD_SHARED uint32_t pieces3() const { return hasLevel3 ? (length + kPieceCodes - 1) / kPieceCodes : 0; }
    RTD_SHARED uint32_t codeBytes3() const { return kLevelKeys * pieces3() * kPieceCodes; }
    RTD_SHARED uint32_t tileBytes3() const { return codeBytes3() + kLevelKeys * kTailBytes3; }
    // Directions and the mean lie in rows of so many numbers, zeros at the end.
    RTD_SHARED uint32_t basisStride() const { return alignedStride(length); }
};

// Level 2 or 2b, a row a key, as stored: codes of projections and of what they leave over, zeros, and 16 bytes as cascade::Tail2.
struct MiddleLevel {
    const uint8_t* rows;
    uint32_t rowBytes;  // a multiple of 128
    uint32_t directions;
    double residual;  // codes of what is left over are relative to it
};

// The levels of one head's keys in one segment; see cascade::LevelScales for the numbers.
struct CascadeLevels {
    const uint8_t *level1, *level3;
    const uint16_t* basis;  // float16 [directions, basisStride], level 1's first
    const float* mean;      // [basisStride]
    MiddleLevel middles[kMaxMiddles];
    uint32_t middleCount;
    uint32_t directions;  // of all levels
    double shrink, step1, residual1, error1, largestKey;
};

// Entries [first, first + count), which have levels.
struct CascadeSegment {
    uint32_t first, count;
};

// ---- queries --------------------------------------------------------------------------------------------------------------------------

// What bounds by level 3 and limits need of a query beside its codes; see prepare.cuh.
struct QueryScales {
    uint32_t isBounded;          // 0: no bound holds, every key must be looked at
    float norm3, unit3, error3;  // |z|^2, twice the grid's step, e_q
    uint32_t offset3;            // what a sum of codes has too much
    uint32_t lengthBits[2];      // of the double |q|
};

// The same of level 1: |z - y|^2 >= unit1 (start + (norm << normShift) - sum - slack1), and how the part of it that is left over is taken off.
struct QueryGrid1 {
    uint32_t start, normShift;
    int32_t slack1;
    float unit1, error1;
    float scoreSlack, residual1, residualUnit1, restUnit1;
};
// Of level 2 or 2b: |z|^2, the grid's step, the number of what is left over, e_q of all levels so far, what a sum of codes has too much.
struct MiddleGrid {
    float norm, unit, residual, error;
    uint32_t offset;
};
struct QueryGrids {
    QueryGrid1 one;
    MiddleGrid middles[kMaxMiddles];
};

// One query against one head of one segment. Codes are the halves of z = 128 high + low, high first, eight to a word; those of level 3 lie in
// Workspace::codes3.
struct PreparedQuery {
    float projections[kMaxDirections];  // of the query on the directions
    uint64_t codes1[2][kCodes1 / 8];
    uint64_t middleCodes[kMiddleWords];  // level after level: a row's worth of each half
    QueryScales scales;
    QueryGrids grids;
};

// ---- of a launch ----------------------------------------------------------------------------------------------------------------------

struct CascadeArgs {
    const CascadeSegment* segments;  // [segmentCount], in order of id
    const CascadeLevels* levels;     // [segmentCount, heads]
    LevelLayout layout;
    uint32_t segmentCount;   // 0: everything is scanned
    uint32_t shareKeys;      // of a ticket, a multiple of 32
    uint32_t shares;         // tickets of all segments
    uint32_t usesTensors;    // level 3 of all keys and many queries at once, in place of levels 1 and 2
    uint32_t giveUpPercent;  // a block scans once more than this share of its pairs of key and query needed their distance
};

}  // namespace rtd::cuda
