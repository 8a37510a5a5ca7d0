#include "ceiling.h"

#include <algorithm>
#include <cstdint>

namespace {

// Every byte once, in whole 16-byte words of 32 lanes side by side, four of them under way a thread. The sum keeps the compiler from leaving it out.
__global__ void readAll(const uint4* __restrict__ words, size_t count, unsigned* sink) {
    const size_t step = static_cast<size_t>(gridDim.x) * blockDim.x;
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    unsigned sum = 0;
    for (; i + 3 * step < count; i += 4 * step) {
        const uint4 a = __ldcs(words + i), b = __ldcs(words + i + step), c = __ldcs(words + i + 2 * step), d = __ldcs(words + i + 3 * step);
        sum ^= a.x ^ a.y ^ a.z ^ a.w ^ b.x ^ b.y ^ b.z ^ b.w ^ c.x ^ c.y ^ c.z ^ c.w ^ d.x ^ d.y ^ d.z ^ d.w;
    }
    for (; i < count; i += step) {
        const uint4 a = __ldcs(words + i);
        sum ^= a.x ^ a.y ^ a.z ^ a.w;
    }
    if (sum == 0x9e3779b9u) atomicAdd(sink, 1u);  // as good as never
}

}  // namespace

void launchReadAll(const void* memory, size_t bytes, unsigned blocks, unsigned* sink, cudaStream_t stream) {
    readAll<<<blocks, 512, 0, stream>>>(static_cast<const uint4*>(memory), bytes / sizeof(uint4), sink);
}
