// The back end "cuda": where its binary is, whether it works here, and an index on it.
#pragma once
#include <string>

#include "gpu/offload.h"

namespace rtd::gpu {

struct CudaBackend {
    OpenOffloaded open;  // null: cannot be used
    std::string reason;  // why not, or what it runs on
};

// Finds out once in a process, which spawns another one where there is a CUDA binary. Its file lies beside this library's, or is named by the
// environment's RTD_CUDA_LIBRARY; the probe lies beside it.
const CudaBackend& cudaBackend();

}  // namespace rtd::gpu
