#include "index/search.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/canonical.h"
#include "core/memory.h"
#include "index/row_pool.h"
#include "index/workers.h"

namespace rtd {
namespace {

constexpr uint32_t kTileKeys = 128;                 // keys whose sums are looked at together: 32 KB of sums for 64 queries
constexpr uint32_t kGroupQueries = 64;              // queries that share one reading of the keys ...
constexpr uint32_t kGroupRows = 8192;               // ... but not more rows (queries x heads) than this: every row has a pool
constexpr size_t kTicketBytes = size_t{256} << 10;  // keys a thread takes at a time: some 20 us of reading
constexpr size_t kFinishShare = 8192;               // entries of pools to sort that are worth one more thread: some 100 us

// One reading of all keys for up to kGroupQueries queries.
class Scan {
  public:
    Scan(const Index& index, const Snapshot& snapshot, const float* queries, std::span<const SearchRow> rows, std::span<const uint32_t> group,
         const Call& call)
        : index_(index),
          snapshot_(snapshot),
          config_(index.config()),
          rows_(rows),
          group_(group),
          call_(call),
          isDot_(config_.metric == Metric::dot) {
        const auto type = static_cast<size_t>(config_.dtype);
        tileSums_ = isDot_ ? index.backend().dot[type] : index.backend().l2[type];
        queries_ = allocate<float>(group.size() * config_.dim, "queries");
        for (size_t q = 0; q < group.size(); ++q)
            std::memcpy(queries_.get() + q * config_.dim, queries + size_t{group[q]} * config_.dim, config_.dim * sizeof(float));

        for (const uint32_t q : group) room_ += config_.heads * RowPool::capacityFor(rows[q].k);
        entries_ = allocate<uint64_t>(room_, "the nearest keys so far");
        pools_ = allocate<RowPool>(group.size() * config_.heads, "the state of rows");
        uint64_t* at = entries_.get();
        for (size_t r = 0; r < group.size() * config_.heads; ++r) {
            const uint32_t k = rows[group[r / config_.heads]].k;
            pools_[r].start(k, at);
            at += RowPool::capacityFor(k);
        }

        ticketKeys_ = static_cast<uint32_t>(std::max<size_t>(1, kTicketBytes / config_.rowBytes() / kTileKeys)) * kTileKeys;
        for (const Part& part : *snapshot.parts) {
            firstTickets_.push_back(tickets_);
            tickets_ += (snapshot.filled(part) + ticketKeys_ - 1) / ticketKeys_;
        }
    }

    void run(HitLists& hits) {
        const uint32_t threads = threadsOf(index_, call_);
        index_.workers().run(std::min(threads, tickets_), [&] { scanTickets(); });
        if (halted_) fail(RTD_CANCELLED, "cancelled by should_stop");
        const auto rowCount = static_cast<uint32_t>(group_.size() * config_.heads);
        std::atomic<uint32_t> next = 0;
        index_.workers().run(std::min(rowCount, WorkerPool::threadsFor(room_, kFinishShare, threads)), [&] {
            for (uint32_t r; (r = next.fetch_add(1, std::memory_order_relaxed)) < rowCount;) finishRow(r, hits);
        });
    }

  private:
    struct Scratch {
        std::unique_ptr<float[]> sums;
        uint64_t found[kTileKeys];
    };

    void scanTickets() {
        Scratch scratch;
        scratch.sums = allocate<float>(group_.size() * kTileKeys, "sums of a tile");
        for (uint32_t ticket; (ticket = nextTicket_.fetch_add(1, std::memory_order_relaxed)) < tickets_;) {
            if (call_.stopped()) halted_ = true;
            if (halted_) return;
            const auto place = std::prev(std::upper_bound(firstTickets_.begin(), firstTickets_.end(), ticket));
            const Part& part = (*snapshot_.parts)[static_cast<size_t>(place - firstTickets_.begin())];
            const uint32_t begin = (ticket - *place) * ticketKeys_, end = begin + std::min(ticketKeys_, snapshot_.filled(part) - begin);
            for (uint32_t key = begin; key < end; key += kTileKeys) scanTile(part, key, std::min(kTileKeys, end - key), scratch);
        }
    }

