// The exact search: a scan of a snapshot's keys, by tiles, on several threads, with the same hits whatever the threads.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "core/memory.h"
#include "index/index.h"

namespace rtd {

// What one query wants.
struct SearchRow {
    uint32_t k = 0;                                              // 0: nothing, the query is not looked at
    float maxDistance = std::numeric_limits<float>::infinity();  // hits beyond it are left out; infinity keeps all
    bool anyNamespace = true;
    std::vector<uint32_t> namespaces;  // accepted ones, unless any
    std::vector<uint32_t> seeds;       // ids expected among the nearest, each once; only devices look at them
};

// The hits of B x H rows (row b * H + h), each in the total order of core/canonical.h.
class HitLists {
  public:
    explicit HitLists(size_t rows) : lists_(allocate<List>(rows, "lists of hits")) {}
    std::span<const uint64_t> row(size_t r) const { return {lists_[r].keys.get(), lists_[r].count}; }  // order keys
    void set(size_t r, const uint64_t* keys, uint32_t count);

  private:
    struct List {
        std::unique_ptr<uint64_t[]> keys;
        uint32_t count = 0;
    };
    std::unique_ptr<List[]> lists_;
};

// The nearest live entries of each query. queries: [rows.size(), dim] float32, finite, row after row.
// RTD_CANCELLED, RTD_OUT_OF_MEMORY.
HitLists search(const Index& index, const Snapshot& snapshot, const float* queries, std::vector<SearchRow> rows, const Call& call);

// The threads a call may use.
inline uint32_t threadsOf(const Index& index, const Call& call) { return call.threads ? call.threads : index.config().threads; }

}  // namespace rtd
