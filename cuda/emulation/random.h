// The random numbers of the scheduler and of memory.
#pragma once
#include <cstdint>

namespace rtd::emulation {

// splitmix64: every bit usable on its own. (A weak generator in the scheduler starves blocks.)
class Random {
  public:
    explicit Random(uint64_t seed = 1) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}
    uint64_t operator()() {
        uint64_t x = state_ += 0x9e3779b97f4a7c15ull;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ x >> 27) * 0x94d049bb133111ebull;
        return x ^ x >> 31;
    }

  private:
    uint64_t state_;
};

}  // namespace rtd::emulation
