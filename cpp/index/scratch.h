// Memory that calls borrow and give back, so that a search does not pay for the pages of a fresh one each time.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/memory.h"

namespace rtd {

class ScratchPool {
  public:
    // What a call has borrowed; not initialised.
    class Loan {
      public:
        Loan(ScratchPool& pool, size_t words) : pool_(pool), words_(words), memory_(pool.take(words_)) {}
        ~Loan() { pool_.giveBack(std::move(memory_), words_); }
        Loan(const Loan&) = delete;
        Loan& operator=(const Loan&) = delete;
        uint16_t* get() const { return memory_.get(); }

      private:
        ScratchPool& pool_;
        size_t words_;
        std::unique_ptr<uint16_t[]> memory_;
    };

  private:
    std::unique_ptr<uint16_t[]> take(size_t& words) {
        {
            const std::lock_guard lock(mutex_);
            if (words_ >= words && memory_) {
                words = words_;
                return std::move(memory_);
            }
        }
        return allocate<uint16_t>(words, "scores");
    }
    // The largest one is kept.
    void giveBack(std::unique_ptr<uint16_t[]> memory, size_t words) {
        const std::lock_guard lock(mutex_);
        if (memory_ && words_ >= words) return;
        memory_.swap(memory);
        words_ = words;
    }

    std::mutex mutex_;
    std::unique_ptr<uint16_t[]> memory_;
    size_t words_ = 0;
};

}  // namespace rtd
