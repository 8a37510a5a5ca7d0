// What one instruction set offers to the scan: the two loops over bulk data, and nothing that decides anything.
//
// Every back end computes the canonical sums of core/canonical.h bit for bit; they differ in speed alone. Rows are plain: no padding, no
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

struct Backend {
    const char* name;
    TileSums l2[3];   // by Dtype of the keys
    TileSums dot[3];  // by Dtype of the keys
    LsePiece lsePiece;
    gpu::OpenOffloaded open = nullptr;  // does whole calls elsewhere; null for the instruction sets
};

// One per file; a file is only there where it was built for this processor family, and runs only where dispatch.cpp finds it usable.
extern const Backend serialBackend;
const Backend* avx2Backend();
const Backend* avx512Backend();
const Backend* neonBackend();

}  // namespace rtd::cpu
