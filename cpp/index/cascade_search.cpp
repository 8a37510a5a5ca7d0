#include "index/cascade_search.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <mutex>

#include "cascade/query.h"
#include "core/canonical.h"
#include "core/memory.h"
#include "index/workers.h"

namespace rtd {
namespace {

using cascade::Levels;
using cascade::LevelShape;

constexpr size_t kChunkBlocks = 64;              // blocks of level 1 that a thread takes at a time
constexpr size_t kScoreWords = size_t{8} << 20;  // scores kept at a time, of as many rows as that is
constexpr size_t kMostRows = 64;                 // searched at a time
constexpr uint32_t kSampledBlocks = 128;         // of which scores are looked at to choose a cut
constexpr size_t kSampledShare = 16;             // one chunk in so many shows whether the cascade helps
constexpr size_t kRowsAtOnce = cpu::kBlockKeys;  // rows of level 2 between asking the memory for them and using them
constexpr size_t kRows3AtOnce = 4;               // the same of level 3's, which are longer
constexpr size_t kWideRows = 8;                  // as many rows look at level 2 of all keys together, fewer each at the keys it needs
constexpr size_t kKeysAtOnce = 16;               // of which canonical sums are taken between two looks at the bound

void prefetch(const void* memory, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(memory) + i, 0, 3);
}

// A key that levels 1 and 2 did not rule out.
struct Candidate {
    float lower;  // bound of its true distance, rounded down; without level 3 its score
    uint32_t place;
};

// The state of a row while it is searched.
struct RowState {
    const HeadRow* row = nullptr;
    const Levels* levels = nullptr;
    cascade::Query query;
    bool isBounded = false;
    uint16_t* scores = nullptr;  // [blocks, 32]
    uint16_t cut = 0;            // those up to it were probed, of some chunks ...
    size_t probedChunks = 0;
    size_t probed = 0;    // ... and left so many candidates
    double cost = 0;      // of what is still to be done
    bool skips2 = false;  // level 2 rules out too few to be worth its bytes

    std::mutex mutex;  // guards what follows
    std::vector<Candidate> candidates;
    std::vector<float> uppers;                       // upper bounds of true distances, of some accepted keys
    std::atomic<uint64_t> looked2 = 0, looked3 = 0;  // rows of levels
    std::atomic<double> radius = HUGE_VAL;           // beyond it no key can be among the nearest; only ever falls
};

class CascadeSearch {
  public:
    CascadeSearch(const Index& index, const Snapshot& snapshot, const cascade::Cascade& cascade, const Call& call)
        : index_(index),
          snapshot_(snapshot),
          cascade_(cascade),
          config_(index.config()),
          codes_(index.backend().codes),
          call_(call),
          threads_(threadsOf(index, call)),
          dims_(config_.dim / config_.heads),
          isDot_(config_.metric == Metric::dot),
          isForced_(config_.cascade == CascadeUse::always) {
        const auto type = static_cast<size_t>(config_.dtype);
        tileSums_ = isDot_ ? index.backend().dot[type] : index.backend().l2[type];
    }

    // Rows of one head.
    void search(std::span<const HeadRow* const> rows, std::vector<const HeadRow*>& unserved) {
        const cascade::Head& head = cascade_.heads[rows.front()->head];
        std::vector<const HeadRow*> promising;
        cascade::Usefulness::Search usefulness(*head.usefulness, rows.size());
        for (const HeadRow* row : rows) {
            const uint32_t k = row->wants->k;
            (head.levels && (isForced_ || (k < cascade_.count / 4 && usefulness.isWorthTrying(k))) ? promising : unserved).push_back(row);
        }
        if (promising.empty()) return;
        const size_t stride = LevelShape::blocksOf(cascade_.count) * cpu::kBlockKeys;
        const size_t atOnce = std::min({std::clamp<size_t>(kScoreWords / stride, 1, kMostRows), promising.size()});
        const ScratchPool::Loan scores(index_.scratch(), atOnce * stride);
        for (size_t begin = 0; begin < promising.size(); begin += atOnce) {
            call_.throwIfStopped();
            const auto some = std::span<const HeadRow* const>(promising).subspan(begin, std::min(atOnce, promising.size() - begin));
            const size_t before = unserved.size();
            searchSome(*head.levels, some, scores.get(), stride, unserved);
            for (const HeadRow* row : some) {
                const bool isServed = std::find(unserved.begin() + static_cast<ptrdiff_t>(before), unserved.end(), row) == unserved.end();
                usefulness.tell(row->wants->k, isServed);
            }
        }
    }

