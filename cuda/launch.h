// What the host knows of the compiled kernels. Plain C++; the tables are in the .cu files, one for each family of architectures.
#pragma once
#include <cstddef>
#include <cstdint>

#include "arguments.h"

namespace rtd::cuda {

enum class KeyType : uint32_t { f32, f16, bf16 };

struct KernelEntry {
    KeyType key;
    bool isDot;
    uint32_t queries;  // of one pass over the keys
    uint32_t tileKeys, threads;
    const void* function;
    size_t fixedBytes, ringBytes;  // of shared memory
    bool hasTensors;               // it can take level 3 of a cascade on the tensor cores

    // Dynamic shared memory of a launch with room for so many hits.
    size_t sharedBytes(uint32_t hitRoom) const {
        const size_t votes = 2 * sizeof(double) * size_t{hitRoom};
        return fixedBytes + sizeof(uint64_t) * size_t{hitRoom} + (ringBytes > votes ? ringBytes : votes);
    }
};

struct KernelTable {
    const KernelEntry* entries;
    size_t count;
};

// Compiled for other architectures than the device's: no image is found at launch, which the host asks before.
KernelTable largeKernels();
KernelTable mediumKernels();
KernelTable smallKernels();

}  // namespace rtd::cuda
