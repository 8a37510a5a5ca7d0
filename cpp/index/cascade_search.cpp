#include "index/cascade_search.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>

#include "core/canonical.h"
#include "core/memory.h"
#include "core/pages.h"
#include "index/cascade_row.h"
#include "index/level_filter.h"
#include "index/prefetch.h"
#include "index/workers.h"

namespace rtd {
namespace {

using cascade::Levels;
using cascade::LevelShape;

constexpr size_t kScoreWords = size_t{8} << 20;  // scores kept at a time, of as many rows as that is
constexpr size_t kMostRows = 64;                 // searched at a time
constexpr uint32_t kProbedMore = 64;             // keys measured first, beyond 1.25 k
constexpr size_t kSampledShare = 16;             // one chunk in so many shows whether the cascade helps
constexpr uint32_t kSampledPages = 16;           // looked for in memory
constexpr size_t kKeysAtOnce = 16;               // measured between two looks at the bound
constexpr size_t kKeysForThread = 16'384;        // pairs of a key and a row that are worth another thread
constexpr size_t kRankedAtOnce = 512;            // keys that a thread ranks at a time

class CascadeSearch {
  public:
    CascadeSearch(const Index& index, const Snapshot& snapshot, const cascade::Cascade& cascade, const Call& call)
        : index_(index),
          snapshot_(snapshot),
          cascade_(cascade),
          config_(index.config()),
          codes_(index.backend().codes),
          call_(call),
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
        if (!isForced_ && (costOfScan(1) < kSmallestScan || costOfProbes(promising) > kLargestProbes * costOfScan(promising.size()))) {
            unserved.insert(unserved.end(), promising.begin(), promising.end());
            promising.clear();
        }
        if (promising.empty()) return;
        threads_ = WorkerPool::threadsFor(promising.size() * cascade_.count, kKeysForThread, threadsOf(index_, call_));
        const WorkerPool::Attention attention(index_.workers(), threads_);
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
        const auto states = allocate<CascadeRow>(rows.size(), "the state of rows");
        forEach(rows.size(), [&](size_t i) {
            states[i].row = rows[i];
            states[i].levels = &levels;
            states[i].isBounded = states[i].query.prepare(levels, config_.metric, rows[i]->query, index_.backend());
        });
        std::vector<CascadeRow*> bounded;
        for (size_t i = 0; i < rows.size(); ++i) {
            if (states[i].isBounded) {
                states[i].scores = scores + bounded.size() * stride;
                bounded.push_back(&states[i]);
            } else {
                unserved.push_back(rows[i]);
            }
        }
        if (bounded.empty()) return;
        isOnDisk_ = cascade_.isMapped && !areMostlyResident(levels, *rows.front());
        const LevelFilter filter(snapshot_, cascade_, levels, codes_, isOnDisk_, call_);
        scoreBlocks(levels, bounded, stride);
        // The keys that look nearest give the first radius; then come all others that may lie within it.
        forEach(bounded.size(), [&](size_t i) { beginRow(filter, *bounded[i]); });
        forEachBatch(bounded, &CascadeRow::ranked, kRankedAtOnce, [&](CascadeRow& state, std::span<Ranked> keys) { filter.rank(state, keys); });
        forEach(bounded.size(), [&](size_t i) { chooseMeasured(*bounded[i]); });
        forEachBatch(bounded, &CascadeRow::measured, kKeysAtOnce, [&](CascadeRow& state, std::span<const uint32_t> places) {
            std::vector<uint64_t> found;
            measure(state, places, found);
            const std::lock_guard lock(state.mutex);
            state.found.insert(state.found.end(), found.begin(), found.end());
        });
        forEach(bounded.size(), [&](size_t i) { lowerRadiusToFound(*bounded[i]); });
        const auto sweepChunks = [&](const std::vector<size_t>& chunks) {
            forEach(chunks.size(), [&](size_t i) { filter.sweep(bounded, chunks[i]); });
        };
        // A sample first: rows for which it promises no gain are left to a scan.
        std::vector<size_t> sample, others;
        const size_t every = std::min(filter.chunks(), kSampledShare);
        for (size_t chunk = 0; chunk < filter.chunks(); ++chunk) (chunk % every == every / 2 ? sample : others).push_back(chunk);
        sweepChunks(sample);
        const double scale = static_cast<double>(filter.chunks()) / static_cast<double>(sample.size());
        chooseWays(bounded, scale);
        if (!isForced_) giveUp(bounded, unserved);
        if (bounded.empty()) return;
        for (CascadeRow* state : bounded) state->row->pool->offer(state->found.data(), state->found.size());
        sweepChunks(others);
        forEach(bounded.size(), [&](size_t i) { finishBounds(*bounded[i]); });
        forEachBatch(bounded, &CascadeRow::candidates, kKeysAtOnce,
                     [&](CascadeRow& state, std::span<const Candidate> candidates) { measureCandidates(state, candidates); });
    }

