#include "gpu/cuda_backend.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "core/status.h"
#include "gpu/device_index.h"
#include "gpu/module_device.h"
#include "gpu/probe.h"

namespace rtd::gpu {
namespace {

namespace fs = std::filesystem;
constexpr auto kProbeLimit = std::chrono::seconds(20);  // a driver that must wake a machine full of GPUs takes several

const ModuleTable* module = nullptr;  // once it is found usable

std::unique_ptr<OffloadedIndex> openIndex(const IndexConfig& config) { return std::make_unique<DeviceIndex>(openModuleDevice(*module), config); }

// Of the file with this function in it: the addon, the shared library, or a program that is linked with the static one.
fs::path ownFolder() {
    Dl_info info;
    std::error_code error;
    if (!dladdr(reinterpret_cast<const void*>(&cudaBackend), &info) || !info.dli_fname) return {};
    return fs::canonical(info.dli_fname, error).parent_path();
}

CudaBackend find() {
    std::error_code error;
    const char* named = std::getenv("RTD_CUDA_LIBRARY");
    const bool isNamed = named && *named;
    const fs::path path = isNamed ? fs::absolute(named, error) : ownFolder() / RTD_CUDA_MODULE;
    if (!fs::is_regular_file(path, error)) {
        if (isNamed) return {nullptr, "the environment's RTD_CUDA_LIBRARY names " + path.string() + ", which is no file"};
        return {nullptr, "not part of this build: there is no " + path.string()};
    }
    const ProbeResult probed = runProbe((path.parent_path() / RTD_CUDA_PROBE).string(), path.string(), kProbeLimit);
    if (!probed.isUsable) return {nullptr, probed.text};
    try {
        module = &loadModule(path.string());
    } catch (const Error& failure) { return {nullptr, failure.message}; }
    return {openIndex, probed.text};
}

}  // namespace

const CudaBackend& cudaBackend() {
    static const CudaBackend backend = find();
    return backend;
}

}  // namespace rtd::gpu
