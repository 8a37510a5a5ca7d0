// What searches have found out about a head's levels: whether they are worth looking at. Where they are not (all keys equal, k near the number of
// keys, keys without structure) a search gives up early, and the next ones do not begin; now and then one tries again.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace rtd::cascade {

// From any thread. That two searches at once may count as one does no harm.
class Usefulness {
  public:
    // What one search of some rows asks and tells. Rows are alike if their k are of one order of magnitude.
    class Search {
      public:
        Search(Usefulness& usefulness, size_t rows) : usefulness_(usefulness), rows_(rows) {}
        ~Search() {
            for (size_t i = 0; i < kOrders; ++i)
                if (kinds_[i].served || kinds_[i].left) usefulness_.tell(i, rows_, kinds_[i].served >= kinds_[i].left);
        }
        Search(const Search&) = delete;
        Search& operator=(const Search&) = delete;

        bool isWorthTrying(uint32_t k) {
            Kind& kind = kinds_[orderOf(k)];
            if (!kind.isAsked) kind.isWorth = usefulness_.isWorthTrying(orderOf(k), rows_);
            kind.isAsked = true;
            return kind.isWorth;
        }
        // Whether the cascade served a row, or left it to a scan.
        void tell(uint32_t k, bool isServed) { ++(isServed ? kinds_[orderOf(k)].served : kinds_[orderOf(k)].left); }

      private:
        struct Kind {
            bool isAsked = false, isWorth = false;
            size_t served = 0, left = 0;
        };
        Usefulness& usefulness_;
        size_t rows_;
        std::array<Kind, 13> kinds_;
    };

  private:
    static constexpr size_t kOrders = 13;  // k is at most 2048
    static constexpr uint32_t kFewestLeftOut = 7, kMostLeftOut = 255;

    struct Setback {
        std::atomic<uint32_t> left = 0, last = 0;  // searches to be left out: still, and at the last time
    };

    static size_t orderOf(uint32_t k) { return static_cast<size_t>(std::bit_width(k)); }
    Setback& of(size_t order, size_t rows) { return setbacks_[order][std::min<size_t>(3, static_cast<size_t>(std::bit_width(rows) + 1) / 2)]; }

    // Counts: a search that is told no is one of those to be left out.
    bool isWorthTrying(size_t order, size_t rows) {
        std::atomic<uint32_t>& left = of(order, rows).left;
        const uint32_t n = left.load(std::memory_order_relaxed);
        if (n > 0) left.store(n - 1, std::memory_order_relaxed);
        return n == 0;
    }
    void tell(size_t order, size_t rows, bool hasHelped) {
        Setback& setback = of(order, rows);
        const uint32_t next = hasHelped ? 0 : std::min(kMostLeftOut, 2 * setback.last.load(std::memory_order_relaxed) + kFewestLeftOut);
        setback.last.store(next, std::memory_order_relaxed);
        setback.left.store(next, std::memory_order_relaxed);
    }

    Setback setbacks_[kOrders][4];
};

}  // namespace rtd::cascade
