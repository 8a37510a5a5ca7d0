// Asks the memory for what will be read soon.
#pragma once
#include <cstddef>

namespace rtd {

inline void prefetch(const void* memory, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(memory) + i, 0, 3);
}

}  // namespace rtd
