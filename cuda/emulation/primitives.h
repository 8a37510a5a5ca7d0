// primitives.cuh without nvcc: the kernel's source as C++, on lanes that are fibers of one thread or threads of their own.
#pragma once
#include <bit>
#include <cstring>

#include "core/dtype.h"

#define __global__
#define __launch_bounds__(...)
#define __grid_constant__
#define RTD_DEVICE inline
#define RTD_APART inline

namespace rtd::cuda {

inline uint32_t leadingZeros(uint64_t v) { return static_cast<uint32_t>(std::countl_zero(v)); }

void checkAligned(const void* p, size_t bytes);  // of what a GPU reads or writes at once, and faults where it lies off its boundary

struct alignas(16) Quad {
    uint32_t words[4];
};
inline Quad load16(const void* p) {
    checkAligned(p, 16);
    Quad quad;
    std::memcpy(&quad, p, sizeof quad);
    return quad;
}
inline Quad loadShared16(const void* p) {
    checkAligned(p, 16);
    return *static_cast<const Quad*>(p);
}

inline int32_t dp4a(uint32_t codes, uint32_t z, int32_t sum) {
    for (uint32_t at = 0; at < 32; at += 8) sum += static_cast<int32_t>(codes >> at & 255) * static_cast<int8_t>(z >> at);
    return sum;
}

// What each lane gives to multiplyCodes(), and what lane `lane` gets: see primitives.cuh.
struct Fragments {
    uint32_t a[4], b[2];
};
template <typename FragmentsOf>
void multiplyFragments(int32_t (&d)[4], uint32_t lane, FragmentsOf fragmentsOf) {
    for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t row = lane / 4 % 8 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (uint32_t k = 0; k < 32; k += 4)
            d[i] = dp4a(fragmentsOf(row % 8 * 4 + k / 4 % 4).a[row / 8 + k / 16 * 2], fragmentsOf(column * 4 + k / 4 % 4).b[k / 16], d[i]);
    }
}

using Single = float;
using Half = F16;
using Brain = Bf16;
inline Half toHalf(float v) { return toF16(v); }

}  // namespace rtd::cuda

#if defined(RTD_LANES_ARE_THREADS)
#include "emulation/on_threads.h"
#else
#include "emulation/on_fibers.h"
#endif

namespace rtd::cuda {

template <typename T>
void storeWords(T* to, const T& from) {
    for (size_t i = 0; i < sizeof(T) / 4; ++i) {
        uint32_t word;
        std::memcpy(&word, reinterpret_cast<const char*>(&from) + 4 * i, 4);
        storeGlobal(reinterpret_cast<uint32_t*>(to) + i, word);
    }
}

}  // namespace rtd::cuda
