// primitives.cuh without nvcc: the kernel's source as C++, on lanes that are fibers of one thread or threads of their own.
#pragma once
#include <bit>
#include <cstring>

#include "core/dtype.h"

#define __global__
#define __launch_bounds__(...)
#define __grid_constant__
#define RTD_DEVICE inline

namespace rtd::cuda {

inline uint32_t leadingZeros(uint64_t v) { return static_cast<uint32_t>(std::countl_zero(v)); }

using Single = float;
using Half = F16;
using Brain = Bf16;
inline Half toHalf(float v) { return toF16(v); }
inline void store4(float* p, const float (&v)[4]) { std::memcpy(p, v, sizeof v); }

}  // namespace rtd::cuda

#if defined(RTD_LANES_ARE_THREADS)
#include "emulation/on_threads.h"
#else
#include "emulation/on_fibers.h"
#endif
