#include "index/search.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/canonical.h"
#include "core/memory.h"
#include "index/cascade_search.h"
#include "index/row_pool.h"
#include "index/scan.h"
#include "index/workers.h"

namespace rtd {
namespace {

constexpr uint32_t kGroupQueries = 64;  // queries that share one reading of the keys ...
constexpr uint32_t kGroupRows = 8192;   // ... but not more rows (queries x heads) than this: every row has a pool
constexpr size_t kFinishShare = 8192;   // entries of pools to sort that are worth one more thread: some 100 us

// Up to kGroupQueries queries, searched together.
class Group {
  public:
    Group(const Index& index, const Snapshot& snapshot, const float* queries, std::span<const SearchRow> rows, std::span<const uint32_t> group,
          const Call& call)
        : index_(index), snapshot_(snapshot), config_(index.config()), group_(group), call_(call) {
        for (const uint32_t q : group) room_ += config_.heads * RowPool::capacityFor(rows[q].k);
        entries_ = allocate<uint64_t>(room_, "the nearest keys so far");
        pools_ = allocate<RowPool>(group.size() * config_.heads, "the state of rows");
        uint64_t* at = entries_.get();
        reserve(rows_, group.size() * config_.heads, "rows");
        const uint32_t length = config_.dim / config_.heads;
        for (uint32_t h = 0; h < config_.heads; ++h)
            for (const uint32_t q : group) {
                RowPool& pool = pools_[rows_.size()];
                pool.start(rows[q].k, at);
                at += RowPool::capacityFor(rows[q].k);
                rows_.push_back({queries + size_t{q} * config_.dim + size_t{h} * length, h, &rows[q], &pool});
            }
    }

    void run(HitLists& hits) {
        std::vector<const HeadRow*> all;
        for (const HeadRow& row : rows_) all.push_back(&row);
        scan(index_, snapshot_, runsBetweenCascades(), all, call_);
        for (const auto& cascade : snapshot_.cascades) {
            const std::vector<const HeadRow*> unserved = searchCascade(index_, snapshot_, *cascade, all, call_);
            const Run run = {cascade->first, cascade->first + cascade->count};
            scan(index_, snapshot_, {&run, 1}, unserved, call_);
        }
        std::atomic<uint32_t> next = 0;
        const auto rowCount = static_cast<uint32_t>(rows_.size());
        const uint32_t threads = WorkerPool::threadsFor(room_, kFinishShare, threadsOf(index_, call_));
        index_.workers().run(std::min(rowCount, threads), [&] {
            for (uint32_t r; (r = next.fetch_add(1, std::memory_order_relaxed)) < rowCount;) finishRow(r, hits);
        });
    }

  private:
    std::vector<Run> runsBetweenCascades() const {
        std::vector<Run> runs;
        uint32_t begin = 0;
        for (const auto& cascade : snapshot_.cascades) {
            if (begin < cascade->first) runs.push_back({begin, cascade->first});
            begin = cascade->first + cascade->count;
        }
        if (begin < snapshot_.entries) runs.push_back({begin, snapshot_.entries});
        return runs;
    }

    void finishRow(uint32_t r, HitLists& hits) {
        const HeadRow& row = rows_[r];
        const std::span<const uint64_t> nearest = row.pool->finish();
        const auto isBeyond = [&](uint64_t key) { return !(distanceOf(key, config_.metric == Metric::l2) <= row.wants->maxDistance); };
        const auto end = std::partition_point(nearest.begin(), nearest.end(), [&](uint64_t key) { return !isBeyond(key); });
        const size_t query = group_[r % group_.size()];
        hits.set(query * config_.heads + row.head, nearest.data(), static_cast<uint32_t>(end - nearest.begin()));
    }

    const Index& index_;
    const Snapshot& snapshot_;
    const IndexConfig& config_;
    std::span<const uint32_t> group_;  // which queries
    const Call& call_;
    size_t room_ = 0;                      // of all pools
    std::unique_ptr<uint64_t[]> entries_;  // [room_]
    std::unique_ptr<RowPool[]> pools_;     // [heads x group]
    std::vector<HeadRow> rows_;            // the same order: by head
};

}  // namespace

void HitLists::set(size_t r, const uint64_t* keys, uint32_t count) {
    lists_[r].keys = allocate<uint64_t>(count, "hits");
    lists_[r].count = count;
    if (count) std::memcpy(lists_[r].keys.get(), keys, count * sizeof *keys);
}

HitLists search(const Index& index, const Snapshot& snapshot, const float* queries, std::vector<SearchRow> rows, const Call& call) {
    HitLists hits(checkedProduct(rows.size(), index.config().heads, "rows of hits"));
    std::vector<uint32_t> wanted;
    for (size_t b = 0; b < rows.size(); ++b) {
        rows[b].k = std::min(rows[b].k, snapshot.live);
        std::sort(rows[b].namespaces.begin(), rows[b].namespaces.end());
        if (rows[b].k > 0) wanted.push_back(static_cast<uint32_t>(b));
    }
    const size_t groupSize = std::clamp(kGroupRows / index.config().heads, 1u, kGroupQueries);
    for (size_t begin = 0; begin < wanted.size(); begin += groupSize) {
        call.throwIfStopped();
        Group(index, snapshot, queries, rows, std::span(wanted).subspan(begin, std::min(groupSize, wanted.size() - begin)), call).run(hits);
    }
    return hits;
}

}  // namespace rtd