    // Keys [begin, begin + count) of a part against all queries of the group, head after head.
    void scanTile(const Part& part, uint32_t begin, uint32_t count, Scratch& scratch) {
        const uint32_t length = config_.dim / config_.heads;
        const auto* keys = static_cast<const std::byte*>(part.keys) + begin * config_.rowBytes();
        for (uint32_t h = 0; h < config_.heads; ++h) {
            const size_t offset = size_t{h} * length;
            const cpu::QueryTile queryTile = {queries_.get() + offset, config_.dim, static_cast<uint32_t>(group_.size())};
            const cpu::KeyTile keyTile = {keys + offset * bytesOf(config_.dtype), config_.dim, count, length};
            tileSums_(queryTile, keyTile, scratch.sums.get(), kTileKeys);
            for (size_t q = 0; q < group_.size(); ++q) {
                RowPool& pool = pools_[q * config_.heads + h];
                const size_t found = gather(scratch.sums.get() + q * kTileKeys, part, begin, count, rows_[group_[q]], pool.bound(), scratch.found);
                if (found) pool.offer(scratch.found, found);
            }
        }
    }

    // The order keys of a tile that are below the bound and belong to entries the row accepts. The cheap test comes first: once the bound is
    // tight, nearly every tile ends there.
    size_t gather(const float* sums, const Part& part, uint32_t begin, uint32_t count, const SearchRow& row, uint64_t bound, uint64_t* found) const {
        const float sign = isDot_ ? -1.0f : 1.0f, limit = bound == RowPool::kNoBound ? std::numeric_limits<float>::infinity() : valueOf(bound);
        bool isAny = false;
        for (uint32_t i = 0; i < count; ++i) isAny |= !(sign * sums[i] > limit);  // a NaN passes: it counts as +infinity
        if (!isAny) return 0;
        size_t n = 0;
        for (uint32_t i = 0; i < count; ++i) {
            if (sign * sums[i] > limit) continue;
            const uint32_t id = part.first + begin + i;
            const uint64_t key = orderKey(orderedValue(sums[i], isDot_), id);
            if (key < bound && snapshot_.isLive(id) && accepts(row, part, begin + i)) found[n++] = key;
        }
        return n;
    }

    static bool accepts(const SearchRow& row, const Part& part, uint32_t at) {
        return row.anyNamespace || std::binary_search(row.namespaces.begin(), row.namespaces.end(), part.namespaces ? part.namespaces[at] : 0);
    }

    void finishRow(uint32_t r, HitLists& hits) {
        const uint32_t query = group_[r / config_.heads];
        const std::span<const uint64_t> nearest = pools_[r].finish();
        const auto isBeyond = [&](uint64_t key) { return !(distanceOf(key, config_.metric == Metric::l2) <= rows_[query].maxDistance); };
        const auto end = std::partition_point(nearest.begin(), nearest.end(), [&](uint64_t key) { return !isBeyond(key); });
        hits.set(size_t{query} * config_.heads + r % config_.heads, nearest.data(), static_cast<uint32_t>(end - nearest.begin()));
    }

    const Index& index_;
    const Snapshot& snapshot_;
    const IndexConfig& config_;
    std::span<const SearchRow> rows_;
    std::span<const uint32_t> group_;  // which of rows_
    const Call& call_;
    bool isDot_;
    cpu::TileSums tileSums_;
    std::unique_ptr<float[]> queries_;     // of the group, without gaps
    size_t room_ = 0;                      // of all pools
    std::unique_ptr<uint64_t[]> entries_;  // [room_]
    std::unique_ptr<RowPool[]> pools_;     // [group x heads]
    uint32_t ticketKeys_ = 0, tickets_ = 0;
    std::vector<uint32_t> firstTickets_;  // of each part
    std::atomic<uint32_t> nextTicket_ = 0;
    std::atomic<bool> halted_ = false;
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
        Scan(index, snapshot, queries, rows, std::span(wanted).subspan(begin, std::min(groupSize, wanted.size() - begin)), call).run(hits);
    }
    return hits;
}

}  // namespace rtd
