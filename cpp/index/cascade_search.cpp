#include "index/cascade_search.h"

#include <algorithm>
#include <atomic>
#include <bit>

#include "core/canonical.h"
#include "core/memory.h"
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
constexpr uint32_t kSampledBlocks = 128;         // of which scores are looked at to choose a cut
constexpr size_t kSampledShare = 16;             // one chunk in so many shows whether the cascade helps
constexpr size_t kKeysAtOnce = 16;               // of which canonical sums are taken between two looks at the bound

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
        const LevelFilter filter(snapshot_, cascade_, levels, codes_, call_);
        scoreBlocks(levels, bounded, stride);
        // The keys that look nearest give the first radius; then come all others that may lie within it.
        forEach(bounded.size(), [&](size_t i) { probe(filter, *bounded[i]); });
        const bool isWide = bounded.size() >= LevelFilter::kWideRows && levels.shape.directions2;
        const auto sweepChunks = [&](const std::vector<size_t>& chunks) {
            forEach(chunks.size(), [&](size_t i) {
                if (isWide) return filter.sweep(bounded, chunks[i]);
                for (CascadeRow* state : bounded) filter.sweep(*state, chunks[i]);
            });
        };
        // A sample first: rows for which it promises no gain are left to a scan.
        std::vector<size_t> sample, others;
        const size_t every = std::min(filter.chunks(), kSampledShare);
        for (size_t chunk = 0; chunk < filter.chunks(); ++chunk) (chunk % every == every / 2 ? sample : others).push_back(chunk);
        sweepChunks(sample);
        if (!isForced_) giveUp(bounded, static_cast<double>(filter.chunks()) / static_cast<double>(sample.size()), isWide, unserved);
        if (bounded.empty()) return;
        sweepChunks(others);
        forEach(bounded.size(), [&](size_t i) { finishBounds(*bounded[i]); });
        if (bounded.size() >= threads_) {
            forEach(bounded.size(), [&](size_t i) {
                for (size_t batch = 0; batch * kKeysAtOnce < bounded[i]->candidates.size(); ++batch) measure(*bounded[i], batch);
            });
        } else {
            for (CascadeRow* state : bounded)
                forEach((state->candidates.size() + kKeysAtOnce - 1) / kKeysAtOnce, [&](size_t batch) { measure(*state, batch); });
        }
    }

    // Leaves to a scan the rows for which that is cheaper, all in all: many rows share one reading of the keys. Costs are nanoseconds of some
    // processor; a row's are `scale` times what the sample had of everything.
    void giveUp(std::vector<CascadeRow*>& states, double scale, bool isWide, std::vector<const HeadRow*>& unserved) const {
        constexpr double kLine = 6, kLineInOrder = 2.5, kKey = 40;  // 64 bytes from anywhere, from nearby, and what a key costs beside that
        constexpr double kByte = 0.06, kNumber = 0.032;             // of keys read in order, and of keys compared with one row
        const auto lines = [](double bytes) { return bytes / 64 + 1; };
        const LevelShape& shape = states.front()->levels->shape;
        const double keys = states.front()->levels->count, numbers = dims_, keyBytes = numbers * bytesOf(config_.dtype);
        double rest = 0;
        for (CascadeRow* state : states) {
            const auto looked2 = static_cast<double>(state->looked2), looked3 = static_cast<double>(state->looked3);
            state->skips2 = looked3 > 0.7 * looked2;
            const double two = state->skips2 ? 0 : isWide ? keys * 1.5 : looked2 * scale * lines(cascade::kRowBytes2) * kLine;
            const double three = (state->skips2 ? looked2 : looked3) * scale * lines(shape.rowBytes3()) * (isWide ? kLineInOrder : kLine);
            const double exact = static_cast<double>(state->candidates.size() - state->probed) * scale * (lines(keyBytes) * kLine + kKey);
            state->cost = two + three + exact;
            rest += state->cost;
        }
        std::sort(states.begin(), states.end(), [](const CascadeRow* a, const CascadeRow* b) { return a->cost > b->cost; });
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

    // A score that about `wanted` keys do not exceed, judging by a sample.
    static uint16_t cutFor(const CascadeRow& state, size_t wanted) {
        const size_t blocks = LevelShape::blocksOf(state.levels->count), step = std::max<size_t>(1, blocks / kSampledBlocks);
        std::vector<uint16_t> sample;
        for (size_t b = 0; b < blocks; b += step)
            sample.insert(sample.end(), state.scores + b * cpu::kBlockKeys, state.scores + (b + 1) * cpu::kBlockKeys);
        const size_t rank = std::min(sample.size() - 1, wanted * sample.size() / state.levels->count);
        std::nth_element(sample.begin(), sample.begin() + static_cast<ptrdiff_t>(rank), sample.end());
        return sample[rank];
    }

    void probe(const LevelFilter& filter, CascadeRow& state) const {
        filter.maskScores(state);
        state.lowerRadiusToPool();
        const size_t wanted = 2 * size_t{state.row->wants->k} + 128;
        state.cut = cutFor(state, wanted);
        // Among ties there may be many more than wanted: then the rest is left to the sweep.
        for (size_t seen = 0; state.probedChunks < filter.chunks() && seen < 4 * wanted; ++state.probedChunks)
            seen += filter.visit(state, state.probedChunks, 0, state.cut);
        state.lowerRadiusToUppers();
        filter.visitOutliers(state);
        state.looked2 = state.looked3 = 0;  // from here on they are a sample
        state.probed = state.candidates.size();
    }

    void finishBounds(CascadeRow& state) {
        state.lowerRadiusToUppers();
        std::sort(state.candidates.begin(), state.candidates.end(), [](const Candidate& a, const Candidate& b) { return a.lower < b.lower; });
    }

    // Canonical distances of a batch of candidates, unless by now none of them can matter: the likeliest come first.
    void measure(CascadeRow& state, size_t batch) {
        state.lowerRadiusToPool();
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
        call_.count(&rtd_search_counts::bytes, measured * dims_ * bytesOf(config_.dtype));
        if (n) state.row->pool->offer(found, n);
    }

    const void* keyOf(const CascadeRow& state, uint32_t place) const {
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
