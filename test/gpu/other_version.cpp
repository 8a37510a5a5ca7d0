// A binary of the next version. Compiled with another name for its function it is also one that is none of ours.
#include "gpu/module.h"

extern "C" [[gnu::visibility("default")]] const rtd::gpu::ModuleTable* rtd_cuda_module();
extern "C" const rtd::gpu::ModuleTable* rtd_cuda_module() {
    static const rtd::gpu::ModuleTable table = [] {
        rtd::gpu::ModuleTable next{};
        next.version = rtd::gpu::kModuleVersion + 1;
        return next;
    }();
    return &table;
}
