// What a listener is told of each merged row: copies, handed over through a bounded queue.
//
// The decoding thread puts steps in and never waits; JavaScript takes them out when it gets round to it. A listener that cannot keep up costs at most
// kMaxBytes: steps that find the queue full are not even copied, only counted.
#pragma once
#include <atomic>
#include <deque>
#include <mutex>
#include <vector>

#include "llama/row_names.h"
#include "rtd.h"

namespace rtd::llama {

struct Step {
    RowName name;  // -1, -1 where the row could not be named
    std::vector<float> hidden;
    std::vector<float> logits;  // merged
    std::vector<uint32_t> ids;  // [heads, k], padded, as the other two
    std::vector<float> distances;
    std::vector<int32_t> tokens;
    std::vector<uint32_t> counts;  // [heads]
    rtd_row_figures figures = {};
    rtd_row_status status = RTD_ROW_UNCHANGED;

    size_t bytes() const { return sizeof(float) * (hidden.size() + logits.size() + 3 * ids.size() + counts.size()) + sizeof *this; }
};

class StepQueue {
  public:
    static constexpr size_t kMaxSteps = 4096;
    static constexpr size_t kMaxBytes = size_t{64} << 20;

    // Whether anybody listens; without, nothing is searched or copied on a listener's behalf.
    void listen(bool on) { listening_ = on; }
    bool listening() const { return listening_; }

    // Puts in what `make` returns, a Step of `bytes`, if there is room.
    template <typename Make>
    void push(size_t bytes, Make&& make) {
        {
            const std::lock_guard lock(mutex_);
            if (!steps_.empty() && (steps_.size() >= kMaxSteps || bytes_ + bytes > kMaxBytes)) {
                ++dropped_;
                return;
            }
        }
        Step step = make();  // outside the lock; only one thread decodes, so the room is still there
        const std::lock_guard lock(mutex_);
        bytes_ += step.bytes();
        steps_.push_back(std::move(step));
    }

    // The oldest steps, at most `limit`.
    std::vector<Step> take(size_t limit) {
        const std::lock_guard lock(mutex_);
        std::vector<Step> taken;
        while (!steps_.empty() && taken.size() < limit) {
            bytes_ -= steps_.front().bytes();
            taken.push_back(std::move(steps_.front()));
            steps_.pop_front();
        }
        return taken;
    }

    uint64_t dropped() const { return dropped_; }

  private:
    std::atomic<bool> listening_{false};
    std::atomic<uint64_t> dropped_{0};
    std::mutex mutex_;
    std::deque<Step> steps_;
    size_t bytes_ = 0;
};

}  // namespace rtd::llama
