// The best hits of one row so far. Threads offer what is below the bound; when the pool is full it is cut to the k smallest and the bound
// tightens. An old bound is merely slower, never wrong, so it is read without a lock.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>

namespace rtd {

class RowPool {
  public:
    static constexpr uint64_t kNoBound = ~uint64_t{0};  // above every order key

    // Entries of room for a row of k: twice k, so that cutting costs a constant for each offer.
    static size_t capacityFor(uint32_t k) { return size_t{2} * k + 256; }

    // room: capacityFor(k) entries.
    void start(uint32_t k, uint64_t* room) {
        k_ = k;
        entries_ = room;
    }

    // Only order keys below it can be among the k nearest.
    uint64_t bound() const { return bound_.load(std::memory_order_relaxed); }

    void offer(const uint64_t* keys, size_t n) {
        const std::lock_guard lock(mutex_);
        for (size_t i = 0; i < n; ++i) {
            if (keys[i] >= bound()) continue;
            entries_[count_++] = keys[i];
            if (count_ == capacityFor(k_)) cut();
        }
    }

    // Makes the bound as tight as what was offered allows.
    void tighten() {
        const std::lock_guard lock(mutex_);
        if (count_ >= k_) cut();
    }

    // The k smallest offered, ascending; fewer if there were fewer.
    std::span<const uint64_t> finish() {
        const std::lock_guard lock(mutex_);
        if (count_ > k_) cut();
        std::sort(entries_, entries_ + count_);
        return {entries_, count_};
    }

  private:
    void cut() {
        std::nth_element(entries_, entries_ + k_ - 1, entries_ + count_);
        count_ = k_;
        bound_.store(entries_[k_ - 1], std::memory_order_relaxed);
    }

    std::mutex mutex_;
    std::atomic<uint64_t> bound_ = kNoBound;
    uint64_t* entries_ = nullptr;
    size_t count_ = 0;
    uint32_t k_ = 0;
};

}  // namespace rtd