  private:
    void searchSome(const Levels& levels, std::span<const HeadRow* const> rows, uint16_t* scores, size_t stride,
                    std::vector<const HeadRow*>& unserved) {
        const auto states = allocate<RowState>(rows.size(), "the state of rows");
        forEach(rows.size(), [&](size_t i) {
            states[i].row = rows[i];
            states[i].levels = &levels;
            states[i].isBounded = states[i].query.prepare(levels, config_.metric, rows[i]->query, index_.backend());
        });
        std::vector<RowState*> bounded;
        for (size_t i = 0; i < rows.size(); ++i) {
            if (states[i].isBounded) {
                states[i].scores = scores + bounded.size() * stride;
                bounded.push_back(&states[i]);
            } else {
                unserved.push_back(rows[i]);
            }
        }
        if (bounded.empty()) return;
        scoreBlocks(levels, bounded, stride);
        // The keys that look nearest give the first radius; then come all others that may lie within it.
        forEach(bounded.size(), [&](size_t i) { probe(*bounded[i]); });
        const bool isWide = bounded.size() >= kWideRows && levels.shape.directions2;
        const auto sweepChunks = [&](const std::vector<size_t>& chunks) {
            forEach(chunks.size(), [&](size_t i) {
                if (isWide) return sweepWide(levels, bounded, chunks[i]);
                for (RowState* state : bounded) sweep(*state, chunks[i]);
            });
        };
        // A sample first: rows for which it promises no gain are left to a scan.
        std::vector<size_t> sample, others;
        const size_t every = std::min(chunksOf(levels), kSampledShare);
        for (size_t chunk = 0; chunk < chunksOf(levels); ++chunk) (chunk % every == every / 2 ? sample : others).push_back(chunk);
        sweepChunks(sample);
        if (!isForced_) giveUp(bounded, static_cast<double>(chunksOf(levels)) / static_cast<double>(sample.size()), isWide, unserved);
        if (bounded.empty()) return;
        sweepChunks(others);
        forEach(bounded.size(), [&](size_t i) { finishBounds(*bounded[i]); });
        if (bounded.size() >= threads_) {
            forEach(bounded.size(), [&](size_t i) {
                for (size_t batch = 0; batch * kKeysAtOnce < bounded[i]->candidates.size(); ++batch) measure(*bounded[i], batch);
            });
        } else {
            for (RowState* state : bounded)
                forEach((state->candidates.size() + kKeysAtOnce - 1) / kKeysAtOnce, [&](size_t batch) { measure(*state, batch); });
        }
    }

    // Leaves to a scan the rows for which that is cheaper, all in all: many rows share one reading of the keys. Costs are nanoseconds of some
    // processor; a row's are `scale` times what the sample had of everything.
    void giveUp(std::vector<RowState*>& states, double scale, bool isWide, std::vector<const HeadRow*>& unserved) const {
        constexpr double kLine = 6, kLineInOrder = 2.5, kKey = 40;  // 64 bytes from anywhere, from nearby, and what a key costs beside that
        constexpr double kByte = 0.06, kNumber = 0.032;             // of keys read in order, and of keys compared with one row
        const auto lines = [](double bytes) { return bytes / 64 + 1; };
        const LevelShape& shape = states.front()->levels->shape;
        const double keys = states.front()->levels->count, numbers = dims_, keyBytes = numbers * bytesOf(config_.dtype);
        double rest = 0;
        for (RowState* state : states) {
            const auto looked2 = static_cast<double>(state->looked2), looked3 = static_cast<double>(state->looked3);
            state->skips2 = looked3 > 0.7 * looked2;
            const double two = state->skips2 ? 0 : isWide ? keys * 1.5 : looked2 * scale * lines(cascade::kRowBytes2) * kLine;
            const double three = (state->skips2 ? looked2 : looked3) * scale * lines(shape.rowBytes3()) * (isWide ? kLineInOrder : kLine);
            const double exact = static_cast<double>(state->candidates.size() - state->probed) * scale * (lines(keyBytes) * kLine + kKey);
            state->cost = two + three + exact;
            rest += state->cost;
        }
        std::sort(states.begin(), states.end(), [](const RowState* a, const RowState* b) { return a->cost > b->cost; });
        size_t best = 0;
        double least = rest;
        for (size_t n = 1; n <= states.size(); ++n) {
            rest -= states[n - 1]->cost;
            const double scan = keys * std::max(keyBytes * kByte, static_cast<double>(n) * numbers * kNumber);
            if (scan + rest < least) {
                least = scan + rest;
                best = n;
            }
        }
        for (size_t i = 0; i < best; ++i) unserved.push_back(states[i]->row);
        states.erase(states.begin(), states.begin() + static_cast<ptrdiff_t>(best));
    }

