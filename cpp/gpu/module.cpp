// The table of a device's binary, over whichever device is linked with this file: openDevice() is its.
#include "gpu/module.h"

#include <cstring>

#include "core/status.h"
#include "gpu/device.h"
#include "gpu/open_device.h"

namespace {

using namespace rtd::gpu;
using rtd::cuda::KernelEntry;

Device& deviceOf(ModuleHandle* handle) { return *reinterpret_cast<Device*>(handle); }
const Device& deviceOf(const ModuleHandle* handle) { return *reinterpret_cast<const Device*>(handle); }

template <typename Body>
uint32_t answer(ModuleMessage* message, Body&& body) {
    const rtd_status status = rtd::guard(body);
    if (status == RTD_OK) return status;
    std::strncpy(message->text, rtd::lastError(), sizeof message->text - 1);
    message->text[sizeof message->text - 1] = 0;
    return status;
}

constexpr ModuleTable kTable = {
    .version = kModuleVersion,
    .tableBytes = sizeof(ModuleTable),
    .entryBytes = sizeof(KernelEntry),
    .argumentBytes = sizeof(rtd::cuda::SearchFuseArgs),
    .open = [](ModuleMessage* m,
               ModuleHandle** device) { return answer(m, [&] { *device = reinterpret_cast<ModuleHandle*>(openDevice().release()); }); },
    .onStream =
        [](ModuleHandle* device, ModuleMessage* m, void* stream, ModuleHandle** other) {
            return answer(m, [&] { *other = reinterpret_cast<ModuleHandle*>(deviceOf(device).onStream(stream).release()); });
        },
    .close = [](ModuleHandle* device) { delete &deviceOf(device); },
    .name = [](const ModuleHandle* device) { return deviceOf(device).name(); },
    .kernels = [](const ModuleHandle* device) { return deviceOf(device).kernels(); },
    .allocate = [](ModuleHandle* device, ModuleMessage* m, size_t bytes, const char* what,
                   void** memory) { return answer(m, [&] { *memory = deviceOf(device).allocate(bytes, what); }); },
    .release = [](ModuleHandle* device, void* memory) { deviceOf(device).release(memory); },
    .reaches = [](ModuleHandle* device, ModuleMessage* m, const void* pointer,
                  bool* reaches) { return answer(m, [&] { *reaches = deviceOf(device).reaches(pointer); }); },
    .zero = [](ModuleHandle* device, ModuleMessage* m, void* to, size_t bytes) { return answer(m, [&] { deviceOf(device).zero(to, bytes); }); },
    .upload = [](ModuleHandle* device, ModuleMessage* m, void* to, const void* from,
                 size_t bytes) { return answer(m, [&] { deviceOf(device).upload(to, from, bytes); }); },
    .download = [](ModuleHandle* device, ModuleMessage* m, void* to, const void* from,
                   size_t bytes) { return answer(m, [&] { deviceOf(device).download(to, from, bytes); }); },
    .copy = [](ModuleHandle* device, ModuleMessage* m, void* to, const void* from,
               size_t bytes) { return answer(m, [&] { deviceOf(device).copy(to, from, bytes); }); },
    .blocks = [](ModuleHandle* device, ModuleMessage* m, const KernelEntry* kernel, size_t sharedBytes,
                 unsigned* blocks) { return answer(m, [&] { *blocks = deviceOf(device).blocks(*kernel, sharedBytes); }); },
    .launch = [](ModuleHandle* device, ModuleMessage* m, const KernelEntry* kernel, unsigned grid, size_t sharedBytes,
                 const rtd::cuda::SearchFuseArgs* args) { return answer(m, [&] { deviceOf(device).launch(*kernel, grid, sharedBytes, *args); }); },
    .synchronize = [](ModuleHandle* device, ModuleMessage* m) { return answer(m, [&] { deviceOf(device).synchronize(); }); },
};

}  // namespace

extern "C" [[gnu::visibility("default")]] const ModuleTable* rtd_cuda_module();
extern "C" const ModuleTable* rtd_cuda_module() { return &kTable; }
