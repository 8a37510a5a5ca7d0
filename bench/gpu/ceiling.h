// The read-only ceiling: a kernel that does nothing but read.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>

// Reads `bytes` (a multiple of 16) from memory aligned to 16 bytes.
void launchReadAll(const void* memory, size_t bytes, unsigned blocks, unsigned* sink, cudaStream_t stream);