    // Whether the levels' rows and the keys are in memory, by a sample: the system may have dropped what was read from files.
    bool areMostlyResident(const Levels& levels, const HeadRow& row) const {
        for (uint32_t i = 0; i < kSampledPages; ++i) {
            const auto place = static_cast<uint32_t>(uint64_t{levels.count} * i / kSampledPages);
            if (levels.level3 && !isResident(levels.level3 + size_t{place} * levels.shape.rowBytes3())) return false;
            if (!isResident(keyOf(row.head, place))) return false;
        }
        return true;
    }

    // Costs are nanoseconds of some processor; a row's are `scale` times what the sample had of everything.
    static constexpr double kLine = 6, kKey = 40;            // 64 bytes from anywhere, and what a key costs beside those
    static constexpr double kByte = 0.066, kNumber = 0.026;  // of keys read in order, and of keys compared with one row
    static constexpr size_t kFewRows = 4;
    static constexpr double kNear2 = 9;                        // a row of level 2 that is in the cache
    static constexpr double kInterleaved = 7, kInBlock = 1.3;  // a key of level 2 in blocks: once, and for each row
    static constexpr double kSmallestScan = 150'000;           // what the steps of a cascade cost by themselves leaves nothing to gain on less
    static constexpr double kLargestProbes = 0.25;             // of a scan's cost: with more there is too little to gain
    static constexpr double kDoubt = 1.15;                     // a scan's cost is known better than a cascade's
    static double lines(double bytes) { return bytes / 64 + 1; }
    double costOfKey() const { return lines(dims_ * bytesOf(config_.dtype)) * kLine + kKey; }

    // Of the keys that are measured first, and of ranking those that may be among them.
    double costOfProbes(const std::vector<const HeadRow*>& rows) const {
        double cost = 0;
        for (const HeadRow* row : rows)
            cost += static_cast<double>(likeliestFor(row->wants->k)) * (costOfKey() + LevelFilter::kRankedForEach * kNear2);
        return cost;
    }
    double costOfScan(size_t rows) const {
        const double numbers = static_cast<double>(cascade_.count) * dims_;
        return numbers * (bytesOf(config_.dtype) * kByte + static_cast<double>(rows) * kNumber);
    }

    // How each row looks at level 2, and what it has still to pay.
    void chooseWays(const std::vector<CascadeRow*>& states, double scale) const {
        const LevelShape& shape = states.front()->levels->shape;
        const double keys = states.front()->levels->count, row3 = lines(shape.rowBytes3()) * kLine;
        const double row2 = states.size() < kFewRows ? lines(cascade::kRowBytes2) * kLine : kNear2;  // other rows have just asked for the same
        double saved = -keys * kInterleaved;
        std::vector<CascadeRow*> dense;
        for (CascadeRow* state : states) {
            const double looked2 = static_cast<double>(state->looked2) * scale, looked2b = static_cast<double>(state->looked2b) * scale;
            const double looked3 = static_cast<double>(state->looked3) * scale, all2b = looked2b * lines(shape.rowBytes2b) * kLine;
            state->skips2 = shape.directions2 && (looked2 - looked3) * row3 < looked2 * row2 + all2b;
            const double exact = static_cast<double>(state->candidates.size()) * scale;
            const double two = state->skips2 || !shape.directions2 ? 0 : looked2 * row2;
            state->cost = two + (state->skips2 ? looked2 * row3 : all2b + looked3 * row3) + exact * costOfKey();
            if (two <= keys * kInBlock) continue;
            saved += two - keys * kInBlock;
            dense.push_back(state);
        }
        if (saved <= 0) return;
        for (CascadeRow* state : dense) {
            state->takesBlocks = true;
            state->cost -= saved / static_cast<double>(dense.size());
        }
    }

