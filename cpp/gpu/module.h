// What the CUDA binary shows the library: one function in C, whose table has a version and a function for everything in Device. It is a binary of
// its own, loaded only where it works, so that the library itself needs no driver. No exception and no object of C++ passes.
#pragma once
#include <cstddef>
#include <cstdint>

#include "launch.h"

namespace rtd::gpu {

// Raised with every change of this file, of cuda/launch.h or of cuda/arguments.h. The sizes are compared too, should somebody forget.
constexpr uint32_t kModuleVersion = 4;

struct ModuleHandle;  // an open device

struct ModuleMessage {
    char text[1024];
};

struct ModuleTable {
    uint32_t version;
    uint32_t tableBytes, entryBytes, argumentBytes;

    // What returns a number returns an rtd_status and, unless that is RTD_OK, a message.
    uint32_t (*open)(ModuleMessage* message, ModuleHandle** device);
    uint32_t (*onStream)(ModuleHandle* device, ModuleMessage* message, void* stream, ModuleHandle** other);  // the same device
    void (*close)(ModuleHandle* device);
    const char* (*name)(const ModuleHandle* device);
    cuda::KernelTable (*kernels)(const ModuleHandle* device);
    uint32_t (*allocate)(ModuleHandle* device, ModuleMessage* message, size_t bytes, const char* what, void** memory);
    void (*release)(ModuleHandle* device, void* memory);
    uint32_t (*reaches)(ModuleHandle* device, ModuleMessage* message, const void* pointer, bool* reaches);
    uint32_t (*zero)(ModuleHandle* device, ModuleMessage* message, void* to, size_t bytes);
    uint32_t (*upload)(ModuleHandle* device, ModuleMessage* message, void* to, const void* from, size_t bytes);
    uint32_t (*download)(ModuleHandle* device, ModuleMessage* message, void* to, const void* from, size_t bytes);
    uint32_t (*copy)(ModuleHandle* device, ModuleMessage* message, void* to, const void* from, size_t bytes);
    uint32_t (*blocks)(ModuleHandle* device, ModuleMessage* message, const cuda::KernelEntry* kernel, size_t sharedBytes, unsigned* blocks);
    uint32_t (*launch)(ModuleHandle* device, ModuleMessage* message, const cuda::KernelEntry* kernel, unsigned grid, size_t sharedBytes,
                       const cuda::SearchFuseArgs* args);
    uint32_t (*synchronize)(ModuleHandle* device, ModuleMessage* message);
};

constexpr const char* kModuleFunction = "rtd_cuda_module";
using ModuleFunction = const ModuleTable* (*)();

}  // namespace rtd::gpu
