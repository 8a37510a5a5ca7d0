// A binary whose version is higher by VERSION_STEP and whose structs are larger by BYTES_STEP. Compiled with another name for its function it is
// one that is none of ours.
#include "gpu/module.h"

extern "C" [[gnu::visibility("default")]] const rtd::gpu::ModuleTable* rtd_cuda_module();
extern "C" const rtd::gpu::ModuleTable* rtd_cuda_module() {
    static const rtd::gpu::ModuleTable table = [] {
        rtd::gpu::ModuleTable next{};
        next.version = rtd::gpu::kModuleVersion + VERSION_STEP;
        next.tableBytes = sizeof next;
        next.entryBytes = sizeof(rtd::cuda::KernelEntry);
        next.argumentBytes = sizeof(rtd::cuda::SearchFuseArgs) + BYTES_STEP;
        return next;
    }();
    return &table;
}
