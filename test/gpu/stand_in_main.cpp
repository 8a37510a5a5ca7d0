// The tests of the way to a CUDA binary, on a stand-in with the emulated device in it: "cuda" is that one here.
#include <cstdlib>
#include <filesystem>

#include "../cuda/tested_backend.h"
#include "../harness.h"
#include "../temporary_directory.h"
#include "choice.h"
#include "gpu/module_device.h"

const char* testedBackend() { return "cuda"; }

std::unique_ptr<rtd::gpu::Device> testedDevice() { return rtd::gpu::openModuleDevice(rtd::gpu::loadModule(RTD_STAND_IN_MODULE)); }

// With a sanitizer an allocation that cannot be had returns null, as it does without.
extern "C" [[gnu::visibility("default")]] const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

int main(int argc, char** argv) {
    if (answerChoice(argc, argv)) return 0;
    const test::TemporaryDirectory folder;
    std::filesystem::create_symlink(RTD_REAL_PROBE, folder / "rtd-cuda-probe");
    std::filesystem::create_symlink(RTD_STAND_IN_MODULE, folder / "module.so");
    setenv("RTD_CUDA_LIBRARY", (folder / "module.so").c_str(), 1);
    return test::runAll(argc, argv);
}
