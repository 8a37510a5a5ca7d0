// Seeds: entries that the caller expects among a row's nearest, such as the successors of its last hits. Their distances are computed before the
// scan's, and where enough of them are accepted the row has a bound near its last one from the first tile on. Only a hint: the scan offers these
// entries like all others, so results never depend on it.
#pragma once
#include "gather.cuh"

namespace rtd::cuda {

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
        FourPairs pairs;
        uint32_t id = a.entries;
#pragma unroll
        for (uint32_t r = 0; r < kKeys; ++r) {
            pairs.queries[r] = query;
            pairs.ids[r] = first + r < n ? a.seeds[b * static_cast<size_t>(a.seedStride) + first + r] : a.entries;
            if (lane / (32 / kKeys) == r) id = pairs.ids[r];
        }
        const float value = valueOfFour<C>(a, pairs, head, lane);
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
