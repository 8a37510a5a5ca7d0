// Memory whose size a caller decides: never a bare bad_alloc, always the bytes that were wanted.
#pragma once
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <vector>

#include "core/status.h"

namespace rtd {

// n elements, not initialised where T is trivial. RTD_OUT_OF_MEMORY names `what` and the bytes.
template <typename T>
std::unique_ptr<T[]> allocate(size_t n, const char* what) {
    const size_t bytes = checkedProduct(n, sizeof(T), what);
    T* memory = new (std::nothrow) T[n];
    if (!memory) fail(RTD_OUT_OF_MEMORY, "no memory for %s: %zu bytes", what, bytes);
    return std::unique_ptr<T[]>(memory);
}

// Room for n elements in a vector, or the same error.
template <typename T>
void reserve(std::vector<T>& vector, size_t n, const char* what) {
    const size_t bytes = checkedProduct(n, sizeof(T), what);
    try {
        vector.reserve(n);
    } catch (const std::exception&) {  // bad_alloc or length_error
        fail(RTD_OUT_OF_MEMORY, "no memory for %s: %zu bytes", what, bytes);
    }
}

}  // namespace rtd