    static size_t chunksOf(const Levels& levels) { return (LevelShape::blocksOf(levels.count) + kChunkBlocks - 1) / kChunkBlocks; }

    // body(i) for i < count, on the threads of the call. RTD_CANCELLED.
    template <typename Body>
    void forEach(size_t count, const Body& body) {
        std::atomic<size_t> next = 0;
        std::atomic<bool> halted = false;
        index_.workers().run(static_cast<uint32_t>(std::min<size_t>(threads_, count)), [&] {
            for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
                if (call_.stopped()) halted = true;
                if (halted) return;
                body(i);
            }
        });
        if (halted) fail(RTD_CANCELLED, "cancelled by should_stop");
    }

    void scoreBlocks(const Levels& levels, const std::vector<RowState*>& states, size_t stride) {
        const LevelShape& shape = levels.shape;
        const size_t blocks = LevelShape::blocksOf(levels.count);
        std::vector<cpu::BlockQuery> queries;
        for (RowState* state : states) {
            chooseScoreShift(levels, state->query);
            queries.push_back(state->query.blockQuery());
        }
        forEach(chunksOf(levels), [&](size_t chunk) {
            const size_t begin = chunk * kChunkBlocks, count = std::min(kChunkBlocks, blocks - begin);
            codes_.blockScores(levels.level1 + begin * shape.blockBytes(), count, shape.groups(), queries.data(), queries.size(),
                               states.front()->scores + begin * cpu::kBlockKeys, stride);
            call_.count(&rtd_search_counts::level1, queries.size() * count * cpu::kBlockKeys);
        });
    }

    // So that the scores of half of the keys use the upper half of 16 bits.
    void chooseScoreShift(const Levels& levels, cascade::Query& query) const {
        constexpr uint32_t kSamples = 8, kCoarse = 15;
        const size_t blocks = LevelShape::blocksOf(levels.count);
        query.setScoreShift(kCoarse);
        const cpu::BlockQuery sampled = query.blockQuery();
        uint16_t scores[kSamples * cpu::kBlockKeys];
        for (size_t i = 0; i < kSamples; ++i)
            codes_.blockScores(levels.level1 + i * blocks / kSamples * levels.shape.blockBytes(), 1, levels.shape.groups(), &sampled, 1,
                               scores + i * cpu::kBlockKeys, 0);
        const auto middle = scores + std::size(scores) / 2;
        std::nth_element(scores, middle, std::end(scores));
        query.setScoreShift(static_cast<uint32_t>(std::bit_width(static_cast<uint32_t>(*middle))));
    }

    // A score that about `wanted` keys do not exceed, judging by a sample.
    static uint16_t cutFor(const RowState& state, size_t wanted) {
        const size_t blocks = LevelShape::blocksOf(state.levels->count), step = std::max<size_t>(1, blocks / kSampledBlocks);
        std::vector<uint16_t> sample;
        for (size_t b = 0; b < blocks; b += step)
            sample.insert(sample.end(), state.scores + b * cpu::kBlockKeys, state.scores + (b + 1) * cpu::kBlockKeys);
        const size_t rank = std::min(sample.size() - 1, wanted * sample.size() / state.levels->count);
        std::nth_element(sample.begin(), sample.begin() + static_cast<ptrdiff_t>(rank), sample.end());
        return sample[rank];
    }