    // Leaves to a scan the rows for which that is cheaper, all in all: many rows share one reading of the keys.
    void giveUp(std::vector<CascadeRow*>& states, std::vector<const HeadRow*>& unserved) const {
        double rest = 0;
        for (const CascadeRow* state : states) rest += kDoubt * state->cost;
        std::sort(states.begin(), states.end(), [](const CascadeRow* a, const CascadeRow* b) { return a->cost > b->cost; });
        size_t best = 0;
        double least = rest;
        for (size_t n = 1; n <= states.size(); ++n) {
            rest -= kDoubt * states[n - 1]->cost;
            const double scan = costOfScan(n);
            if (scan + rest < least) {
                least = scan + rest;
                best = n;
            }
        }
        for (size_t i = 0; i < best; ++i) unserved.push_back(states[i]->row);
        states.erase(states.begin(), states.begin() + static_cast<ptrdiff_t>(best));
    }

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

    // body(row, batch) for all batches of what each row has in `member`: in order, where there are enough rows for all threads.
    template <typename T, typename Body>
    void forEachBatch(const std::vector<CascadeRow*>& states, std::vector<T> CascadeRow::*member, size_t atOnce, const Body& body) {
        const auto batchOf = [&](CascadeRow& state, size_t batch) {
            const std::span<T> all = state.*member;
            body(state, all.subspan(batch * atOnce, std::min(atOnce, all.size() - batch * atOnce)));
        };
        const auto batches = [&](const CascadeRow& state) { return ((state.*member).size() + atOnce - 1) / atOnce; };
        if (states.size() >= threads_)
            forEach(states.size(), [&](size_t i) {
                for (size_t batch = 0; batch < batches(*states[i]); ++batch) batchOf(*states[i], batch);
            });
        else
            for (CascadeRow* state : states) forEach(batches(*state), [&](size_t batch) { batchOf(*state, batch); });
    }

