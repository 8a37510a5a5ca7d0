// The shape of one instantiation: what a warp computes, what a block holds in shared memory.
#pragma once
#include "arguments.h"
#include "primitives.cuh"

namespace rtd::cuda {

template <typename KeyType, bool kDot, int kQueries_, int kWarps_, int kStages_>
struct Config {
    using Key = KeyType;
    static constexpr bool kIsDot = kDot;
    static constexpr uint32_t kQueries = kQueries_;                                   // of one pass over a tile
    static constexpr uint32_t kColumns = kQueries == 1 ? 1 : kQueries < 16 ? 8 : 64;  // queries that the tensor cores take together
    static constexpr uint32_t kWarps = kWarps_, kThreads = 32 * kWarps, kStages = kStages_;
    // A warp's register tile is queries x keys x 4 partial sums a lane.
    static constexpr uint32_t kWarpKeys = 4, kWarpQueries = kQueries < 8 ? kQueries : 8;
    static constexpr uint32_t kQueryWarps = kQueries / kWarpQueries, kKeyWarps = kWarps / kQueryWarps;
    static constexpr uint32_t kTileKeys = kKeyWarps * kWarpKeys;
    static constexpr uint32_t kPiece = kPieceBytes / sizeof(Key);  // elements of a key in one stage
    static constexpr uint32_t kChunks = kPiece / 4;                // of a query in one stage: what a thread copies at a time
    static_assert(kLayoutKeys % kTileKeys == 0 && kTileKeys % kWarps == 0 && kPiece % kPartials == 0 && kThreads % kChunks == 0);
    static_assert(kQueries % kWarpQueries == 0 && kWarps % kQueryWarps == 0 && kStages >= 2 && kStages <= 7);
};

// One step of the copies: a piece of each key of a tile, and the same elements of the queries.
template <class C>
struct alignas(128) Stage {
    typename C::Key keys[C::kTileKeys][C::kPiece];
    float queries[C::kQueries][C::kPiece];
};

struct SelectScratch {
    uint64_t lowest, highest;
    uint32_t histogram[256];
    uint32_t digit, below, inDigit, collected;
};

// How many tickets of each kind a launch has, in the order in which they are given out. Tiles to scan come after all of these, uncounted.
struct Tickets {
    uint32_t transforms;  // kWarps dimensions of all queries each, or kThreads
    uint32_t seeds;       // a row each
    uint32_t lse;         // kWarps pieces of a row's log-sum-exp each
    uint32_t projects;    // kWarps directions each, of a head of a segment
    uint32_t prepares;    // kWarps rows each, of a segment
    uint32_t beforeKeys;  // no kind: the sum of those above, and so the first ticket of keys
    uint32_t shares;      // keys of a segment each
};

// Keys of a ticket that are not sifted yet.
struct Share {
    uint32_t segment, first;  // the segment's first entry
    uint32_t begin, end;      // places of keys in it
};

// What is sifted at once: keys [place, place + count) of a segment for columns of one head's queries.
struct Range {
    uint32_t segment, head, firstQuery, columns, place, count;
    uint32_t stride;  // of scores
};

// Of queries while a cascade's keys are sifted.
template <uint32_t kColumns>
struct alignas(16) SiftScratch {
    uint64_t codes1[2][kCodes1 / 8], middleCodes[kMiddleWords];  // of the one query that is sifted by these levels
    QueryGrids grids;                                            // of the same
    QueryScales scales[kColumns];
    Share share;
    Range range;
    float limit[kColumns];             // of true distances: what lies beyond is no hit
    uint32_t nearest[kColumns];        // the smallest score
    uint32_t queued[2 + kMaxMiddles];  // at first, and by each level
    uint32_t isOpen;                   // a column has no limit yet
    uint32_t measured, considered;     // pairs of a key and a query
    uint32_t isTried, hasGivenUp;      // of this block
};

constexpr uint64_t kWorst = ~uint64_t{0};   // above every order key
constexpr uint32_t kSettled = 0xffffffffu;  // no append waits

template <class C>
struct alignas(128) Shared {
    uint64_t bound[C::kQueries];                 // of this phase's rows, as last seen; 0 for rows that want nothing
    uint64_t offers[C::kQueries][C::kTileKeys];  // what was found below it
    uint32_t offerCount[C::kQueries], offered;
    uint32_t reservation[C::kQueries];  // where an append that did not fit would have begun
    uint32_t tickets[8];                // this block's tickets of tiles, by sequence number
    Tickets counts;
    uint32_t broadcast;
    uint32_t isMergeable;
    double lse, total;
    SelectScratch select;
    SiftScratch<C::kColumns> sift;
};

// After Shared come hits [hitRoom], then the ring of stages, which the merge uses for other things.
template <class C>
constexpr uint32_t kRingBytes = static_cast<uint32_t>(sizeof(Stage<C>)) * C::kStages;
template <class C>
constexpr size_t sharedBytes(uint32_t hitRoom) {
    const size_t votes = 2 * sizeof(double) * size_t{hitRoom};
    return sizeof(Shared<C>) + sizeof(uint64_t) * size_t{hitRoom} + (kRingBytes<C> > votes ? kRingBytes<C> : votes);
}

// Blocks an SM that the compiler leaves registers for: two of a single query a pass, at 128 registers a thread, else one. An SM of sm_120 and
// sm_121 has 100 KB of shared memory, 1 KB of it reserved for each block: where a second block does not fit, whatever k is, a bound of 128
// registers would buy nothing, and there it costs spills. On sm_75 and sm_86 to sm_89 no second block fits either, but the bound costs none.
template <class C>
constexpr uint32_t blocksPerSm() {
    constexpr uint32_t kBlocks = C::kQueries == 1 ? 2 : 1;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
    if (kBlocks * (sharedBytes<C>(0) + 1024) > 100 * 1024) return 1;
#endif
    return kBlocks;
}

}  // namespace rtd::cuda
