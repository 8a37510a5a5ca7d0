// Canonical distances of entries that lie anywhere: seeds, and what a cascade has left.
#pragma once
#include "scan.cuh"

namespace rtd::cuda {

// Four elements of a key, in device memory; zeros where there is none.
template <class C>
RTD_DEVICE void loadElements(const SearchFuseArgs& a, float (&x)[4], uint32_t id, uint32_t head, uint32_t begin, uint32_t to) {
    const uint32_t rest = a.layout.headBytes - begin, width = rest < kPieceBytes ? rest : kPieceBytes;
    x[0] = x[1] = x[2] = x[3] = 0.0f;
    if (id >= a.entries || to >= width) return;
    const size_t slice = static_cast<size_t>(id / kLayoutKeys) * a.layout.heads + head;
    const char* piece = static_cast<const char*>(a.keys) + kLayoutKeys * (slice * a.layout.headBytes + begin) + id % kLayoutKeys * width;
    load4(x, reinterpret_cast<const typename C::Key*>(piece + to));
}

// Four elements of a query; zeros beyond its head's.
RTD_DEVICE void loadQuery4(const SearchFuseArgs& a, float (&y)[4], uint64_t query, uint32_t element) {
    if (a.queriesAreAligned && element < a.headDim) {
        load4(y, static_cast<const float*>(a.queries) + query + element);
        return;
    }
#pragma unroll
    for (uint32_t c = 0; c < 4; ++c) y[c] = element + c < a.headDim ? loadQuery(a, query + element + c) : 0.0f;
}

// Pairs of an entry and a query, of which `queries` has the first element of the head.
struct FourPairs {
    uint64_t queries[4];
    uint32_t ids[4];
};

// By one warp, what four pairs are ordered by: lane l gets that of pair l / 8.
template <class C>
RTD_APART float valueOfFour(const SearchFuseArgs& a, FourPairs pairs, uint32_t head, uint32_t lane) {
    float sum[4][4] = {};
#pragma unroll 1
    for (uint32_t begin = 0; begin < a.layout.headBytes; begin += kPieceBytes)
#pragma unroll
        for (uint32_t part = 0; part < C::kPiece; part += kPartials) {
            const uint32_t at = part + 4 * lane, element = begin / static_cast<uint32_t>(sizeof(typename C::Key)) + at;
            float x[4][4];
#pragma unroll
            for (uint32_t r = 0; r < 4; ++r) loadElements<C>(a, x[r], pairs.ids[r], head, begin, at * static_cast<uint32_t>(sizeof(typename C::Key)));
#pragma unroll
            for (uint32_t r = 0; r < 4; ++r) {
                float y[4];
                loadQuery4(a, y, pairs.queries[r], element);
#pragma unroll
                for (uint32_t c = 0; c < 4; ++c) addTerm<C::kIsDot>(sum[r][c], y[c], x[r][c]);
            }
        }
    return orderedValue(treeOfFours<4>(sum, lane), C::kIsDot);
}

}  // namespace rtd::cuda
