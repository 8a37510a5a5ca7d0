// search_fuse: the exact k nearest keys of every query, their vote, and its merge with the model's logits, in ONE launch.
//
// Data flow. Work is handed out in tickets by one global counter: queries through the index's transform, where it has one; the rows' seeds, where there
// are any; the logits' log-sum-exp in pieces; queries as cascades take them, where there are cascades; shares of the keys that have one; and tiles of
// those that have none.
//
//   logits --(a warp for 1024)--> (max, sum) pieces ----------------------------------------------------------.
//   keys ----ring of async copies--> shared --4 partial sums a lane--> tree of shuffles --< bound?--> offers   |
//   queries -(images)-+                                                 ^              ^                |      |
//                     '-> projections, grids --.                        |              '--- bound[row]  |      |
//   codes of keys -----------------------------'--> lower bounds --> queue, nearest first    ^          |      |
//                                                            radix select <-- pool[row] <--- append ----'      v
//                                                                                '------------------> merge, vote, rewrite
//
//   0 transform.cuh Queries become their images under the transform, a warp a dimension. Whoever reads queries (1 to 4) waits for all of them.
//   1 seeds.cuh     Entries expected among the nearest give their row a bound before it is scanned for.
//   2 prepare.cuh   Queries are projected on a cascade's directions and, once all projections are there, rounded to its grids. Shares wait for that.
//   3 sift.cuh      A block takes a share of keys and lower bounds of all their distances: of level 1 by sums of four products a lane (dp4a), or of
//                   level 3 for 16 or 64 queries at once on the tensor cores (tensor.cuh). What may be nearer than the bound waits in a queue, is asked
//                   about by levels 2 and 3 (levels.cuh), sorted, and measured (gather.cuh). Where that rules too little out, a block scans.
//   4 scan.cuh      A block streams a tile of keys for kQueries queries at a time, 512 bytes of each key a stage. Lane l of a warp owns the partial
//                   sums 4l .. 4l + 3 of the canonical distance: its 16 (or 8) bytes of every 128 elements.
//   5 pool.cuh      A key nearer than the row's bound goes to the row's pool. Who fills the pool cuts it to the k smallest, which tightens the bound.
//                   Bounds only ever tighten, so an old one is merely slower, never wrong.
//   6 merge.cuh     The last blocks to finish share the rows: select, sort, vote, rewrite, and leave the workspace all zero for the next launch.
//                   Of few rows with many finds each (a small datastore has no bound before it ends) several blocks first cut parts of the pool.
//   select.cuh, sums.cuh, logits.cuh    what these are made of; canonical.h has the arithmetic, which C++ and CUDA share bit for bit.
//
// Waiting. There is no grid barrier and no memset. A block waits only for blocks that are running: for tickets before its own, which have been taken
// (seeds, projections and keys for the images; grids for the projections; shares for the grids), for a cut in progress, or at the end, once all blocks
// of the grid have started, for the last to arrive. Any number of resident blocks is enough, and any grid gives the same bits.
//
// Cost of a scan. Device memory: N rows of keys (padded to 16 bytes a head) and B V logits, each once. L2: the queries again for every tile (kQueries /
// kTileKeys of the key bytes), and the keys again for every further group of kQueries queries; where the tiles under way (blocks x kTileKeys keys)
// do not fit in L2, as from d = 8192 in float32 on an H100, these come from device memory again. Arithmetic: 2 instructions an element and query
// (dot: 1), and a tree of 6 shuffles a sum. With s bytes an element, R bytes/s and F fp32 instructions/s the scan takes
//
//     max(N d s / R, 2 N d B / (u F))      u: the share of issue slots that are arithmetic
//
// At 16 queries 256 of the scan loop's 494 instructions are (sm_90, f32, l2), so u is at least 0.5; what begins a phase or takes a ticket, some 150 of
// them, is in the loop but seldom runs. There come the launch and one merge (10 to 20 us). Cuts: about log_{P/k}(N/P) a row when keys come in no special order,
// N / (P - k) at worst.
//
// Cost of a transform. Its matrix once, 4 bytes a number, from device memory (from L2 where it fits and launches follow one another) and 2 instructions
// a number and query; seeds, projections, shares and tiles begin when it is done, the logits' pieces do not wait. A launch without one has no such
// tickets.
//
// Cost of a cascade. 34 bytes a key, 128 of those that level 1 leaves, d + 12 of those that level 2 leaves, and the rows of a few k; or, from 8
// queries on, d + 12 bytes a key for up to 64 queries together and 4 d N B operations of 8-bit integers. Where it is useless the loss is the lower bounds
// of a block's first range, an eighth of what it takes at a time later, and those of its keys that were measured one by one.
//
// All of this is a model: no GPU has run this kernel yet.
#pragma once
#include "merge.cuh"
#include "scan.cuh"
#include "seeds.cuh"
#include "sift.cuh"
#include "transform.cuh"