    void scoreBlocks(const Levels& levels, const std::vector<CascadeRow*>& states, size_t stride) {
        const LevelShape& shape = levels.shape;
        const size_t blocks = LevelShape::blocksOf(levels.count);
        std::vector<cpu::BlockQuery> queries;
        for (CascadeRow* state : states) {
            chooseScoreShift(levels, state->query);
            queries.push_back(state->query.blockQuery());
        }
        constexpr size_t kChunkBlocks = LevelFilter::kChunkBlocks;
        forEach((blocks + kChunkBlocks - 1) / kChunkBlocks, [&](size_t chunk) {
            const size_t begin = chunk * kChunkBlocks, count = std::min(kChunkBlocks, blocks - begin);
            codes_.blockScores(levels.level1 + begin * shape.blockBytes(), count, shape.groups(), queries.data(), queries.size(),
                               states.front()->scores + begin * cpu::kBlockKeys, stride);
            call_.count(&rtd_search_counts::level1, queries.size() * count * cpu::kBlockKeys);
            call_.count(&rtd_search_counts::bytes, count * shape.blockBytes());
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

    static size_t likeliestFor(uint32_t k) { return size_t{k} + k / 4 + kProbedMore; }

    // Its first radius, and the keys that are likeliest by level 1.
    void beginRow(const LevelFilter& filter, CascadeRow& state) const {
        filter.maskScores(state);
        state.row->pool->tighten();
        state.lowerRadiusToPool();
        // A root that is no larger than the threshold was rounded, and so is the threshold's square.
        const float most = state.row->wants->maxDistance, value = config_.metric == Metric::l2 ? most * most * 1.000001f : most;
        if (value < std::numeric_limits<float>::infinity()) state.lowerRadius(state.query.distances().radius(value));
        state.ranked = filter.likeliest(state, likeliestFor(state.row->wants->k));
    }

    // The keys that look nearest get their distance at once: the k-th of these is a radius that is hardly larger than the last one will be. The
    // pool does not see them yet, for the row may still be left to a scan.
    void chooseMeasured(CascadeRow& state) const {
        const size_t count = std::min(likeliestFor(state.row->wants->k), state.ranked.size());
        if (count < state.ranked.size())
            std::nth_element(state.ranked.begin(), state.ranked.begin() + static_cast<ptrdiff_t>(count), state.ranked.end(),
                             [](const Ranked& a, const Ranked& b) { return a.distance < b.distance; });
        state.measured.resize(count);
        state.isMeasuredBits.assign(cascade_.count / 32 + 1, 0);
        for (size_t i = 0; i < count; ++i) {
            const uint32_t place = state.measured[i] = state.ranked[i].place;
            state.isMeasuredBits[place / 32] |= uint32_t{1} << place % 32;
        }
        state.ranked.clear();
        if (isOnDisk_)
            for (const uint32_t place : state.measured) askForKey(state, place);
    }

    // By the keys that have been measured; with others' upper bounds they may lower it further.
    static void lowerRadiusToFound(CascadeRow& state) {
        const uint32_t k = state.row->wants->k;
        const DistanceBounds& distances = state.query.distances();
        for (const uint64_t found : state.found)
            state.uppers.push_back(std::nextafter(static_cast<float>(distances.radius(valueOf(found))), HUGE_VALF));
        if (state.found.size() < k) return;
        const auto kth = state.found.begin() + static_cast<ptrdiff_t>(k - 1);
        std::nth_element(state.found.begin(), kth, state.found.end());
        state.lowerRadius(distances.radius(valueOf(*kth)));
    }

    void finishBounds(CascadeRow& state) const {
        state.lowerRadiusToUppers();
        std::sort(state.candidates.begin(), state.candidates.end(), [](const Candidate& a, const Candidate& b) { return a.lower < b.lower; });
        if (!isOnDisk_) return;
        for (const Candidate& candidate : state.candidates) {
            if (static_cast<double>(candidate.lower) > limitOf(state)) break;
            askForKey(state, candidate.place);
        }
    }

    void askForKey(const CascadeRow& state, uint32_t place) const { askForPages(keyOf(state, place), dims_ * bytesOf(config_.dtype)); }

    // The largest lower bound of a candidate that may still matter.
    static double limitOf(const CascadeRow& state) {
        const double radius = state.radius.load(std::memory_order_relaxed);
        return state.levels->shape.hasLevel3 ? radius : static_cast<double>(state.query.largestScore(radius));
    }

    // Canonical distances of some candidates, unless by now none of them can matter: the likeliest come first.
    void measureCandidates(CascadeRow& state, std::span<const Candidate> candidates) const {
        state.lowerRadiusToPool();
        const double limit = limitOf(state);
        std::vector<uint32_t> places;
        for (const Candidate& candidate : candidates) {
            if (static_cast<double>(candidate.lower) > limit) break;
            places.push_back(candidate.place);
        }
        std::vector<uint64_t> found;
        measure(state, places, found);
        state.row->pool->offer(found.data(), found.size());
    }

    // Appends the order keys of some entries that may be among the nearest.
    void measure(const CascadeRow& state, std::span<const uint32_t> places, std::vector<uint64_t>& found) const {
        const auto ask = [&](size_t from, size_t to) {
            for (size_t i = from; i < std::min(places.size(), to); ++i) prefetch(keyOf(state, places[i]), dims_ * bytesOf(config_.dtype));
        };
        ask(0, 2);
        for (size_t i = 0; i < places.size(); ++i) {
            ask(i + 2, i + 3);
            float sum;
            tileSums_({state.row->query, dims_, 1}, {keyOf(state, places[i]), 0, 1, dims_}, &sum, 1);  // stride 0: no key comes after
            const uint64_t key = orderKey(orderedValue(sum, isDot_), cascade_.first + places[i]);
            if (key < state.row->pool->bound()) found.push_back(key);
        }
        call_.count(&rtd_search_counts::exact, places.size());
        call_.count(&rtd_search_counts::bytes, places.size() * dims_ * bytesOf(config_.dtype));
    }

    const void* keyOf(const CascadeRow& state, uint32_t place) const { return keyOf(state.row->head, place); }
    const void* keyOf(uint32_t head, uint32_t place) const {
        const uint32_t id = cascade_.first + place;
        const Part& part = snapshot_.partOf(id);
        return static_cast<const std::byte*>(part.keys) + (id - part.first) * config_.rowBytes() + size_t{head} * dims_ * bytesOf(config_.dtype);
    }

    const Index& index_;
    const Snapshot& snapshot_;
    const cascade::Cascade& cascade_;
    const IndexConfig& config_;
    const cpu::CodeSums& codes_;
    const Call& call_;
    uint32_t threads_ = 1, dims_;
    bool isDot_, isForced_, isOnDisk_ = false;
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
