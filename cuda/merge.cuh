// The end of a row: the k nearest out of its pool, their vote, the merge with the logits, and the row's state as it was found. By one block, before
// which others may have cut the parts of a long pool.
#pragma once
#include "logits.cuh"
#include "pool.cuh"

namespace rtd::cuda {

// ---- parts ------------------------------------------------------------------------------------------------------------------------------

// A row's pool at the end, in parts of `length` entries, the last shorter and others perhaps empty. Cutting leaves the `kept` smallest of each in front.
struct Parts {
    uint32_t count, length, kept;

    static RTD_DEVICE Parts of(const SearchFuseArgs& a, uint32_t row) {
        const uint32_t count = loadRelaxed(&a.workspace.rows[row].committed), k = a.rows[row / a.layout.heads].k;
        const uint32_t length = count > a.splitAbove ? (count + a.mergeParts - 1) / a.mergeParts : count;
        return {count, length, length < k ? length : k};
    }
    RTD_DEVICE bool areOne() const { return length == count; }
    RTD_DEVICE uint32_t lengthOf(uint32_t part) const {
        const uint32_t begin = part * length;
        return begin >= count ? 0 : count - begin < length ? count - begin : length;
    }
    // How many are left once all are cut, and where they are.
    RTD_DEVICE uint32_t left() const {
        const uint32_t whole = count / length, rest = count % length;
        return whole * kept + (rest < kept ? rest : kept);
    }
    RTD_DEVICE uint32_t place(uint32_t i) const { return areOne() ? i : i / kept * length + i % kept; }
};

// Cuts one part to its k smallest. Returns true, to every thread, for the block that finds all parts of the row cut: it merges the row.
template <class C>
RTD_DEVICE bool cutPart(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, uint32_t row, uint32_t part) {
    const Parts parts = Parts::of(a, row);
    if (parts.areOne()) return part == 0;
    const uint32_t tid = threadIndex(), n = parts.lengthOf(part);
    if (n > parts.kept) {
        uint64_t* pool = poolOf(a, row) + part * parts.length;
        const auto load = [&](uint32_t i) { return loadGlobal(pool + i); };
        const uint64_t bound = selectBound<C::kThreads>(s.select, n, parts.kept, load);
        const uint32_t found = collect<C::kThreads>(s.select, n, bound, hits, load);  // ends with a barrier
        for (uint32_t i = tid; i < found; i += C::kThreads) storeGlobal(&pool[i], hits[i]);
    }
    syncBlock();
    if (tid == 0) s.broadcast = addAcquireRelease(&a.workspace.rows[row].partsDone, 1u) + 1 == a.mergeParts;
    syncBlock();
    return s.broadcast;
}

// ---- hits -------------------------------------------------------------------------------------------------------------------------------

// The row's hits, nearest first, to shared memory; returns how many. room: what is left of shared memory.
template <class C>
RTD_DEVICE uint32_t selectHits(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, uint64_t* room, uint32_t row) {
    const Parts parts = Parts::of(a, row);
    const uint32_t tid = threadIndex(), k = a.rows[row / a.layout.heads].k, count = parts.areOne() ? parts.count : parts.left();
    const uint64_t* pool = poolOf(a, row);
    const bool isCopied = count > k && count * sizeof(uint64_t) <= kRingBytes<C>;  // several passes follow
    if (isCopied)
        for (uint32_t i = tid; i < count; i += C::kThreads) room[i] = loadGlobal(pool + parts.place(i));
    const auto load = [&](uint32_t i) { return isCopied ? room[i] : loadGlobal(pool + parts.place(i)); };
    const uint64_t bound = count > k ? selectBound<C::kThreads>(s.select, count, k, load) : kWorst;  // begins with a barrier
    const uint32_t found = collect<C::kThreads>(s.select, count, bound, hits, load), size = powerOfTwoAtLeast(found);
    for (uint32_t i = found + tid; i < size; i += C::kThreads) hits[i] = kWorst;
    syncBlock();
    sortAscending<C::kThreads>(size, [&](uint32_t i) -> uint64_t& { return hits[i]; });
    return found;
}

template <class C>
RTD_DEVICE void writeHits(const SearchFuseArgs& a, const uint64_t* hits, uint32_t row, uint32_t m) {
    for (uint32_t i = threadIndex(); i < a.capacity; i += C::kThreads) {
        const size_t at = static_cast<size_t>(row) * a.capacity + i;
        const bool isHit = i < m;
        if (a.ids) a.ids[at] = isHit ? idOf(hits[i]) : 0xffffffffu;
        if (a.distances) a.distances[at] = isHit ? distanceOf(hits[i], a.isRoot) : positiveInfinity();
        if (a.hitTokens) a.hitTokens[at] = isHit ? a.tokens[idOf(hits[i])] : -1;
    }
    if (a.counts && threadIndex() == 0) a.counts[row] = m;
}

// ---- vote -------------------------------------------------------------------------------------------------------------------------------

// The votes of one head: hits become (token, rank), sorted; the first entry of each token has the sum of its weights in sums, s.total is that of all.
struct Votes {
    uint32_t count;  // entries of hits
    const double* sums;
};

RTD_DEVICE uint32_t tokenOf(uint64_t hit) { return static_cast<uint32_t>(hit >> 32); }
RTD_DEVICE bool isFirstOfToken(const uint64_t* hits, uint32_t i) { return i == 0 || tokenOf(hits[i]) != tokenOf(hits[i - 1]); }

// m hits, nearest first. room: 2 hitRoom doubles.
template <class C>
RTD_DEVICE Votes takeVotes(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, double* room, uint32_t row, uint32_t m) {
    const uint32_t tid = threadIndex();
    // Infinite distances are hits but do not vote; they come first (a product that overflowed) and last.
    const uint32_t begin = leading(m, [&](uint32_t i) { return valueOf(hits[i]) == negativeInfinity(); });
    const uint32_t n = leading(m, [&](uint32_t i) { return valueOf(hits[i]) < positiveInfinity(); }) - begin, size = powerOfTwoAtLeast(n);
    double *weights = room, *sums = room + a.hitRoom;
    const double nearest = n ? static_cast<double>(distanceOf(hits[begin], a.isRoot)) : 0.0,
                 temperature = static_cast<double>(a.rows[row / a.layout.heads].temperature);
    for (uint32_t i = tid; i < n; i += C::kThreads)
        weights[i] = expWide(divRn(subRn(nearest, static_cast<double>(distanceOf(hits[begin + i], a.isRoot))), temperature));
    for (uint32_t i = tid; i < n; i += C::kThreads)  // where the sums will be: hits are still read
        sums[i] = doubleOf(static_cast<uint64_t>(static_cast<uint32_t>(a.tokens[idOf(hits[begin + i])])) << 32 | i);
    syncBlock();
    for (uint32_t i = tid; i < size; i += C::kThreads) hits[i] = i < n ? bitsOf(sums[i]) : kWorst;
    if (tid < 32) {
        const double total = warpSum(n, tid, [&](uint32_t i) { return weights[i]; });
        if (tid == 0) s.total = total;
    }
    syncBlock();
    sortAscending<C::kThreads>(size, [&](uint32_t i) -> uint64_t& { return hits[i]; });
    for (uint32_t i = tid; i < n; i += C::kThreads) sums[i] = weights[static_cast<uint32_t>(hits[i])];
    syncBlock();
    double *now = sums, *next = weights;
    for (uint32_t step = 1; step < n; step <<= 1) {  // after steps 1, 2, 4, ... the first entry of a token holds its doubling sum
        for (uint32_t i = tid; i < n; i += C::kThreads)
            next[i] = i + step < n && tokenOf(hits[i]) == tokenOf(hits[i + step]) ? addRn(now[i], now[i + step]) : now[i];
        syncBlock();
        double* swap = now;
        now = next;
        next = swap;
    }
    return {n, now};
}

// ---- rewrite ----------------------------------------------------------------------------------------------------------------------------

// Whether the row has both a log-sum-exp and votes; says so in its status, and empties it where the reference alone decides.
template <class C>
RTD_DEVICE bool beginRewrite(const SearchFuseArgs& a, Shared<C>& s, uint32_t b, bool hasVotes) {
    if (threadIndex() < 32) combineLse(a, s, b, threadIndex());
    syncBlock();
    const bool isMerged = s.isMergeable && hasVotes;
    if (threadIndex() == 0 && a.statuses) a.statuses[b] = isMerged ? kMerged : s.isMergeable ? kUnchanged : kUnmergeable;
    if (isMerged && a.rows[b].weight >= 1.0f) {
        for (uint32_t v = threadIndex(); v < a.vocabulary; v += C::kThreads) storeLogit(a, b, v, negativeInfinity());
        syncBlock();
    }
    return isMerged;
}

RTD_DEVICE void rewrite(const SearchFuseArgs& a, uint32_t b, uint32_t token, double lse, double r) {
    if (token < a.vocabulary) storeLogit(a, b, token, mergedLogit(loadLogit(a, b, token), lse, r, a.rows[b]));
}

// One head: straight from shared memory.
template <class C>
RTD_DEVICE void fuseRow(const SearchFuseArgs& a, Shared<C>& s, const uint64_t* hits, const Votes& votes, uint32_t b) {
    if (!beginRewrite(a, s, b, votes.count > 0)) return;
    for (uint32_t i = threadIndex(); i < votes.count; i += C::kThreads)
        if (isFirstOfToken(hits, i)) rewrite(a, b, tokenOf(hits[i]), s.lse, divRn(votes.sums[i], s.total));
}

// ---- heads ------------------------------------------------------------------------------------------------------------------------------
//
// Each head leaves its votes, one (token, r) a token, in the first half of its pool, which is not needed any more; the last head of a query to get
// there adds them up. (token, head, place) is sorted in shared memory where it fits, else in the second halves of the query's pools.

constexpr uint32_t kPlaceBits = 11;
static_assert(kMaxHits <= 1u << kPlaceBits);

// True for every thread of the block that came last.
template <class C>
RTD_DEVICE bool leaveVotes(const SearchFuseArgs& a, Shared<C>& s, const uint64_t* hits, const Votes& votes, uint32_t row) {
    const uint32_t tid = threadIndex(), heads = a.layout.heads;
    uint64_t* list = poolOf(a, row);
    if (tid == 0) s.select.collected = 0;
    syncBlock();
    for (uint32_t i = tid; i < votes.count; i += C::kThreads) {
        if (!isFirstOfToken(hits, i)) continue;
        const uint32_t at = addShared(&s.select.collected, 1);
        storeGlobal(&list[2 * at], static_cast<uint64_t>(tokenOf(hits[i])));
        storeGlobal(&list[2 * at + 1], bitsOf(divRn(votes.sums[i], s.total)));
    }
    syncBlock();
    if (tid == 0) {
        storeRelaxed(&a.workspace.rows[row].shares, s.select.collected);
        s.broadcast = addAcquireRelease(&a.workspace.rows[row / heads * heads].headsDone, 1u) + 1 == heads;
    }
    syncBlock();
    return s.broadcast;
}

template <class C>
RTD_DEVICE void fuseHeads(const SearchFuseArgs& a, Shared<C>& s, uint64_t* room, uint32_t b) {
    const uint32_t tid = threadIndex(), heads = a.layout.heads, first = b * heads, half = a.workspace.poolCapacity / 2;
    if (tid == 0) s.select.collected = 0;
    uint32_t n = 0;
    for (uint32_t h = 0; h < heads; ++h) n += loadRelaxed(&a.workspace.rows[first + h].shares);
    const uint32_t size = powerOfTwoAtLeast(n);
    const bool fits = size * sizeof(uint64_t) <= kRingBytes<C>;
    const auto at = [&](uint32_t i) -> uint64_t& { return fits ? room[i] : poolOf(a, first + i / half)[half + i % half]; };
    syncBlock();
    for (uint32_t h = tid / 32; h < heads; h += C::kWarps) {
        const uint32_t count = loadRelaxed(&a.workspace.rows[first + h].shares);
        uint32_t begin = 0;
        if ((tid & 31) == 0) begin = addShared(&s.select.collected, count);
        begin = shuffle(begin, 0);
        for (uint32_t i = tid & 31; i < count; i += 32) at(begin + i) = loadGlobal(poolOf(a, first + h) + 2 * i) << 32 | h << kPlaceBits | i;
    }
    for (uint32_t i = n + tid; i < size; i += C::kThreads) at(i) = kWorst;
    syncBlock();
    sortAscending<C::kThreads>(size, at);
    if (beginRewrite(a, s, b, n > 0))
        for (uint32_t i = tid; i < n; i += C::kThreads) {
            const uint32_t token = tokenOf(at(i));
            if (i > 0 && tokenOf(at(i - 1)) == token) continue;
            double r = 0;
            for (uint32_t j = i; j < n && tokenOf(at(j)) == token; ++j) {  // in the order of heads
                const uint32_t place = static_cast<uint32_t>(at(j));
                r = addRn(r, doubleOf(loadGlobal(poolOf(a, first + (place >> kPlaceBits)) + 2 * (place & (kMaxHits - 1)) + 1)));
            }
            rewrite(a, b, token, s.lse, divRn(r, static_cast<double>(heads)));
        }
    for (uint32_t h = tid; h < heads; h += C::kThreads) storeRelaxed(&a.workspace.rows[first + h].shares, 0u);
    if (tid == 0) storeRelaxed(&a.workspace.rows[first].headsDone, 0u);
}

// ---- a row ------------------------------------------------------------------------------------------------------------------------------

template <class C>
RTD_DEVICE void mergeRow(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, char* ring, uint32_t row) {
    const uint32_t b = row / a.layout.heads;
    auto* room = reinterpret_cast<uint64_t*>(ring);
    RowState& state = a.workspace.rows[row];
    const uint32_t m = selectHits(a, s, hits, room, row);
    writeHits<C>(a, hits, row, m);
    if (threadIndex() == 0) {
        storeRelaxed(&state.invertedBound, uint64_t{0});
        storeRelaxed(&state.reserved, 0u);
        storeRelaxed(&state.committed, 0u);
        storeRelaxed(&state.partsDone, 0u);
    }
    if (isFused(a, b)) {
        const Votes votes = takeVotes(a, s, hits, reinterpret_cast<double*>(ring), row, m);
        if (a.layout.heads == 1)
            fuseRow(a, s, hits, votes, b);
        else if (leaveVotes(a, s, hits, votes, row))
            fuseHeads(a, s, room, b);
    } else if (row % a.layout.heads == 0 && threadIndex() == 0 && a.logits && a.statuses) {
        a.statuses[b] = kUnchanged;
    }
}

}  // namespace rtd::cuda
