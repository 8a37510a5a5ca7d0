#include "index/scan.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <vector>

#include "core/canonical.h"
#include "core/memory.h"
#include "index/workers.h"

namespace rtd {
namespace {

constexpr uint32_t kTileKeys = 128;                 // keys whose sums are looked at together: 32 KB of sums for 64 queries
constexpr size_t kTicketBytes = size_t{256} << 10;  // keys a thread takes at a time: some 20 us of reading

// One reading of the keys for all rows.
class Scan {
  public:
    Scan(const Index& index, const Snapshot& snapshot, std::span<const Run> runs, std::span<const HeadRow* const> rows, const Call& call)
        : index_(index),
          snapshot_(snapshot),
          config_(index.config()),
          rows_(rows),
          call_(call),
          length_(config_.dim / config_.heads),
          isDot_(config_.metric == Metric::dot) {
        const auto type = static_cast<size_t>(config_.dtype);
        tileSums_ = isDot_ ? index.backend().dot[type] : index.backend().l2[type];
        queries_ = allocate<float>(rows.size() * length_, "queries");
        for (size_t r = 0; r < rows.size(); ++r) {
            std::memcpy(queries_.get() + r * length_, rows[r]->query, length_ * sizeof(float));
            if (r == 0 || rows[r]->head != rows[r - 1]->head) heads_.push_back({rows[r]->head, r, 0});
            most_ = std::max(most_, ++heads_.back().count);
        }
        ticketKeys_ = static_cast<uint32_t>(std::max<size_t>(1, kTicketBytes / config_.rowBytes() / kTileKeys)) * kTileKeys;
        for (const Run& run : runs)
            for (const Part& part : *snapshot.parts) {
                const uint32_t begin = std::max(run.begin, part.first), end = std::min(run.end, part.first + snapshot.filled(part));
                for (uint32_t id = begin; id < end; id += std::min(ticketKeys_, end - id))
                    tickets_.push_back({&part, id - part.first, std::min(ticketKeys_, end - id)});
            }
    }

    void run() {
        index_.workers().run(std::min(threadsOf(index_, call_), static_cast<uint32_t>(tickets_.size())), [&] { scanTickets(); });
        if (halted_) fail(RTD_CANCELLED, "cancelled by should_stop");
    }

  private:
    // Rows [first, first + count) are those of a head.
    struct Head {
        uint32_t head;
        size_t first, count;
    };
    // Keys [begin, begin + count) of a part.
    struct Ticket {
        const Part* part;
        uint32_t begin, count;
    };
    struct Scratch {
        std::unique_ptr<float[]> sums;
        uint64_t found[kTileKeys];
    };

    void scanTickets() {
        Scratch scratch;
        scratch.sums = allocate<float>(most_ * kTileKeys, "sums of a tile");
        for (size_t next; (next = nextTicket_.fetch_add(1, std::memory_order_relaxed)) < tickets_.size();) {
            if (call_.stopped()) halted_ = true;
            if (halted_) return;
            const Ticket& ticket = tickets_[next];
            for (uint32_t key = 0; key < ticket.count; key += kTileKeys)
                scanTile(*ticket.part, ticket.begin + key, std::min(kTileKeys, ticket.count - key), scratch);
        }
    }

    // Keys [begin, begin + count) of a part against all rows, head after head.
    void scanTile(const Part& part, uint32_t begin, uint32_t count, Scratch& scratch) {
        const auto* keys = static_cast<const std::byte*>(part.keys) + begin * config_.rowBytes();
        for (const Head& head : heads_) {
            const cpu::QueryTile queryTile = {queries_.get() + head.first * length_, length_, static_cast<uint32_t>(head.count)};
            const cpu::KeyTile keyTile = {keys + size_t{head.head} * length_ * bytesOf(config_.dtype), config_.dim, count, length_};
            tileSums_(queryTile, keyTile, scratch.sums.get(), kTileKeys);
            call_.count(&rtd_search_counts::scanned, head.count * count);
            call_.count(&rtd_search_counts::bytes, size_t{count} * length_ * bytesOf(config_.dtype));
            for (size_t i = 0; i < head.count; ++i) {
                const HeadRow& row = *rows_[head.first + i];
                const size_t found = gather(scratch.sums.get() + i * kTileKeys, part, begin, count, *row.wants, row.pool->bound(), scratch.found);
                if (found) row.pool->offer(scratch.found, found);
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
            const uint64_t key = orderKey(orderedValue(sums[i], isDot_), part.first + begin + i);
            if (key < bound && accepts(snapshot_, row, part, begin + i)) found[n++] = key;
        }
        return n;
    }

    const Index& index_;
    const Snapshot& snapshot_;
    const IndexConfig& config_;
    std::span<const HeadRow* const> rows_;
    const Call& call_;
    uint32_t length_;
    bool isDot_;
    cpu::TileSums tileSums_;
    std::unique_ptr<float[]> queries_;  // [rows, length]
    std::vector<Head> heads_;
    size_t most_ = 0;  // rows of a head
    uint32_t ticketKeys_ = 0;
    std::vector<Ticket> tickets_;
    std::atomic<size_t> nextTicket_ = 0;
    std::atomic<bool> halted_ = false;
};

}  // namespace

void scan(const Index& index, const Snapshot& snapshot, std::span<const Run> runs, std::span<const HeadRow* const> rows, const Call& call) {
    if (!rows.empty() && !runs.empty()) Scan(index, snapshot, runs, rows, call).run();
}

}  // namespace rtd
