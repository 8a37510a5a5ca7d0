// The test tables on a real device. Without one it says why and fails: nothing was tested.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../cuda/tested_backend.h"
#include "../harness.h"
#include "gpu/module_device.h"
#include "rtd.h"

const char* testedBackend() { return "cuda"; }

std::unique_ptr<rtd::gpu::Device> testedDevice() { return rtd::gpu::openModuleDevice(rtd::gpu::loadModule(std::getenv("RTD_CUDA_LIBRARY"))); }

int main(int argc, char** argv) {
    setenv("RTD_CUDA_LIBRARY", RTD_BUILT_MODULE, 0);
    const rtd_backend_info* list;
    size_t count;
    if (rtd_backends(&list, &count) != RTD_OK) {
        std::printf("%s\n0 passed, 1 failed\n", rtd_last_error());
        return 1;
    }
    for (size_t i = 0; i < count; ++i) {
        if (std::strcmp(list[i].name, "cuda") != 0) continue;
        if (!list[i].usable) {
            std::printf("no usable GPU: %s\n0 passed, 1 failed\n", list[i].reason);
            return 1;
        }
        std::printf("on %s\n", list[i].reason);
    }
    return test::runAll(argc, argv);
}
