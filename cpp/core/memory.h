// Arrays whose size a caller decides: never a bare bad_alloc, always the bytes that were wanted.
#pragma once
#include <cstddef>
#include <memory>
#include <new>

#include "core/status.h"

namespace rtd {

// n elements, not initialised where T is trivial. RTD_OUT_OF_MEMORY names `what` and the bytes.
template <typename T> std::unique_ptr<T[]> allocate(size_t n, const char* what) {
    const size_t bytes = checkedProduct(n, sizeof(T), what);
    T* memory = nullptr;
    try {
        memory = new T[n];
    } catch (const std::bad_alloc&) {
        fail(RTD_OUT_OF_MEMORY, "no memory for %s: %zu bytes", what, bytes);
    }
    return std::unique_ptr<T[]>(memory);
}

}  // namespace rtd
