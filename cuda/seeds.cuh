// Seeds: entries that the caller expects among a row's nearest, such as the successors of its last hits. Their distances are computed before the
// scan's, and where enough of them are accepted the row has a bound near its last one from the first tile on. Only a hint: the scan offers these
// entries like all others, so results never depend on it.
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

// One row's seeds, by one block; the canonical distance as the scan computes it, four keys a warp at a time.
template <class C>
RTD_DEVICE void boundBySeeds(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, uint32_t row) {
    constexpr uint32_t kKeys = 4;
    const uint32_t tid = threadIndex(), warp = tid / 32, lane = tid & 31, b = row / a.layout.heads, head = row % a.layout.heads;
    const uint32_t k = a.rows[b].k, n = a.rows[b].seeds;
    if (k == 0 || n < k) return;
    const uint64_t query = b * a.queryStride + static_cast<uint64_t>(head) * a.headDim;
    if (tid == 0) s.select.collected = 0;
    syncBlock();
    for (uint32_t first = kKeys * warp; first < n; first += kKeys * C::kWarps) {
        uint32_t ids[kKeys];
        float sum[kKeys][4] = {};
#pragma unroll
        for (uint32_t r = 0; r < kKeys; ++r) ids[r] = first + r < n ? a.seeds[b * static_cast<size_t>(a.seedStride) + first + r] : a.entries;
        for (uint32_t begin = 0; begin < a.layout.headBytes; begin += kPieceBytes)
#pragma unroll
            for (uint32_t part = 0; part < C::kPiece; part += kPartials) {
                const uint32_t at = part + 4 * lane, element = begin / static_cast<uint32_t>(sizeof(typename C::Key)) + at;
                float y[4];
#pragma unroll
                for (uint32_t c = 0; c < 4; ++c) y[c] = element + c < a.headDim ? loadQuery(a, query + element + c) : 0.0f;
#pragma unroll
                for (uint32_t r = 0; r < kKeys; ++r) {
                    float x[4];
                    loadElements<C>(a, x, ids[r], head, begin, at * static_cast<uint32_t>(sizeof(typename C::Key)));
#pragma unroll
                    for (uint32_t c = 0; c < 4; ++c) addTerm<C::kIsDot>(sum[r][c], y[c], x[c]);
                }
            }
        const float value = orderedValue(treeOfFours<static_cast<int>(kKeys)>(sum, lane), C::kIsDot);
        const uint32_t r = lane / (32 / kKeys), id = r == 0 ? ids[0] : r == 1 ? ids[1] : r == 2 ? ids[2] : ids[3];
        const uint64_t entry = orderKey(value, id);
        if (lane % (32 / kKeys) == 0 && id < a.entries && accepts(a, b, entry)) hits[addShared(&s.select.collected, 1)] = entry;
    }
    syncBlock();
    const uint32_t found = s.select.collected;
    if (found < k) return;
    const uint32_t size = powerOfTwoAtLeast(found);
    for (uint32_t i = found + tid; i < size; i += C::kThreads) hits[i] = kWorst;
    syncBlock();
    sortAscending<C::kThreads>(size, [&](uint32_t i) -> uint64_t& { return hits[i]; });
    // The k-th itself must still pass: it is not in the pool yet.
    if (tid == 0) maxRelaxed(&a.workspace.rows[row].invertedBound, ~(hits[k - 1] + 1));
}

}  // namespace rtd::cuda
