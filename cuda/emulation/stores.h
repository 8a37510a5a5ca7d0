// Stores to global memory that are under way: they arrive late and in any order until they are released.
//
// A store waits with its lane. A barrier of the warp or block hands it on to the warp or block (cumulativity); a release writes the lane's own stores
// and all that were handed on.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "emulation/random.h"

namespace rtd::emulation {

struct Store {
    void* to;
    uint64_t value;
    uint32_t bytes;

    void arrive() const { std::memcpy(to, &value, bytes); }
};
using Stores = std::vector<Store>;

inline void arriveAll(Stores& stores) {
    for (const Store& s : stores) s.arrive();
    stores.clear();
}

// Any one, but never past an older one to the same place.
inline void arriveOne(Stores& stores, Random& random) {
    size_t i = random() % stores.size();
    for (size_t j = 0; j < i; ++j)
        if (stores[j].to == stores[i].to) i = j;
    stores[i].arrive();
    stores.erase(stores.begin() + static_cast<ptrdiff_t>(i));
}

// The newest of the stores to a place, if there is one.
inline const Store* newest(const Stores& stores, const void* place) {
    for (size_t i = stores.size(); i-- > 0;)
        if (stores[i].to == place) return &stores[i];
    return nullptr;
}

}  // namespace rtd::emulation
