// Global memory as other blocks may see it: stores arrive late and in any order until they are released, loads may be stale until an acquire.
//
// A store waits with its lane. A barrier of the warp or block hands it on to the warp or block (cumulativity); a release writes the lane's own stores
// and all that were handed on. What was written keeps its former values, with the time; a lane that has not acquired since may still be given one of
// those, unless its own block wrote the newer one.
#pragma once
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <vector>

namespace rtd::emulation {

struct Store {
    void* to;
    uint64_t value;
    uint32_t bytes;
    uint32_t block;
};
using Stores = std::vector<Store>;

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

class Memory {
  public:
    uint64_t now() const { return clock_; }

    void write(const Store& s) {
        uint64_t old = 0;
        std::memcpy(&old, s.to, s.bytes);
        history_[s.to].push_back({++clock_, old, s.block});
        std::memcpy(s.to, &s.value, s.bytes);
    }
    void writeAll(Stores& stores) {
        for (const Store& s : stores) write(s);
        stores.clear();
    }
    // Any one, but never past an older one to the same place.
    void writeOne(Stores& stores, Random& random) {
        size_t i = random() % stores.size();
        for (size_t j = 0; j < i; ++j)
            if (stores[j].to == stores[i].to) i = j;
        write(stores[i]);
        stores.erase(stores.begin() + static_cast<ptrdiff_t>(i));
    }

    // What a lane of `block` that last acquired at time `seen` may read: the present value, or one that was replaced since.
    template <typename T>
    T read(const T* from, uint64_t seen, uint32_t block, Random& random) const {
        uint64_t raw = 0;
        std::memcpy(&raw, from, sizeof(T));
        const auto found = history_.find(from);
        if (found != history_.end()) {
            const std::vector<Version>& versions = found->second;
            for (size_t i = versions.size(); i-- > 0 && versions[i].time > seen && versions[i].block != block && (random() & 1);)
                raw = versions[i].before;
        }
        T value;
        std::memcpy(&value, &raw, sizeof(T));
        return value;
    }

    void forget() { history_.clear(); }

  private:
    struct Version {
        uint64_t time, before;
        uint32_t block;
    };
    std::unordered_map<const void*, std::vector<Version>> history_;
    uint64_t clock_ = 0;
};

// The newest of the stores to a place, if there is one.
inline const Store* newest(const Stores& stores, const void* place) {
    for (size_t i = stores.size(); i-- > 0;)
        if (stores[i].to == place) return &stores[i];
    return nullptr;
}

}  // namespace rtd::emulation
