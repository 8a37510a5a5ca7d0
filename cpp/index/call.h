// How a call runs; zero is the default.
#pragma once
#include <atomic>
#include <cstdint>

#include "rtd.h"

namespace rtd {

// How much of a call is done. Parts of it report shares of their own, which are put into the whole's.
struct Progress {
    void (*listener)(void* context, double share) = nullptr;
    void* context = nullptr;
    double begin = 0, end = 1;  // of the part that reports

    // One report at a time: the caller sees to that.
    void report(double share) const {
        if (listener) listener(context, begin + share * (end - begin));
    }
    Progress part(double from, double to) const { return {listener, context, begin + from * (end - begin), begin + to * (end - begin)}; }
};

struct Call {
    uint32_t threads = 0;                        // 0: as the index
    int (*shouldStop)(void* context) = nullptr;  // asked between tiles, from any thread of the call
    void* context = nullptr;
    bool onDevice = false;                // queries and logits lie in memory of the index's device
    rtd_search_counts* counts = nullptr;  // null: nobody counts
    Progress progress = {};               // only a seal reports
    rtd_row_figures* figures = nullptr;   // [rows]; null: nobody asks

    bool stopped() const { return shouldStop && shouldStop(context) != 0; }
    void throwIfStopped() const;  // RTD_CANCELLED
    // The same call for what makes up this share of its time.
    Call part(double from, double to) const {
        Call part = *this;
        part.progress = progress.part(from, to);
        return part;
    }
    // Adds to a count, from any thread.
    void count(uint64_t rtd_search_counts::*which, uint64_t n) const {
        if (counts) std::atomic_ref(counts->*which).fetch_add(n, std::memory_order_relaxed);
    }
};

}  // namespace rtd
