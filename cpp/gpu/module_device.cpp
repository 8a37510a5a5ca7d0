#include "gpu/module_device.h"

#include <dlfcn.h>

#include "core/status.h"
#include "gpu/module.h"

namespace rtd::gpu {
namespace {

template <typename... Parameters, typename... Arguments>
void call(uint32_t (*function)(ModuleHandle*, ModuleMessage*, Parameters...), ModuleHandle* handle, Arguments... arguments) {
    ModuleMessage message = {};
    if (const uint32_t status = function(handle, &message, arguments...)) throw Error(static_cast<rtd_status>(status), message.text);
}

class ModuleDevice : public Device {
  public:
    explicit ModuleDevice(const ModuleTable& module) : module_(module) {
        ModuleMessage message = {};
        if (const uint32_t status = module.open(&message, &handle_)) throw Error(static_cast<rtd_status>(status), message.text);
    }
    ModuleDevice(const ModuleTable& module, ModuleHandle* handle) : module_(module), handle_(handle) {}
    ~ModuleDevice() override { module_.close(handle_); }

    std::unique_ptr<Device> onStream(void* stream) const override {
        ModuleHandle* other = nullptr;
        call(module_.onStream, handle_, stream, &other);
        return std::make_unique<ModuleDevice>(module_, other);
    }
    const char* name() const override { return module_.name(handle_); }
    cuda::KernelTable kernels() const override { return module_.kernels(handle_); }
    void* allocate(size_t bytes, const char* what) override {
        void* memory = nullptr;
        call(module_.allocate, handle_, bytes, what, &memory);
        return memory;
    }
    void release(void* memory) noexcept override { module_.release(handle_, memory); }
    bool reaches(const void* pointer) const override {
        bool reaches = false;
        call(module_.reaches, handle_, pointer, &reaches);
        return reaches;
    }
    void zero(void* to, size_t bytes) override { call(module_.zero, handle_, to, bytes); }
    void upload(void* to, const void* from, size_t bytes) override { call(module_.upload, handle_, to, from, bytes); }
    void download(void* to, const void* from, size_t bytes) override { call(module_.download, handle_, to, from, bytes); }
    void copy(void* to, const void* from, size_t bytes) override { call(module_.copy, handle_, to, from, bytes); }
    unsigned blocks(const cuda::KernelEntry& kernel, size_t sharedBytes) override {
        unsigned blocks = 0;
        call(module_.blocks, handle_, &kernel, sharedBytes, &blocks);
        return blocks;
    }
    void launch(const cuda::KernelEntry& kernel, unsigned grid, size_t sharedBytes, const cuda::SearchFuseArgs& args) override {
        call(module_.launch, handle_, &kernel, grid, sharedBytes, &args);
    }
    void synchronize() override { call(module_.synchronize, handle_); }

  private:
    const ModuleTable& module_;
    ModuleHandle* handle_ = nullptr;
};

}  // namespace

const ModuleTable& loadModule(const std::string& path) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) fail(RTD_UNSUPPORTED, "the CUDA binary cannot be loaded: %s", dlerror());
    const auto function = reinterpret_cast<ModuleFunction>(dlsym(library, kModuleFunction));
    if (!function) fail(RTD_UNSUPPORTED, "%s is no CUDA binary of node-rtd: it has no function %s", path.c_str(), kModuleFunction);
    const ModuleTable& table = *function();
    if (table.version != kModuleVersion || table.tableBytes != sizeof table || table.entryBytes != sizeof(cuda::KernelEntry) ||
        table.argumentBytes != sizeof(cuda::SearchFuseArgs))
        fail(RTD_UNSUPPORTED, "%s is of version %u.%u.%u.%u and this library needs %u.%zu.%zu.%zu: build both from the same sources", path.c_str(),
             table.version, table.tableBytes, table.entryBytes, table.argumentBytes, kModuleVersion, sizeof table, sizeof(cuda::KernelEntry),
             sizeof(cuda::SearchFuseArgs));
    return table;
}

std::unique_ptr<Device> openModuleDevice(const ModuleTable& module) { return std::make_unique<ModuleDevice>(module); }

}  // namespace rtd::gpu