namespace rtd::cuda {

template <class C>
RTD_DEVICE Tickets countTickets(const SearchFuseArgs& a) {
    const uint32_t rows = a.batch * a.layout.heads, segments = a.cascade.segmentCount;
    Tickets t;
    t.transforms = transformTickets<C>(a);
    t.seeds = a.seeds ? rows : 0;
    t.lse = a.logits ? ceilDiv(lsePieces(a), C::kWarps) * a.batch : 0;
    t.projects = segments * a.layout.heads * ceilDiv(a.cascade.layout.directions, C::kWarps);
    t.prepares = segments * ceilDiv(rows, C::kWarps);
    t.beforeKeys = t.transforms + t.seeds + t.lse + t.projects + t.prepares;
    t.shares = segments ? a.cascade.shares : 0;
    return t;
}

// The next ticket, which every thread finds in shared memory.
template <class C>
RTD_DEVICE void takeTicket(const SearchFuseArgs& a, Shared<C>& s) {
    syncBlock();
    if (threadIndex() == 0) s.broadcast = addRelaxed(&a.workspace.control->ticket, 1u);
    syncBlock();
}
// Its number among those of shares and the scan.
template <class C>
RTD_DEVICE uint32_t keyTicket(const Shared<C>& s) {
    return s.broadcast - s.counts.beforeKeys;
}

// Waits for the queries as they are searched for, where this launch makes them.
template <class C>
RTD_APART void awaitQueries(const SearchFuseArgs& a, const Shared<C>& s) {
    if (s.counts.transforms == 0) return;
    if (threadIndex() == 0) spinUntil([&] { return loadAcquire(&a.workspace.control->transformed) == s.counts.transforms; });  // by blocks that run
    syncBlock();
}

// What has to be done before keys, up to this block's first ticket of keys.
template <class C>
RTD_DEVICE void beginRows(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits) {
    const Tickets& tickets = s.counts;
    const uint32_t tid = threadIndex(), warp = tid / 32, lane = tid & 31;
    Control& control = *a.workspace.control;
    for (;;) {
        takeTicket(a, s);
        uint32_t ticket = s.broadcast;
        if (ticket < tickets.transforms) {
            transformQueries<C>(a, ticket);
            syncBlock();
            if (tid == 0) addRelease(&control.transformed, 1u);
            continue;
        }
        ticket -= tickets.transforms;
        if (ticket < tickets.seeds) {
            awaitQueries(a, s);  // whose distances it takes
            boundBySeeds(a, s, hits, ticket);
            continue;
        }
        ticket -= tickets.seeds;
        if (ticket < tickets.lse) {
            const uint32_t pieces = lsePieces(a), ticketsPerRow = ceilDiv(pieces, C::kWarps);
            const uint32_t b = ticket / ticketsPerRow, piece = ticket % ticketsPerRow * C::kWarps + warp;
            if (piece < pieces && isFused(a, b)) reduceLogits(a, b, piece, lane);
            continue;
        }
        ticket -= tickets.lse;
        if (ticket < tickets.projects) {
            const uint32_t perHead = ceilDiv(a.cascade.layout.directions, C::kWarps), direction = ticket % perHead * C::kWarps + warp;
            const uint32_t segment = ticket / perHead / a.layout.heads, head = ticket / perHead % a.layout.heads;
            awaitQueries(a, s);  // which it projects
            if (direction < levelsOf(a, segment, head).directions) project(a, segment, head, direction, lane);
            syncBlock();
            if (tid == 0) addRelease(&control.projected, 1u);
            continue;
        }
        ticket -= tickets.projects;
        if (ticket < tickets.prepares) {
            const uint32_t rows = a.batch * a.layout.heads, perSegment = ceilDiv(rows, C::kWarps), row = ticket % perSegment * C::kWarps + warp;
            if (tid == 0) spinUntil([&] { return loadAcquire(&control.projected) == tickets.projects; });  // by blocks that run
            syncBlock();
            if (row < rows && a.rows[row / a.layout.heads].k > 0)
                prepareScales(a, ticket / perSegment, row, prepareGrids(a, ticket / perSegment, row, lane), lane);
            syncBlock();
            if (tid == 0) addRelease(&control.prepared, 1u);
            continue;
        }
        awaitQueries(a, s);  // which keys are measured from
        return;
    }
}

// Keys, until there are none left: shares are sifted until they are all taken or this block gives up, then shares and all the rest are scanned.
template <class C>
RTD_DEVICE void searchKeys(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, char* ring) {
    static_assert(sizeof(Sieve<C>) <= kRingBytes<C>);
    const Tickets& tickets = s.counts;
    beginRows(a, s, hits);
    if (keyTicket(s) < tickets.shares && threadIndex() == 0)  // by blocks that run; a barrier lies before the first look at what they wrote
        spinUntil([&] { return loadAcquire(&a.workspace.control->prepared) == tickets.prepares; });
    while (keyTicket(s) < tickets.shares) {
        siftShare(a, s, hits, *reinterpret_cast<Sieve<C>*>(ring), keyTicket(s));
        if (s.sift.hasGivenUp) break;
        takeTicket(a, s);
    }
    for (;;) {
        const uint32_t ticket = keyTicket(s);
        const bool isShare = ticket < tickets.shares;
        const Run left = {s.sift.share.first + s.sift.share.begin, s.sift.share.first + s.sift.share.end};
        if (!isShare || left.begin < left.end)
            scanKeys(a, s, hits, reinterpret_cast<Stage<C>*>(ring), ScanShape::of<C>(a, isShare, left), isShare ? 0 : ticket - tickets.shares,
                     tickets.beforeKeys + tickets.shares);
        if (!isShare) return;
        takeTicket(a, s);
        if (keyTicket(s) < tickets.shares) beginShare(a, s, keyTicket(s));
    }
}

// Says that all this block had to give is in the pools. Returns whether it takes part in merging: the last blocks do, as many as there is work for,
// but only the very last needs nobody; the others may wait for it once the whole grid has started, else they leave.
RTD_DEVICE bool arrive(const SearchFuseArgs& a, uint32_t mergers) {
    Control& control = *a.workspace.control;
    const uint32_t order = addAcquireRelease(&control.arrived, 1u);
    if (order + 1 == gridSize()) return true;
    if (order + mergers < gridSize() || loadRelaxed(&control.started) != gridSize()) return false;
    spinUntil([&] { return loadAcquire(&control.arrived) == gridSize(); });
    return true;
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, blocksPerSm<C>()) searchFuse(const __grid_constant__ SearchFuseArgs a) {
    Shared<C>& s = *reinterpret_cast<Shared<C>*>(sharedMemory());
    auto* hits = reinterpret_cast<uint64_t*>(sharedMemory() + sizeof(Shared<C>));
    auto* ring = reinterpret_cast<char*>(hits + a.hitRoom);
    const uint32_t tid = threadIndex(), mergeTickets = a.batch * a.layout.heads * a.mergeParts;
    Control& control = *a.workspace.control;

    if (tid == 0) {
        addRelaxed(&control.started, 1u);
        s.offered = s.sift.isTried = s.sift.hasGivenUp = 0;
        s.counts = countTickets<C>(a);
        s.sift.share = {0, 0, 0, 0};
    }
    if (tid < C::kQueries) {
        s.offerCount[tid] = 0;
        s.reservation[tid] = kSettled;
    }

    searchKeys(a, s, hits, ring);

    if (tid == 0) s.broadcast = arrive(a, mergeTickets);  // a barrier lies behind every append
    syncBlock();
    if (s.broadcast) {
        for (;;) {
            syncBlock();
            if (tid == 0) s.broadcast = addRelaxed(&control.merging, 1u);
            syncBlock();
            const uint32_t mergeTicket = s.broadcast, row = mergeTicket / a.mergeParts;
            if (mergeTicket >= mergeTickets) break;
            if (cutPart(a, s, hits, row, mergeTicket % a.mergeParts)) mergeRow(a, s, hits, ring, row);
        }
    }
    if (tid == 0 && addAcquireRelease(&control.left, 1u) + 1 == gridSize()) {  // nobody else looks at the workspace any more
        storeRelaxed(&control.ticket, 0u);
        storeRelaxed(&control.started, 0u);
        storeRelaxed(&control.arrived, 0u);
        storeRelaxed(&control.merging, 0u);
        for (uint32_t b = 0; b < a.batch && s.counts.transforms > 0; ++b) storeRelaxed(&a.workspace.rows[b * a.layout.heads].notFinite, 0u);
        storeRelaxed(&control.transformed, 0u);
        storeRelaxed(&control.projected, 0u);
        storeRelaxed(&control.prepared, 0u);
        storeRelaxed(&control.left, 0u);
    }
}

}  // namespace rtd::cuda