    bool isFiltered(const SearchRow& wants) const { return snapshot_.removed || !wants.anyNamespace; }

    bool acceptsPlace(const SearchRow& wants, uint32_t place) const {
        const Part& part = snapshot_.partOf(cascade_.first + place);
        return accepts(snapshot_, wants, part, cascade_.first + place - part.first);
    }

    // Gives keys that the row does not accept the worst score, so that those which count for nothing do not count as the nearest either.
    void maskScores(RowState& state) {
        const SearchRow& wants = *state.row->wants;
        for (const Part& part : *snapshot_.parts) {
            const uint32_t begin = std::max(part.first, cascade_.first);
            const uint32_t end = std::min(part.first + snapshot_.filled(part), cascade_.first + cascade_.count);
            for (uint32_t id = begin; id < end; ++id)
                if (!accepts(snapshot_, wants, part, id - part.first)) state.scores[id - cascade_.first] = 65535;
        }
    }

    void lowerRadius(RowState& state, double radius) const {
        double known = state.radius.load(std::memory_order_relaxed);
        while (radius < known && !state.radius.compare_exchange_weak(known, radius, std::memory_order_relaxed)) {}
    }
    // By what the pool has seen.
    void lowerRadiusToPool(RowState& state) const {
        const uint64_t bound = state.row->pool->bound();
        if (bound != RowPool::kNoBound) lowerRadius(state, state.query.distances().radius(valueOf(bound)));
    }
    // By the k-th smallest upper bound.
    void lowerRadiusToUppers(RowState& state) const {
        const size_t k = state.row->wants->k;
        if (state.uppers.size() < k) return;
        const auto kth = state.uppers.begin() + static_cast<ptrdiff_t>(k - 1);
        std::nth_element(state.uppers.begin(), kth, state.uppers.end());
        state.uppers.erase(kth + 1, state.uppers.end());
        const DistanceBounds& distances = state.query.distances();
        lowerRadius(state, distances.radius(distances.value(static_cast<double>(state.uppers.back()))));
    }

    void probe(RowState& state) {
        const SearchRow& wants = *state.row->wants;
        if (isFiltered(wants)) maskScores(state);
        lowerRadiusToPool(state);
        const size_t wanted = 2 * size_t{wants.k} + 128;
        state.cut = cutFor(state, wanted);
        // Among ties there may be many more than wanted: then the rest is left to the sweep.
        for (size_t chunk = 0, seen = 0; chunk < chunksOf(*state.levels) && seen < 4 * wanted; ++chunk) {
            seen += visit(state, chunk, 0, state.cut);
            state.probedChunks = chunk + 1;
        }
        lowerRadiusToUppers(state);
        for (uint32_t i = 0; i < state.levels->outlierCount; i += kChunkBlocks * cpu::kBlockKeys)
            visitPlaces(state, {state.levels->outliers + i, std::min<size_t>(kChunkBlocks * cpu::kBlockKeys, state.levels->outlierCount - i)}, true);
        state.looked2 = state.looked3 = 0;  // from here on they are a sample
        state.probed = state.candidates.size();
    }

    void sweep(RowState& state, size_t chunk) {
        if (const uint32_t least = leastScore(state, chunk); least <= 65535) visit(state, chunk, static_cast<uint16_t>(least), 65535);
    }
    // The least score of a chunk that was not probed; 65536: all were.
    static uint32_t leastScore(const RowState& state, size_t chunk) { return chunk < state.probedChunks ? state.cut + uint32_t{1} : 0; }

    // The ends of up to 32 rows of level 2.
    struct Tails2 {
        cpu::Level2Keys keys{};
        uint32_t outliers = 0;  // a bit each

        void set(const uint8_t* row, size_t i) {
            cascade::Tail2 tail;
            std::memcpy(&tail, row + cascade::kCodes2, sizeof tail);
            keys.norm[i] = static_cast<float>(tail.norm);
            keys.error[i] = tail.error;
            keys.residual[i] = static_cast<float>(tail.residual1 - cascade::kZeroCode);
            outliers |= uint32_t{tail.isOutlier} << i;
        }
    };

    // Level 2 of 32 keys in the order of level 1's blocks.
    struct Level2Block {
        alignas(64) uint8_t codes[cascade::kRowBytes2 * cpu::kBlockKeys];
        Tails2 tails;

