// How a call runs; zero is the default.
#pragma once
#include <atomic>
#include <cstdint>

#include "rtd.h"

namespace rtd {

struct Call {
    uint32_t threads = 0;                        // 0: as the index
    int (*shouldStop)(void* context) = nullptr;  // asked between tiles, from any thread of the call
    void* context = nullptr;
    bool onDevice = false;                // queries and logits lie in memory of the index's device
    rtd_search_counts* counts = nullptr;  // null: nobody counts

    bool stopped() const { return shouldStop && shouldStop(context) != 0; }
    void throwIfStopped() const;  // RTD_CANCELLED
    // Adds to a count, from any thread.
    void count(uint64_t rtd_search_counts::*which, uint64_t n) const {
        if (counts) std::atomic_ref(counts->*which).fetch_add(n, std::memory_order_relaxed);
    }
};

}  // namespace rtd
