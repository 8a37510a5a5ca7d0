// Shared memory of the kernels' blocks, and how many of them an SM holds by NVIDIA's own calculator.
//
// Lines "FAMILY SM KEY METRIC QUERIES REGISTERS STATIC_SHARED_BYTES" from stdin; for each a JSON object to stdout, in one array.
#include <cuda_occupancy.h>

#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "launch.cuh"

namespace {

using namespace rtd::cuda;

// CUDA C++ Programming Guide, table "Technical Specifications per Compute Capability".
struct Architecture {
    int sm, threads, sharedKilobytes, blockKilobytes, reservedBytes;
};
constexpr Architecture kArchitectures[] = {
    {75, 1024, 64, 64, 0},       {80, 2048, 164, 163, 1024},  {86, 1536, 100, 99, 1024},  {87, 1536, 164, 163, 1024},
    {88, 1536, 100, 99, 1024},   {89, 1536, 100, 99, 1024},   {90, 2048, 228, 227, 1024}, {100, 2048, 228, 227, 1024},
    {103, 2048, 228, 227, 1024}, {110, 1536, 228, 227, 1024}, {120, 1536, 100, 99, 1024}, {121, 1536, 100, 99, 1024},
};

cudaOccDeviceProp propertiesOf(int sm) {
    for (const Architecture& a : kArchitectures) {
        if (a.sm != sm) continue;
        cudaOccDeviceProp p;
        p.computeMajor = sm / 10;
        p.computeMinor = sm % 10;
        p.maxThreadsPerBlock = 1024;
        p.maxThreadsPerMultiprocessor = a.threads;
        p.regsPerBlock = p.regsPerMultiprocessor = 65536;
        p.warpSize = 32;
        p.sharedMemPerBlock = size_t{48} << 10;
        p.sharedMemPerMultiprocessor = static_cast<size_t>(a.sharedKilobytes) << 10;
        p.sharedMemPerBlockOptin = static_cast<size_t>(a.blockKilobytes) << 10;
        p.reservedSharedMemPerBlock = static_cast<size_t>(a.reservedBytes);
        p.numSms = 1;
        return p;
    }
    throw std::runtime_error("no figures for sm_" + std::to_string(sm));
}

// What the table of instantiations says of one kernel.
struct Shape {
    std::string family, key, metric;
    int queries, stages, threads, tileKeys;
    size_t stageBytes, sharedBytes64, sharedBytes2048;
};

template <class C, int kStages>
Shape shapeOf(const char* family, const char* key) {
    return {family,      key,          C::kIsDot ? "dot" : "l2", C::kQueries,        kStages,
            C::kThreads, C::kTileKeys, sizeof(Stage<C>),         sharedBytes<C>(64), sharedBytes<C>(kMaxHits)};
}

template <typename Key>
constexpr const char* kKeyName = "f32";
template <>
constexpr const char* kKeyName<Half> = "f16";
template <>
constexpr const char* kKeyName<Brain> = "bf16";

std::vector<Shape> allShapes() {
    std::vector<Shape> shapes;
    const char* family = "large";
#define ADD(key, isDot, queries, stages) shapes.push_back(shapeOf<Launched<key, isDot, queries, stages>, stages>(family, kKeyName<key>));
    RTD_LARGE_KERNELS(ADD)
    family = "medium";
    RTD_MEDIUM_KERNELS(ADD)
    family = "small";
    RTD_SMALL_KERNELS(ADD)
#undef ADD
    return shapes;
}

int blocksOf(int sm, const Shape& shape, int registers, size_t staticBytes, size_t dynamicBytes) {
    const cudaOccDeviceProp properties = propertiesOf(sm);
    cudaOccFuncAttributes function;
    function.maxThreadsPerBlock = shape.threads;
    function.numRegs = registers;
    function.sharedSizeBytes = staticBytes;
    function.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    function.maxDynamicSharedSizeBytes = dynamicBytes;
    function.numBlockBarriers = 1;
    const cudaOccDeviceState state;
    cudaOccResult result;
    const cudaOccError error = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &properties, &function, &state, shape.threads, dynamicBytes);
    if (error != CUDA_OCC_SUCCESS) throw std::runtime_error("cudaOccMaxActiveBlocksPerMultiprocessor: error " + std::to_string(error));
    return result.activeBlocksPerMultiprocessor;
}

}  // namespace

int main() {
    const std::vector<Shape> shapes = allShapes();
    std::string family, key, metric;
    int sm, queries, registers;
    size_t staticBytes;
    const char* separator = "[";
    while (std::cin >> family >> sm >> key >> metric >> queries >> registers >> staticBytes)
        for (const Shape& s : shapes) {
            if (s.family != family || s.key != key || s.metric != metric || s.queries != queries) continue;
            std::printf(
                "%s{\"stages\":%d,\"threads\":%d,\"tileKeys\":%d,\"stageBytes\":%zu,\"sharedBytes64\":%zu,\"sharedBytes2048\":%zu,\"blocks64\":%d,"
                "\"blocks2048\":%d}",
                separator, s.stages, s.threads, s.tileKeys, s.stageBytes, s.sharedBytes64, s.sharedBytes2048,
                blocksOf(sm, s, registers, staticBytes, s.sharedBytes64), blocksOf(sm, s, registers, staticBytes, s.sharedBytes2048));
            separator = ",";
        }
    std::printf("]\n");
}