        void fill(const cpu::CodeSums& by, const uint8_t* rows, size_t count) {
            uint8_t whole[cascade::kRowBytes2 * cpu::kBlockKeys];
            if (count < cpu::kBlockKeys) {
                std::memset(whole, 0, sizeof whole);
                std::memcpy(whole, rows, count * cascade::kRowBytes2);
                rows = whole;
            }
            by.interleaveRows(rows, codes);
            tails = {};
            for (size_t i = 0; i < count; ++i) tails.set(rows + i * cascade::kRowBytes2, i);
        }
    };

    // All rows' sweep of a chunk: level 2 is read once and in order.
    void sweepWide(const Levels& levels, const std::vector<RowState*>& states, size_t chunk) {
        const size_t begin = chunk * kChunkBlocks, count = std::min(kChunkBlocks, LevelShape::blocksOf(levels.count) - begin);
        const auto blocks = allocate<Level2Block>(count, "level 2 of a chunk");
        for (size_t b = 0; b < count; ++b) {
            const size_t first = (begin + b) * cpu::kBlockKeys;
            blocks[b].fill(codes_, levels.level2 + first * cascade::kRowBytes2, std::min<size_t>(cpu::kBlockKeys, levels.count - first));
        }
        for (RowState* state : states) {
            const double radius = state->radius.load(std::memory_order_relaxed);
            const uint16_t largest = state->query.largestScore(radius);
            const uint32_t least = leastScore(*state, chunk);
            if (largest < least) continue;
            const cpu::Level2Query query = state->query.level2Query(radius);
            uint32_t kept[kChunkBlocks * cpu::kBlockKeys];
            size_t n = 0, looked = 0;
            for (size_t b = 0; b < count; ++b) {
                const size_t first = (begin + b) * cpu::kBlockKeys;
                const uint16_t* scores = state->scores + first;
                uint32_t mask = codes_.maskScores(scores, static_cast<uint16_t>(least), largest) & ~blocks[b].tails.outliers;
                if (first + cpu::kBlockKeys > levels.count) mask &= (uint32_t{1} << (levels.count - first)) - 1;
                if (state->skips2) {
                    for (; mask; mask &= mask - 1) kept[n++] = static_cast<uint32_t>(first) + static_cast<uint32_t>(std::countr_zero(mask));
                }
                if (mask == 0) continue;
                looked += static_cast<size_t>(std::popcount(mask));
                int32_t sums[cpu::kBlockKeys];
                codes_.blockSums(blocks[b].codes, cascade::kCodes2 / 4, state->query.two().codes(), sums);
                for (mask &= codes_.withinReach(scores, sums, blocks[b].tails.keys, query); mask; mask &= mask - 1) {
                    const size_t place = first + static_cast<size_t>(std::countr_zero(mask));
                    prefetch(levels.level3 + place * levels.shape.rowBytes3(), levels.shape.rowBytes3());
                    kept[n++] = static_cast<uint32_t>(place);
                }
            }
            call_.count(&rtd_search_counts::level2, looked);
            state->looked2.fetch_add(looked, std::memory_order_relaxed);
            keepFurther(*state, {kept, n}, false);
        }
    }

    void finishBounds(RowState& state) {
        lowerRadiusToUppers(state);
        std::sort(state.candidates.begin(), state.candidates.end(), [](const Candidate& a, const Candidate& b) { return a.lower < b.lower; });
    }

    // Candidates from a chunk's keys with a score in least..most, as far as the radius allows. Returns how many keys that were.
    size_t visit(RowState& state, size_t chunk, uint16_t least, uint16_t most) {
        const uint16_t largest = std::min(most, state.query.largestScore(state.radius.load(std::memory_order_relaxed)));
        if (largest < least) return 0;
        const size_t begin = chunk * kChunkBlocks, count = std::min(kChunkBlocks, LevelShape::blocksOf(state.levels->count) - begin);
        uint32_t places[kChunkBlocks * cpu::kBlockKeys];
        size_t n = codes_.selectScores(state.scores + begin * cpu::kBlockKeys, count, least, largest, static_cast<uint32_t>(begin * cpu::kBlockKeys),
                                       places);
        while (n > 0 && places[n - 1] >= state.levels->count) --n;  // the last block may not be full
        visitPlaces(state, {places, n}, false);
        return n;
    }

