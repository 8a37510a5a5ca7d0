// The scan: tiles of keys through a ring of asynchronous copies, canonical distances in registers, finds to the rows' pools.
//
// A block works on a tile in phases, one for each (head, group of queries), and on a phase in pieces of 512 bytes of each key. The producer side
// (Ahead) runs kStages - 1 pieces before the consumer, across phases, tiles and tickets, so the pipeline never drains before the keys end.
#pragma once
#include "pool.cuh"
#include "sums.cuh"

namespace rtd::cuda {

RTD_DEVICE uint32_t ceilDiv(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

// The tiles of a ticket, and which entries in them are meant.
struct Tiles {
    uint32_t begin, end;
    Run entries;
};

// What is scanned: all runs of a launch, ticket by ticket, or one stretch of entries as the only ticket of one block.
struct ScanShape {
    uint32_t tickets, groups, pieces;
    bool isOwn;
    Run own;

    template <class C>
    static RTD_DEVICE ScanShape of(const SearchFuseArgs& a, bool isOwn, Run own) {
        ScanShape shape = {isOwn ? 1u : 0u, ceilDiv(a.batch, C::kQueries), ceilDiv(a.layout.headBytes, kPieceBytes), isOwn, own};
        for (uint32_t r = 0; !isOwn && r < a.runCount; ++r) shape.tickets += ticketsOf<C>(a, a.runs[r]);
        return shape;
    }
    template <class C>
    static RTD_DEVICE uint32_t tilesOf(Run run) {
        return ceilDiv(run.end, C::kTileKeys) - run.begin / C::kTileKeys;
    }
    template <class C>
    static RTD_DEVICE uint32_t ticketsOf(const SearchFuseArgs& a, Run run) {
        return ceilDiv(tilesOf<C>(run), a.tilesPerTicket);
    }
    template <class C>
    RTD_DEVICE Tiles tilesAt(const SearchFuseArgs& a, uint32_t ticket) const {
        uint32_t r = 0;
        for (; !isOwn && ticket >= ticketsOf<C>(a, a.runs[r]); ++r) ticket -= ticketsOf<C>(a, a.runs[r]);
        const Run run = isOwn ? own : a.runs[r];
        const uint32_t first = run.begin / C::kTileKeys, tiles = tilesOf<C>(run), step = isOwn ? tiles : a.tilesPerTicket;
        const uint32_t begin = ticket * step, end = begin + step < tiles ? begin + step : tiles;
        return {first + begin, first + end, run};
    }
};

// ---- producer ---------------------------------------------------------------------------------------------------------------------------

// The piece that was copied last. At first: as if a ticket before the block's first had just ended.
struct Ahead {
    uint32_t head, group, begin;  // of the piece in a head's slice, in bytes
    uint32_t tile = 0, endTile = 1;
    uint32_t ticket = 0, sequence = ~0u;  // number of the ticket in this block
    uint32_t stage = 0;
    const char* keys = nullptr;  // of this phase: the layout's tile and head
    uint64_t query = 0;          // of this phase: this thread's first element
};

// To the next piece, if there is one; a barrier lies between any two calls. Most return at the second line.
template <class C>
RTD_DEVICE bool advance(const SearchFuseArgs& a, Shared<C>& s, const ScanShape& shape, Ahead& at, uint32_t ticketOffset) {
    if (at.ticket >= shape.tickets) return false;
    if ((at.begin += kPieceBytes) < a.layout.headBytes) return true;
    at.begin = 0;
    if (++at.group == shape.groups) {
        at.group = 0;
        if (++at.head == a.layout.heads) {
            at.head = 0;
            if (++at.tile == at.endTile) {
                at.ticket = s.tickets[++at.sequence & 7];
                if (at.ticket >= shape.tickets) return false;
                if (threadIndex() == 0)  // the next ticket is taken one ticket ahead, so that a barrier lies before its use
                    s.tickets[(at.sequence + 1) & 7] = shape.isOwn ? 1u : addRelaxed(&a.workspace.control->ticket, 1u) - ticketOffset;
                const Tiles tiles = shape.tilesAt<C>(a, at.ticket);
                at.tile = tiles.begin;
                at.endTile = tiles.end;
            }
        }
    }
    const size_t slices = static_cast<size_t>(at.tile * C::kTileKeys / kLayoutKeys) * a.layout.heads + at.head;
    at.keys = static_cast<const char*>(a.keys) + slices * kLayoutKeys * a.layout.headBytes;
    at.query = (at.group * C::kQueries + threadIndex() / C::kChunks) * a.queryStride + static_cast<uint64_t>(at.head) * a.headDim +
               threadIndex() % C::kChunks * 4;
    return true;
}

template <class C>
RTD_DEVICE void copyKeys(const SearchFuseArgs& a, Stage<C>& stage, const Ahead& at) {
    const uint32_t warp = threadIndex() / 32, to = (threadIndex() & 31) * 16, first = at.tile * C::kTileKeys;
    const uint32_t rest = a.layout.headBytes - at.begin, width = rest < kPieceBytes ? rest : kPieceBytes;
    const bool isWithin = to < width;
    const char* from = at.keys + static_cast<size_t>(kLayoutKeys) * at.begin + (first % kLayoutKeys + warp) * width + (isWithin ? to : 0);
#pragma unroll
    for (uint32_t i = 0; i < C::kTileKeys / C::kWarps; ++i) {  // a warp copies a piece of one key at a time
        const uint32_t key = i * C::kWarps + warp;
        copyAsync16(reinterpret_cast<char*>(stage.keys[key]) + to, from + i * C::kWarps * width, isWithin && first + key < a.entries);
    }
}

template <class C, bool kAreAligned>
RTD_DEVICE void copyQueries(const SearchFuseArgs& a, Stage<C>& stage, const Ahead& at) {
    constexpr uint32_t kEach = C::kThreads / C::kChunks;  // queries that the block copies at a time
    const uint32_t to = threadIndex() % C::kChunks * 4, begin = at.begin / sizeof(typename C::Key), element = begin + to;
#pragma unroll
    for (uint32_t i = 0; i < C::kQueries; i += kEach) {
        const uint32_t query = i + threadIndex() / C::kChunks, b = at.group * C::kQueries + query;
        if (C::kQueries % kEach != 0 && query >= C::kQueries) break;
        const uint64_t from = at.query + begin + i * a.queryStride;
        if constexpr (kAreAligned) {
            const bool isValid = b < a.batch && element < a.headDim;
            copyAsync16(&stage.queries[query][to], static_cast<const float*>(a.queries) + (isValid ? from : 0), isValid);
        } else {
            float v[4];
#pragma unroll
            for (uint32_t c = 0; c < 4; ++c) v[c] = b < a.batch && element + c < a.headDim ? loadQuery(a, from + c) : 0.0f;
            store4(&stage.queries[query][to], v);
        }
    }
}

// Issues the copies of the next piece. Always closes a group of copies, so that the consumer's count is right.
template <class C, bool kAreAligned>
RTD_DEVICE void produce(const SearchFuseArgs& a, Shared<C>& s, Stage<C>* ring, const ScanShape& shape, Ahead& at, uint32_t ticketOffset) {
    if (advance(a, s, shape, at, ticketOffset)) {
        copyKeys(a, ring[at.stage], at);
        copyQueries<C, kAreAligned>(a, ring[at.stage], at);
    }
    at.stage = at.stage + 1 == C::kStages ? 0 : at.stage + 1;
    copyCommit();
}

// ---- consumer ---------------------------------------------------------------------------------------------------------------------------

template <bool kIsDot>
RTD_DEVICE void addTerm(float& sum, float y, float x) {
    if constexpr (kIsDot) {
        sum = fmaRn(y, x, sum);
    } else {
        const float difference = subRn(y, x);
        sum = fmaRn(difference, difference, sum);
    }
}

// One piece of every (query, key) pair of this warp: 2 rounded operations an element and query.
template <class C>
RTD_DEVICE void accumulate(const Stage<C>& stage, uint32_t warpQuery, uint32_t warpKey, float (&sum)[C::kWarpQueries * C::kWarpKeys][4]) {
    const uint32_t lane = threadIndex() & 31;
#pragma unroll
    for (uint32_t part = 0; part < C::kPiece; part += kPartials) {
        float x[C::kWarpKeys][4];
#pragma unroll
        for (uint32_t r = 0; r < C::kWarpKeys; ++r) load4(x[r], &stage.keys[warpKey + r][part + 4 * lane]);
#pragma unroll
        for (uint32_t q = 0; q < C::kWarpQueries; ++q) {
            float y[4];
            load4(y, &stage.queries[warpQuery + q][part + 4 * lane]);
#pragma unroll
            for (uint32_t r = 0; r < C::kWarpKeys; ++r)
#pragma unroll
                for (uint32_t c = 0; c < 4; ++c) addTerm<C::kIsDot>(sum[q * C::kWarpKeys + r][c], y[c], x[r][c]);
        }
    }
}

// May this entry be a hit of query b, whatever its distance?
RTD_DEVICE bool isWanted(const SearchFuseArgs& a, uint32_t b, uint32_t id) {
    const RowOptions& row = a.rows[b];
    if (a.removed && a.removed[id / 32] >> id % 32 & 1) return false;
    if (row.namespaces == kAnyNamespace) return true;
    const uint32_t* accepted = a.rowNamespaces + b * kMaxNamespaces;
    const uint32_t space = a.namespaces ? a.namespaces[id] : 0;
    const uint32_t at = leading(row.namespaces, [&](uint32_t i) { return accepted[i] < space; });
    return at < row.namespaces && accepted[at] == space;
}

// May it with this distance? Asked only of keys below the bound.
RTD_DEVICE bool accepts(const SearchFuseArgs& a, uint32_t b, uint64_t entry) {
    return distanceOf(entry, a.isRoot) <= a.rows[b].maxDistance && isWanted(a, b, idOf(entry));
}

template <class C>
RTD_DEVICE void refreshBounds(const SearchFuseArgs& a, Shared<C>& s, uint32_t group, uint32_t head) {
    if (threadIndex() >= C::kQueries) return;
    const uint32_t b = group * C::kQueries + threadIndex();
    s.bound[threadIndex()] = b < a.batch && a.rows[b].k > 0 ? ~loadRelaxed(&a.workspace.rows[rowOf<C>(a, group, threadIndex(), head)].invertedBound)
                                                            : 0;  // any old one is valid
}

// All pieces of a phase. Apart for queries that copies can take as they are, whose loop then holds nothing that seldom runs.
template <class C, bool kAreAligned>
RTD_DEVICE void accumulatePhase(const SearchFuseArgs& a, Shared<C>& s, Stage<C>* ring, const ScanShape& shape, Ahead& ahead, uint32_t ticketOffset,
                                uint32_t warpQuery, uint32_t warpKey, float (&sum)[C::kWarpQueries * C::kWarpKeys][4]) {
#pragma unroll 1
    for (uint32_t piece = 0; piece < shape.pieces; ++piece) {
        copyWait<C::kStages - 2>();
        syncBlock();  // this piece has landed, and everybody is done with the one before, whose stage is the next to be filled
        produce<C, kAreAligned>(a, s, ring, shape, ahead, ticketOffset);
        accumulate<C>(ring[ahead.stage], warpQuery, warpKey, sum);
    }
}

// ticketOffset: of the launch's tickets, those that come before the scan's.
template <class C>
RTD_DEVICE void scanKeys(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, Stage<C>* ring, const ScanShape& shape, uint32_t firstTicket,
                         uint32_t ticketOffset) {
    constexpr uint32_t kSums = C::kWarpQueries * C::kWarpKeys, kLanesEach = 32 / kSums;
    const uint32_t tid = threadIndex(), warp = tid / 32, lane = tid & 31;
    const uint32_t warpQuery = warp / C::kKeyWarps * C::kWarpQueries, warpKey = warp % C::kKeyWarps * C::kWarpKeys;

    Ahead ahead;
    ahead.head = a.layout.heads - 1;
    ahead.group = shape.groups - 1;
    ahead.begin = a.layout.headBytes;
    if (tid == 0) s.tickets[0] = firstTicket;
    refreshBounds(a, s, 0, 0);
#pragma unroll 1
    for (uint32_t i = 0; i < C::kStages - 1; ++i) {
        syncBlock();
        if (a.queriesAreAligned)
            produce<C, true>(a, s, ring, shape, ahead, ticketOffset);
        else
            produce<C, false>(a, s, ring, shape, ahead, ticketOffset);
    }

    for (uint32_t sequence = 0;; ++sequence) {
        const uint32_t ticket = s.tickets[sequence & 7];
        if (ticket >= shape.tickets) break;
        const Tiles tiles = shape.tilesAt<C>(a, ticket);
        uint32_t head = 0, group = 0;
        for (uint32_t tile = tiles.begin; tile < tiles.end;) {
            float sum[kSums][4] = {};
            if (a.queriesAreAligned)
                accumulatePhase<C, true>(a, s, ring, shape, ahead, ticketOffset, warpQuery, warpKey, sum);
            else
                accumulatePhase<C, false>(a, s, ring, shape, ahead, ticketOffset, warpQuery, warpKey, sum);
            const float value = orderedValue(treeOfFours<static_cast<int>(kSums)>(sum, lane), C::kIsDot);
            const uint32_t pair = lane / kLanesEach, q = warpQuery + pair / C::kWarpKeys;
            const uint32_t id = tile * C::kTileKeys + warpKey + pair % C::kWarpKeys;
            const uint64_t entry = orderKey(value, id);
            const bool isMeant = id - tiles.entries.begin < tiles.entries.end - tiles.entries.begin;
            if (lane % kLanesEach == 0 && isMeant && entry < s.bound[q] && accepts(a, group * C::kQueries + q, entry)) {
                s.offers[q][addShared(&s.offerCount[q], 1)] = entry;
                addShared(&s.offered, 1);
            }
            syncBlock();
            if (s.offered) appendOffers(a, s, hits, group, head);
            if (++group == shape.groups) {
                group = 0;
                if (++head == a.layout.heads) head = 0, ++tile;
            }
            refreshBounds(a, s, group, head);
        }
    }
}

}  // namespace rtd::cuda
