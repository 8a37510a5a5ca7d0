// One reference attached to one context: the index, the options of its rows, a listener's queue, and what became of the rows.
//
// Shared between JavaScript, which sets options and reads figures, and the thread that decodes, which takes the options as they are when a decode begins.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "core/status.h"
#include "llama/options.h"
#include "llama/step_queue.h"
#include "llama/undecided.h"
#include "rtd.h"

namespace rtd::llama {

struct Counters {
    std::atomic<uint64_t> decodes{0};  // calls of llama_decode that came by
    std::atomic<uint64_t> rows{0};     // rows of logits that were to be merged
    std::atomic<uint64_t> merged{0};
    std::atomic<uint64_t> unchanged{0};    // no hit
    std::atomic<uint64_t> unmergeable{0};  // NaN, +infinity or nothing but -infinity in the logits or the hidden state
    std::atomic<uint64_t> failures{0};     // decodes that were made to fail

    void count(rtd_row_status status) {
        ++rows;
        ++(status == RTD_ROW_MERGED ? merged : status == RTD_ROW_UNCHANGED ? unchanged : unmergeable);
    }
};

// The last failure of a decode, kept until somebody asks for it.
class FailureSlot {
  public:
    void put(Error error) {
        const std::lock_guard lock(mutex_);
        error_ = std::move(error);
    }
    std::optional<Error> take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(error_, std::nullopt);
    }

  private:
    std::mutex mutex_;
    std::optional<Error> error_;
};

class Attachment {
  public:
    // Retains the index, so that it lives on if its owner disposes it. threads 0: as the index. isRuled: rows are left undecided, see undecided.h.
    // layer: whose states are searched for, by llama.cpp's name; empty for the last norm.
    Attachment(rtd_index* index, uint32_t threads, OptionTable options, bool isRuled = false, std::string layer = {})
        : index_(index),
          threads_(threads),
          isRuled_(isRuled),
          layer_(std::move(layer)),
          options_(std::make_shared<const OptionTable>(std::move(options))) {
        rtd_index_retain(index_);
    }
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;
    ~Attachment() { rtd_index_release(index_); }

    const rtd_index* index() const { return index_; }
    uint32_t threads() const { return threads_; }
    bool isRuled() const { return isRuled_; }
    // Whether a row has to be looked at, for whoever it is.
    bool wants(const RowOptions& row) const { return row.merges() || (row.enabled && (isRuled_ || steps.listening())); }
    const std::string& layer() const { return layer_; }

    std::shared_ptr<const OptionTable> options() const {
        const std::lock_guard lock(mutex_);
        return options_;
    }
    void setOptions(OptionTable table) {
        auto next = std::make_shared<const OptionTable>(std::move(table));
        const std::lock_guard lock(mutex_);
        options_.swap(next);
    }

    StepQueue steps;
    Counters counters;
    FailureSlot failure;
    UndecidedSlot undecided;
    std::atomic<bool> disposed{false};  // its context was freed

  private:
    rtd_index* index_;
    uint32_t threads_;
    bool isRuled_;
    std::string layer_;
    mutable std::mutex mutex_;
    std::shared_ptr<const OptionTable> options_;
};

}  // namespace rtd::llama
