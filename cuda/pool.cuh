// The pool of a row: room in global memory for what any block finds below the row's bound. Nobody locks it: blocks reserve room by adding to
// `reserved` and say by `committed` that they have written. The one block whose reservation crosses the end cuts the pool to the k smallest
// entries, which tightens the bound, and opens it again.
#pragma once
#include "select.cuh"

namespace rtd::cuda {

// The row of hits that query q of a phase stands for.
template <class C>
RTD_DEVICE uint32_t rowOf(const SearchFuseArgs& a, uint32_t group, uint32_t q, uint32_t head) {
    return (group * C::kQueries + q) * a.layout.heads + head;
}

RTD_DEVICE uint64_t* poolOf(const SearchFuseArgs& a, uint32_t row) { return a.workspace.pools + static_cast<size_t>(row) * a.workspace.poolCapacity; }

// How many entries fit before a cut. Where a cascade needs a bound early, few.
RTD_DEVICE uint32_t roomOf(const SearchFuseArgs& a, uint32_t row) {
    const uint32_t early = 2 * a.rows[row / a.layout.heads].k + 64;  // more than k and the offers of a phase
    return a.cascade.segmentCount > 0 && early < a.workspace.poolCapacity ? early : a.workspace.poolCapacity;
}

// One warp appends its query's offers. If they do not fit, their place is kept for settling.
template <class C>
RTD_DEVICE void tryAppend(const SearchFuseArgs& a, Shared<C>& s, uint32_t row, uint32_t q, uint32_t lane) {
    const uint32_t n = s.offerCount[q];
    RowState& state = a.workspace.rows[row];
    uint32_t at = 0;
    if (lane == 0) at = addAcquire(&state.reserved, n);  // what the last cut read here, it has read
    at = shuffle(at, 0);
    syncWarp();  // ... also for the other lanes
    if (at + n <= roomOf(a, row)) {
        uint64_t* pool = poolOf(a, row);
        for (uint32_t i = lane; i < n; i += 32) storeGlobal(&pool[at + i], s.offers[q][i]);
        syncWarp();
        if (lane == 0) addRelease(&state.committed, n);
    } else if (lane == 0) {
        s.reservation[q] = at;
    }
}

// Called by the block whose reservation [at, at + n) crosses the end of the pool: nobody else writes to it before `reserved` is set back.
template <class C>
RTD_DEVICE void cut(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, uint32_t row, uint32_t q) {
    const uint32_t tid = threadIndex(), at = s.reservation[q], n = s.offerCount[q], capacity = roomOf(a, row), room = capacity - at;
    RowState& state = a.workspace.rows[row];
    uint64_t* pool = poolOf(a, row);
    for (uint32_t i = tid; i < room; i += C::kThreads) storeGlobal(&pool[at + i], s.offers[q][i]);
    if (tid == 0) spinUntil([&] { return loadAcquire(&state.committed) == at; });  // the writers run, and none of them waits
    const uint32_t k = a.rows[row / a.layout.heads].k;
    const auto load = [&](uint32_t i) { return loadGlobal(pool + i); };
    const uint64_t bound = selectBound<C::kThreads>(s.select, capacity, k, load);  // begins with a barrier
    collect<C::kThreads>(s.select, capacity, bound, hits, load);
    for (uint32_t i = tid; i < k; i += C::kThreads) storeGlobal(&pool[i], hits[i]);
    for (uint32_t i = room + tid; i < n; i += C::kThreads) storeGlobal(&pool[k + i - room], s.offers[q][i]);
    syncBlock();
    if (tid == 0) {
        maxRelaxed(&state.invertedBound, ~bound);
        storeRelaxed(&state.committed, k + n - room);
        storeRelease(&state.reserved, k + n - room);  // opens the pool
        s.reservation[q] = kSettled;
    }
    syncBlock();
}

// Empties the offers of a phase. A block first does the cuts that fell to it and only then waits for those of others, so no two blocks wait for
// each other.
template <class C>
RTD_DEVICE void appendOffers(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, uint32_t group, uint32_t head) {
    const uint32_t tid = threadIndex(), warp = tid / 32, lane = tid & 31;
    for (uint32_t q = warp; q < C::kQueries; q += C::kWarps)
        if (s.offerCount[q]) tryAppend(a, s, rowOf<C>(a, group, q, head), q, lane);
    syncBlock();
    for (uint32_t q = 0; q < C::kQueries; ++q)
        if (s.reservation[q] != kSettled && s.reservation[q] <= roomOf(a, rowOf<C>(a, group, q, head)))
            cut(a, s, hits, rowOf<C>(a, group, q, head), q);
    for (uint32_t q = 0; q < C::kQueries; ++q)
        while (s.reservation[q] != kSettled) {
            const uint32_t row = rowOf<C>(a, group, q, head), capacity = roomOf(a, row);
            syncBlock();
            if (tid < 32) {
                if (lane == 0) {
                    spinUntil([&] { return loadRelaxed(&a.workspace.rows[row].reserved) <= capacity; });
                    s.reservation[q] = kSettled;
                }
                tryAppend(a, s, row, q, lane);
            }
            syncBlock();
            if (s.reservation[q] <= capacity) cut(a, s, hits, row, q);
        }
    if (tid < C::kQueries) s.offerCount[tid] = 0;  // a barrier lies between this and the next offer
    if (tid == 0) s.offered = 0;
}

}  // namespace rtd::cuda
