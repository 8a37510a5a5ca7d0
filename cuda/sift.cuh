// Shares of keys sifted by a cascade: lower bounds of all of them, then canonical distances of those that may still be among the nearest, in
// ascending order of their bounds.
//
// A share is sifted a range of keys at a time, by level 1 for one query after another, or by level 3 on the tensor cores for many together. Scores are
// lower bounds of true distances, and a key whose score is beyond its row's limit (core/bounds.h) is done with. Of the others a queue is filled, first
// with those close to the nearest score as long as the row has no bound; levels 2 and 3 shorten it where they have not spoken yet; it is sorted,
// and distances are taken a tile at a time, between which the bound, and so the limit, is looked at again.
//
// Where that does not help, as when all keys are equal, a block has had to measure a good part of its first range, which is short, and scans from
// there on.
#pragma once
#include "gather.cuh"
#include "tensor.cuh"

namespace rtd::cuda {

constexpr uint32_t kUnknown = 0x80000000u;  // a score: no bound is known, the key must be looked at
constexpr uint32_t kTaken = 0xffffffffu;    // a score: the key is done with, or is none
constexpr uint32_t kRounds = 2;             // in which a row without a bound takes only some keys: up to 9/8 and 3/2 of the nearest score
constexpr uint32_t kFirstShare = 8;         // the first range is so much shorter than others

template <class C>
constexpr uint32_t kScores = 16 * C::kWarps*(C::kColumns < 32 ? 32 : C::kColumns);
template <class C>
constexpr uint32_t kQueue = 64 * C::kWarps;

// What may still be among the nearest, before a level and behind it.
template <class C>
struct Queues {
    uint64_t entries[2][kQueue<C>];   // lower bound, column, key
    float withoutRest[2][kQueue<C>];  // of Known, once level 2 has spoken
};

// In place of the ring.
template <class C>
struct alignas(128) Sieve {
    uint32_t scores[kScores<C>];  // [columns, keys of a range]
    union {
        Queues<C> queues;
        CodeStage<C::kColumns> stages[2];  // while there are no scores yet
    };
};

// ---- limits -------------------------------------------------------------------------------------------------------------------------------

// A key of the segment at a true distance beyond it is no hit of query b, whose bound is given; negative: the query wants nothing.
template <class C>
RTD_APART float limitOf(const SearchFuseArgs& a, const Range& range, const QueryScales& q, uint32_t b, uint64_t bound) {
    if (bound == 0) return -1.0f;
    if (!q.isBounded) return positiveInfinity();
    const float most = a.rows[b].maxDistance, gate = a.isRoot && most > 0 ? most * most * 1.000001f : most;
    const float nearest = bound == kWorst ? positiveInfinity() : valueOf(bound), value = gate < nearest ? gate : nearest;
    const double length = doubleOf(static_cast<uint64_t>(q.lengthBits[1]) << 32 | q.lengthBits[0]);
    const DistanceBounds distances(C::kIsDot ? Metric::dot : Metric::l2, a.headDim, length, levelsOf(a, range.segment, range.head).largestKey);
    return roundedUp(distances.radius(value));
}

// Sets the limit of a column and returns its query's bound.
template <class C>
RTD_DEVICE uint64_t refreshLimit(const SearchFuseArgs& a, Shared<C>& s, const Range& range, uint32_t column) {
    const uint32_t b = range.firstQuery + column;
    const uint64_t bound =
        b < a.batch && a.rows[b].k > 0 ? ~loadRelaxed(&a.workspace.rows[b * a.layout.heads + range.head].invertedBound) : 0;  // any old one is valid
    s.sift.limit[column] = limitOf<C>(a, range, s.sift.scales[column], b, bound);
    return bound;
}

// Limits and bounds of some columns, all of one group of queries.
template <class C>
RTD_DEVICE void refreshGroup(const SearchFuseArgs& a, Shared<C>& s, const Range& range, uint32_t firstColumn, uint32_t columns) {
    if (threadIndex() >= columns) return;
    const uint32_t column = firstColumn + threadIndex();
    s.bound[(range.firstQuery + column) % C::kQueries] = refreshLimit(a, s, range, column);
}

// ---- scores -------------------------------------------------------------------------------------------------------------------------------

// An object of 4-byte words from the workspace to shared memory, by as many threads.
template <typename T>
RTD_DEVICE void loadWords(T& to, const T& from, uint32_t word) {
    reinterpret_cast<uint32_t*>(&to)[word] = loadGlobal(reinterpret_cast<const uint32_t*>(&from) + word);
}
template <typename T>
constexpr uint32_t kWords = sizeof(T) / sizeof(uint32_t);

// Scales of the columns' queries.
template <class C>
RTD_DEVICE void loadScales(const SearchFuseArgs& a, Shared<C>& s, const Range& range) {
    for (uint32_t i = threadIndex(); i < range.columns * kWords<QueryScales>; i += C::kThreads) {
        const uint32_t column = i / kWords<QueryScales>, b = range.firstQuery + column;
        if (b < a.batch && a.rows[b].k > 0)
            loadWords(s.sift.scales[column], preparedOf(a, range.segment, b * a.layout.heads + range.head).scales, i % kWords<QueryScales>);
        else if (i % kWords<QueryScales> == 0)
            s.sift.scales[column].isBounded = 0;
    }
}

// One column by level 1.
template <class C>
RTD_DEVICE void scoreByLevel1(const SearchFuseArgs& a, Shared<C>& s, Sieve<C>& sieve, const Range& range) {
    const uint32_t tid = threadIndex(), lane = tid & 31;
    const LevelLayout& shape = a.cascade.layout;
    const bool isBounded = s.sift.scales[0].isBounded;
    if (isBounded) {
        constexpr uint32_t kWords1 = 2 * kCodes1 / 8;
        const PreparedQuery& from = preparedOf(a, range.segment, range.firstQuery * a.layout.heads + range.head);
        const CascadeLevels& levels = levelsOf(a, range.segment, range.head);
        if (tid < kWords<QueryGrid1> + levels.middleCount * kWords<MiddleGrid>) loadWords(s.sift.grids, from.grids, tid);
        for (uint32_t i = tid; i < kWords1; i += C::kThreads) *(&s.sift.codes1[0][0] + i) = loadGlobal(&from.codes1[0][0] + i);  // both halves
        for (uint32_t middle = 0; middle < levels.middleCount; ++middle)
            for (uint32_t i = tid; i < 2 * levels.middles[middle].rowBytes / 8; i += C::kThreads)
                s.sift.middleCodes[middleWordsBefore(middle) + i] = loadGlobal(from.middleCodes + middleWordsBefore(middle) + i);
    }
    syncBlock();
    const uint8_t* blocks = levelsOf(a, range.segment, range.head).level1 + static_cast<size_t>(range.place / kLevelKeys) * shape.blockBytes1();
    for (uint32_t first = tid - lane; first < range.count; first += C::kThreads) {
        const float lower = isBounded ? lowerBound1(shape, blocks + static_cast<size_t>(first / kLevelKeys) * shape.blockBytes1(), s.sift.codes1,
                                                    s.sift.grids.one, lane)
                                      : 0.0f;
        sieve.scores[first + lane] = first + lane >= range.count ? kTaken : lower < 0 ? kUnknown : bitsOf(lower);
    }
}

// The smallest score of each column; a barrier must lie before and behind it.
template <class C>
RTD_DEVICE void findNearest(Shared<C>& s, const Sieve<C>& sieve, const Range& range) {
    const uint32_t warp = threadIndex() / 32, lane = threadIndex() & 31, chunks = ceilDiv(range.count, 32);
#pragma unroll 1
    for (uint32_t i = warp; i < range.columns * chunks; i += C::kWarps) {
        const uint32_t column = i / chunks, key = i % chunks * 32 + lane;
        uint32_t score = key < range.count ? sieve.scores[column * range.stride + key] : kTaken;
#pragma unroll
        for (int step = 16; step > 0; step >>= 1) {
            const uint32_t other = shuffleXor(score, step);
            score = other < score ? other : score;
        }
        if (lane == 0) minShared(&s.sift.nearest[column], score);
    }
}

// ---- the queue ----------------------------------------------------------------------------------------------------------------------------

constexpr uint32_t kColumnShift = 20;
RTD_DEVICE uint64_t queueEntry(float lower, uint32_t column, uint32_t key) {
    return static_cast<uint64_t>(bitsOf(lower)) << 32 | column << kColumnShift | key;
}
RTD_DEVICE float lowerOf(uint64_t entry) { return floatOf(static_cast<uint32_t>(entry >> 32)); }
RTD_DEVICE uint32_t columnOf(uint64_t entry) { return static_cast<uint32_t>(entry) >> kColumnShift; }
RTD_DEVICE uint32_t keyOf(uint64_t entry) { return static_cast<uint32_t>(entry) & ((1u << kColumnShift) - 1); }

// Whether a key's turn has come.
template <class C>
RTD_DEVICE bool isLikely(const Shared<C>& s, uint32_t column, uint32_t score, uint32_t round) {
    const float limit = s.sift.limit[column];
    if (score == kTaken || limit < 0) return false;
    if (score == kUnknown) return round == kRounds;
    const float lower = floatOf(score);
    if (!(lower <= limit)) return false;
    return limit < positiveInfinity() || round == kRounds || lower <= mulRn(floatOf(s.sift.nearest[column]), round == 0 ? 1.125f : 1.5f);
}

// Puts into the queue what has its turn, as far as there is room; s.sift.queued[0] counts also what found none.
template <class C>
RTD_DEVICE void fillQueue(const SearchFuseArgs& a, Shared<C>& s, Sieve<C>& sieve, const Range& range, uint32_t firstColumn, uint32_t columns,
                          uint32_t round) {
    const uint32_t first = a.cascade.segments[range.segment].first + range.place;
#pragma unroll 1
    for (uint32_t i = threadIndex(); i < columns * range.count; i += C::kThreads) {
        const uint32_t column = firstColumn + i / range.count, key = i % range.count;
        uint32_t& score = sieve.scores[column * range.stride + key];
        if (!isLikely(s, column, score, round)) continue;
        if (isWanted(a, range.firstQuery + column, first + key)) {
            const uint32_t at = addShared(&s.sift.queued[0], 1);
            if (at >= kQueue<C>) continue;
            sieve.queues.entries[0][at] = queueEntry(score == kUnknown ? 0.0f : floatOf(score), column, key);
            sieve.queues.withoutRest[0][at] = 0;
        }
        score = kTaken;
    }
}

// Copies what a level does not rule out from one of the queues to the other, with the better of both bounds. lowerBoundOf(entry, what is known before):
// by eight lanes.
template <class C, typename LowerBoundOf>
RTD_DEVICE uint32_t siftQueue(Shared<C>& s, Sieve<C>& sieve, uint32_t at, uint32_t count, uint32_t* counter, LowerBoundOf lowerBoundOf) {
    const uint64_t* from = sieve.queues.entries[at];
    const uint32_t warp = threadIndex() / 32, lane = threadIndex() & 31;
#pragma unroll 1
    for (uint32_t first = 4 * warp; first < count; first += 4 * C::kWarps) {
        const uint32_t i = first + lane / 8;
        const uint64_t entry = from[i < count ? i : first];
        const Known before = {lowerOf(entry), sieve.queues.withoutRest[at][i < count ? i : first]}, now = lowerBoundOf(entry, before);
        const float lower = now.lower > before.lower ? now.lower : before.lower;
        if (i < count && lane % 8 == 0 && lower <= s.sift.limit[columnOf(entry)]) {
            const uint32_t to = addShared(counter, 1);
            sieve.queues.entries[1 - at][to] = queueEntry(lower, columnOf(entry), keyOf(entry));
            sieve.queues.withoutRest[1 - at][to] = now.withoutRest;
        }
    }
    syncBlock();
    return *counter;
}

// ---- distances ----------------------------------------------------------------------------------------------------------------------------

// Canonical distances of the queue's entries, a tile at a time, as far as their bounds still allow.
template <class C>
RTD_DEVICE void measure(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, uint64_t* queue, uint32_t count, const Range& range,
                        uint32_t firstColumn, uint32_t columns) {
    const uint32_t tid = threadIndex(), warp = tid / 32, lane = tid & 31, firstId = a.cascade.segments[range.segment].first + range.place;
    if (count > C::kTileKeys) {
        const uint32_t size = powerOfTwoAtLeast(count);
        for (uint32_t i = count + tid; i < size; i += C::kThreads) queue[i] = kWorst;
        syncBlock();
        sortAscending<C::kThreads>(size, [&](uint32_t i) -> uint64_t& { return queue[i]; });
    }
#pragma unroll 1
    for (uint32_t first = 0; first == 0 || first < count; first += C::kTileKeys) {  // also of none: behind its barriers everybody has seen that
        if (warp < C::kKeyWarps) {
            const uint32_t at = first + 4 * warp + lane / 8;  // this lane's pair
            const uint64_t entry = at < count ? queue[at] : kWorst;
            const bool isValid = at < count && lowerOf(entry) <= s.sift.limit[columnOf(entry)];
            const uint32_t valid = ballot(isValid);
            if (valid != 0) {
                const uint32_t b = isValid ? range.firstQuery + columnOf(entry) : 0, id = isValid ? firstId + keyOf(entry) : a.entries;
                FourPairs pairs;
#pragma unroll
                for (uint32_t r = 0; r < 4; ++r) {
                    pairs.queries[r] = shuffle(b, 8 * r) * a.queryStride + static_cast<uint64_t>(range.head) * a.headDim;
                    pairs.ids[r] = shuffle(id, 8 * r);
                }
                const uint64_t found = orderKey(valueOfFour<C>(a, pairs, range.head, lane), id);
                const uint32_t q = b % C::kQueries;
                if (lane % 8 == 0 && isValid && found < s.bound[q] && accepts(a, b, found)) {
                    s.offers[q][addShared(&s.offerCount[q], 1)] = found;
                    addShared(&s.offered, 1);
                }
                if (lane % 8 == 0 && isValid) addShared(&s.sift.measured, 1);
            }
        }
        syncBlock();
        if (s.offered) appendOffers(a, s, hits, (range.firstQuery + firstColumn) / C::kQueries, range.head);
        refreshGroup(a, s, range, firstColumn, columns);
        syncBlock();
    }
}

// All keys of a range for some columns, whose limits are known.
template <class C>
RTD_DEVICE void siftColumns(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, Sieve<C>& sieve, const Range& range, uint32_t firstColumn,
                            uint32_t columns) {
    const LevelLayout& shape = a.cascade.layout;
    const CascadeLevels& levels = levelsOf(a, range.segment, range.head);
    const uint32_t lane = threadIndex() & 31;
    refreshGroup(a, s, range, firstColumn, columns);
    for (uint32_t round = 0;;) {
        if (threadIndex() < 2 + kMaxMiddles) s.sift.queued[threadIndex()] = 0;
        syncBlock();
        fillQueue(a, s, sieve, range, firstColumn, columns, round);
        syncBlock();
        const uint32_t queued = s.sift.queued[0];
        uint32_t count = queued < kQueue<C> ? queued : kQueue<C>, at = 0;
        if (!a.cascade.usesTensors && s.sift.scales[0].isBounded) {
            const QueryScales& q = s.sift.scales[0];
            for (uint32_t middle = 0; middle < levels.middleCount && count > 0; ++middle) {
                const MiddleLevel& level = levels.middles[middle];
                count = siftQueue(s, sieve, at, count, &s.sift.queued[1 + middle], [&](uint64_t entry, Known before) {
                    return lowerBoundMiddle(level, middle, level.rows + static_cast<size_t>(range.place + keyOf(entry)) * level.rowBytes,
                                            s.sift.middleCodes + middleWordsBefore(middle), s.sift.grids, before, lane);
                });
                at = 1 - at;
            }
            if (shape.hasLevel3 && count > 0) {
                count = siftQueue(s, sieve, at, count, &s.sift.queued[1 + kMaxMiddles], [&](uint64_t entry, Known) {
                    const uint32_t place = range.place + keyOf(entry);
                    return Known{
                        lowerBound3(a, tileOf3(shape, levels, place), place % kLevelKeys, q, range.segment, range.head, range.firstQuery, lane), 0};
                });
                at = 1 - at;
            }
        }
        measure(a, s, hits, sieve.queues.entries[at], count, range, firstColumn, columns);
        if (queued <= kQueue<C> && ++round > kRounds) return;
    }
}

// ---- ranges -------------------------------------------------------------------------------------------------------------------------------

// In shared memory, where it takes no registers. The range before is done with.
template <class C>
RTD_DEVICE const Range& beginRange(Shared<C>& s, const Range& range) {
    if (threadIndex() == 0) s.sift.range = range, s.sift.isOpen = 0;
    syncBlock();
    return s.sift.range;
}

// Limits of all columns, and, where a row has none yet, the columns' smallest scores. Scores are there.
template <class C>
RTD_DEVICE void beginColumns(const SearchFuseArgs& a, Shared<C>& s, const Sieve<C>& sieve, const Range& range) {
    for (uint32_t column = threadIndex(); column < range.columns; column += C::kThreads) {
        s.sift.nearest[column] = kTaken;
        if (refreshLimit(a, s, range, column) == 0) continue;
        addShared(&s.sift.considered, range.count);
        if (s.sift.limit[column] == positiveInfinity()) addShared(&s.sift.isOpen, 1);
    }
    syncBlock();
    if (s.sift.isOpen) findNearest(s, sieve, range);
}

// Of many queries together.
template <class C, uint32_t kColumns>
RTD_DEVICE void siftByTensors(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, Sieve<C>& sieve, uint32_t segment, uint32_t place,
                              uint32_t count) {
    for (uint32_t head = 0; head < a.layout.heads; ++head)
        for (uint32_t first = 0; first < a.batch; first += kColumns) {
            const Range& range = beginRange(s, {segment, head, first, kColumns, place, count, kScores<C> / kColumns});
            loadScales(a, s, range);
            scoreByTensors<C, kColumns>(a, reinterpret_cast<CodeStage<kColumns>*>(sieve.stages), s.sift.scales, sieve.scores, range.stride, segment,
                                        head, first, place, count);
            beginColumns(a, s, sieve, range);
            for (uint32_t column = 0; column < kColumns && first + column < a.batch; column += C::kQueries)
                siftColumns(a, s, hits, sieve, range, column, C::kQueries < kColumns ? C::kQueries : kColumns);
        }
}

// Of one after another.
template <class C>
RTD_DEVICE void siftByLevels(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, Sieve<C>& sieve, uint32_t segment, uint32_t place,
                             uint32_t count) {
    for (uint32_t head = 0; head < a.layout.heads; ++head)
#pragma unroll 1
        for (uint32_t b = 0; b < a.batch; ++b) {
            if (a.rows[b].k == 0) continue;
            const Range& range = beginRange(s, {segment, head, b, 1, place, count, kScores<C>});
            loadScales(a, s, range);
            syncBlock();
            scoreByLevel1(a, s, sieve, range);
            beginColumns(a, s, sieve, range);
            siftColumns(a, s, hits, sieve, range, 0, 1);
        }
}

// Says in shared memory which keys a ticket is for.
template <class C>
RTD_DEVICE void beginShare(const SearchFuseArgs& a, Shared<C>& s, uint32_t ticket) {
    if (threadIndex() == 0) {
        uint32_t segment = 0;
        for (; ticket >= ceilDiv(a.cascade.segments[segment].count, a.cascade.shareKeys); ++segment)
            ticket -= ceilDiv(a.cascade.segments[segment].count, a.cascade.shareKeys);
        const CascadeSegment keys = a.cascade.segments[segment];
        const uint32_t begin = ticket * a.cascade.shareKeys, rest = keys.count - begin;
        s.sift.share = {segment, keys.first, begin, begin + (rest < a.cascade.shareKeys ? rest : a.cascade.shareKeys)};
    }
    syncBlock();
}

// One ticket. What it leaves to a scan, because this block gives up, s.sift.share says.
template <class C>
RTD_DEVICE void siftShare(const SearchFuseArgs& a, Shared<C>& s, uint64_t* hits, Sieve<C>& sieve, uint32_t ticket) {
    const Share& share = s.sift.share;
    beginShare(a, s, ticket);
    const bool isWide = a.cascade.usesTensors && C::kColumns > 16 && a.batch > 16;
    const uint32_t columns = !a.cascade.usesTensors ? 1 : isWide ? C::kColumns : C::kColumns < 16 ? C::kColumns : 16, most = kScores<C> / columns;
    while (share.begin < share.end && !s.sift.hasGivenUp) {
        const uint32_t room = s.sift.isTried ? most : ceilDiv(most, kFirstShare * kLevelKeys) * kLevelKeys,
                       count = share.end - share.begin < room ? share.end - share.begin : room;
        if (threadIndex() == 0) s.sift.measured = s.sift.considered = 0;
        if (!a.cascade.usesTensors)
            siftByLevels(a, s, hits, sieve, share.segment, share.begin, count);
        else if constexpr (C::kColumns > 16) {
            if (isWide)
                siftByTensors<C, C::kColumns>(a, s, hits, sieve, share.segment, share.begin, count);
            else
                siftByTensors<C, 16>(a, s, hits, sieve, share.segment, share.begin, count);
        } else if constexpr (C::kColumns > 1) {
            siftByTensors<C, C::kColumns>(a, s, hits, sieve, share.segment, share.begin, count);
        }
        syncBlock();
        if (threadIndex() == 0) {
            s.sift.hasGivenUp = static_cast<uint64_t>(s.sift.measured) * 100 > static_cast<uint64_t>(s.sift.considered) * a.cascade.giveUpPercent;
            s.sift.isTried = 1;
            s.sift.share.begin += count;
        }
        syncBlock();
    }
}

}  // namespace rtd::cuda