    // The same from a list of at most a chunk's keys. areOutliers: level 1's, of which its error does not hold.
    void visitPlaces(RowState& state, std::span<const uint32_t> places, bool areOutliers) {
        uint32_t kept[kChunkBlocks * cpu::kBlockKeys];
        const size_t n = keepByLevel2(state, places, areOutliers, kept);
        keepFurther(state, {kept, n}, areOutliers);
    }

    size_t keepByLevel2(RowState& state, std::span<const uint32_t> places, bool areOutliers, uint32_t* kept) const {
        const Levels& levels = *state.levels;
        size_t n = 0;
        if (!levels.shape.directions2 || state.skips2) {
            for (const uint32_t place : places)
                if (areOutliers || !std::binary_search(levels.outliers, levels.outliers + levels.outlierCount, place)) kept[n++] = place;
            return n;
        }
        const auto rowOf = [&](size_t i) { return levels.level2 + size_t{places[i]} * cascade::kRowBytes2; };
        for (size_t i = 0; i < places.size(); ++i) prefetch(rowOf(i), cascade::kRowBytes2);
        call_.count(&rtd_search_counts::level2, places.size());
        state.looked2.fetch_add(places.size(), std::memory_order_relaxed);
        const cpu::Level2Query query = state.query.level2Query(state.radius.load(std::memory_order_relaxed));
        for (size_t begin = 0; begin < places.size(); begin += kRowsAtOnce) {
            const size_t some = std::min(kRowsAtOnce, places.size() - begin);
            const uint8_t* rows[kRowsAtOnce];
            int32_t sums[kRowsAtOnce] = {};
            uint16_t scores[kRowsAtOnce] = {};
            Tails2 tails;
            for (size_t i = 0; i < some; ++i) {
                rows[i] = rowOf(begin + i);
                scores[i] = state.scores[places[begin + i]];
                tails.set(rows[i], i);
            }
            codes_.rowSums(rows, some, cascade::kRowBytes2, state.query.two().codes(), sums);
            uint32_t mask = codes_.withinReach(scores, sums, tails.keys, query) & (areOutliers ? tails.outliers : ~tails.outliers);
            if (some < kRowsAtOnce) mask &= (uint32_t{1} << some) - 1;
            for (; mask; mask &= mask - 1) {
                kept[n] = places[begin + static_cast<size_t>(std::countr_zero(mask))];
                prefetch(levels.level3 + size_t{kept[n++]} * levels.shape.rowBytes3(), levels.shape.rowBytes3());
            }
        }
        return n;
    }

    // What levels 1 and 2 have left: by what the row accepts, then by level 3.
    void keepFurther(RowState& state, std::span<uint32_t> places, bool areOutliers) {
        size_t n = places.size();
        if (isFiltered(*state.row->wants)) {
            const auto end = std::remove_if(places.begin(), places.end(), [&](uint32_t place) { return !acceptsPlace(*state.row->wants, place); });
            n = static_cast<size_t>(end - places.begin());
        }
        if (n) keepByLevel3(state, places.first(n), areOutliers);
    }

    void keepByLevel3(RowState& state, std::span<const uint32_t> places, bool areOutliers) const {
        const Levels& levels = *state.levels;
        Candidate candidates[kChunkBlocks * cpu::kBlockKeys];
        float uppers[kChunkBlocks * cpu::kBlockKeys];
        size_t count = 0, upperCount = 0;
        if (!levels.shape.hasLevel3) {
            for (const uint32_t place : places) candidates[count++] = {areOutliers ? 0.0f : static_cast<float>(state.scores[place]), place};
        } else {
            call_.count(&rtd_search_counts::level3, places.size());
            state.looked3.fetch_add(places.size(), std::memory_order_relaxed);
            const auto rowOf = [&](size_t i) { return levels.level3 + size_t{places[i]} * levels.shape.rowBytes3(); };
            const double radius = state.radius.load(std::memory_order_relaxed);
            const size_t length = (levels.shape.length + 63) / 64 * 64;
            for (size_t begin = 0; begin < places.size(); begin += kRows3AtOnce) {
                const size_t n = std::min(kRows3AtOnce, places.size() - begin);
                const uint8_t* rows[kRows3AtOnce];
                int32_t sums[kRows3AtOnce];
                for (size_t i = 0; i < n; ++i) rows[i] = rowOf(begin + i);
                codes_.rowSums(rows, n, length, state.query.three().codes(), sums);
                for (size_t i = 0; i < n; ++i) {
                    cascade::Tail3 tail;
                    std::memcpy(&tail, rows[i] + levels.shape.tail3(), sizeof tail);
                    if (!state.query.mayBeWithin3(radius, sums[i], tail)) continue;
                    const cascade::Bounds bounds = state.query.bounds3(sums[i], tail);
                    candidates[count++] = {std::nextafter(static_cast<float>(bounds.lower), 0.0f), places[begin + i]};
                    uppers[upperCount++] = std::nextafter(static_cast<float>(bounds.upper), HUGE_VALF);
                }
            }
        }
        if (count == 0) return;
        const std::lock_guard lock(state.mutex);
        state.candidates.insert(state.candidates.end(), candidates, candidates + count);
        state.uppers.insert(state.uppers.end(), uppers, uppers + upperCount);
        if (state.uppers.size() > 4 * size_t{state.row->wants->k} + 1024) lowerRadiusToUppers(state);
    }

    // Canonical distances of a batch of candidates, unless by now none of them can matter: the likeliest come first.
    void measure(RowState& state, size_t batch) {
        lowerRadiusToPool(state);
        const double radius = state.radius.load(std::memory_order_relaxed);
        const double limit = state.levels->shape.hasLevel3 ? radius : static_cast<double>(state.query.largestScore(radius));
        uint64_t found[kKeysAtOnce];
        size_t n = 0, measured = 0;
        const size_t begin = batch * kKeysAtOnce, end = std::min(state.candidates.size(), begin + kKeysAtOnce);
        const auto ask = [&](size_t from, size_t to) {
            for (size_t i = from; i < std::min(end, to); ++i) prefetch(keyOf(state, state.candidates[i].place), dims_ * bytesOf(config_.dtype));
        };
        ask(begin, begin + 2);
        for (size_t i = begin; i < end; ++i) {
            const Candidate& candidate = state.candidates[i];
            if (static_cast<double>(candidate.lower) > limit) break;
            ask(i + 2, i + 3);
            float sum;
            ++measured;
            tileSums_({state.row->query, dims_, 1}, {keyOf(state, candidate.place), 0, 1, dims_}, &sum, 1);  // stride 0: no key comes after
            const uint64_t key = orderKey(orderedValue(sum, isDot_), cascade_.first + candidate.place);
            if (key < state.row->pool->bound()) found[n++] = key;
        }
        call_.count(&rtd_search_counts::exact, measured);
        if (n) state.row->pool->offer(found, n);
    }

    const void* keyOf(const RowState& state, uint32_t place) const {
        const uint32_t id = cascade_.first + place;
        const Part& part = snapshot_.partOf(id);
        return static_cast<const std::byte*>(part.keys) + (id - part.first) * config_.rowBytes() +
               size_t{state.row->head} * dims_ * bytesOf(config_.dtype);
    }

    const Index& index_;
    const Snapshot& snapshot_;
    const cascade::Cascade& cascade_;
    const IndexConfig& config_;
    const cpu::CodeSums& codes_;
    const Call& call_;
    uint32_t threads_, dims_;
    bool isDot_, isForced_;
    cpu::TileSums tileSums_;
};

}  // namespace

std::vector<const HeadRow*> searchCascade(const Index& index, const Snapshot& snapshot, const cascade::Cascade& cascade,
                                          std::span<const HeadRow* const> rows, const Call& call) {
    std::vector<const HeadRow*> unserved;
    CascadeSearch search(index, snapshot, cascade, call);
    for (size_t begin = 0, end; begin < rows.size(); begin = end) {
        for (end = begin; end < rows.size() && rows[end]->head == rows[begin]->head;) ++end;
        search.search(rows.subspan(begin, end - begin), unserved);
    }
    return unserved;
}

}  // namespace rtd
