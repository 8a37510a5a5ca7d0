#include "emulation/emulated_device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "core/status.h"
#include "cpu/dispatch.h"
#include "gpu/device_index.h"
#include "search_fuse.cuh"

namespace rtd::emulation {
namespace {

using cuda::KernelEntry;
using KernelFunction = void (*)(const cuda::SearchFuseArgs&);

// Fewer warps than on a GPU: a lane is a fiber here, and what they do is the same.
template <typename Key, bool isDot, int kQueries, int kWarps>
KernelEntry entryOf(cuda::KeyType key) {
    using C = cuda::Config<Key, isDot, kQueries, kWarps, 3>;
    const KernelFunction function = [](const cuda::SearchFuseArgs& args) { cuda::searchFuse<C>(args); };
    return {key,
            isDot,
            kQueries,
            C::kTileKeys,
            C::kThreads,
            reinterpret_cast<const void*>(function),
            sizeof(cuda::Shared<C>),
            cuda::kRingBytes<C>,
            C::kColumns > 1};
}

#define RTD_EMULATED_METRIC(Key, isDot, type) \
    entryOf<Key, isDot, 1, 2>(type), entryOf<Key, isDot, 4, 2>(type), entryOf<Key, isDot, 8, 2>(type), entryOf<Key, isDot, 16, 4>(type)
#define RTD_EMULATED(Key, type) RTD_EMULATED_METRIC(Key, false, type), RTD_EMULATED_METRIC(Key, true, type)

const KernelEntry kKernels[] = {RTD_EMULATED(cuda::Single, cuda::KeyType::f32), RTD_EMULATED(cuda::Half, cuda::KeyType::f16),
                                RTD_EMULATED(cuda::Brain, cuda::KeyType::bf16)};

std::mutex gMarking;
std::vector<std::pair<const std::byte*, size_t>> gElsewhere;

bool isElsewhere(const void* pointer) {
    const std::lock_guard lock(gMarking);
    const auto* address = static_cast<const std::byte*>(pointer);
    return std::any_of(gElsewhere.begin(), gElsewhere.end(), [&](const auto& stretch) {
        return std::less_equal<>()(stretch.first, address) && std::less<>()(address, stretch.first + stretch.second);
    });
}

// Whatever came before, also calls that were refused and launches that failed.
void checkZero(const cuda::Workspace& workspace, const char* when) {
    const auto* begin = reinterpret_cast<const char*>(workspace.control);
    const auto* end = reinterpret_cast<const char*>(workspace.pools);
    if (std::any_of(begin, end, [](char byte) { return byte != 0; })) fail(RTD_INTERNAL, "the workspace's state is not zero %s a launch", when);
}

class EmulatedDevice : public gpu::Device {
  public:
    std::unique_ptr<gpu::Device> onStream(void* stream) const override {
        if (stream) fail(RTD_INVALID_ARGUMENT, "the stream is %p, and the emulated device has none: give NULL", stream);
        return std::make_unique<EmulatedDevice>();
    }
    const char* name() const override { return "an emulated device"; }
    cuda::KernelTable kernels() const override { return {kKernels, std::size(kKernels)}; }
    void* allocate(size_t bytes, const char* what) override {
        if (bytes == 0) return nullptr;
        void* memory = bytes > SIZE_MAX - 256 ? nullptr : std::aligned_alloc(256, (bytes + 255) / 256 * 256);
        if (!memory) fail(RTD_OUT_OF_MEMORY, "no memory for %s: %zu bytes", what, bytes);
        std::memset(memory, 0xd7, bytes);  // as little to rely on as a device's
        return memory;
    }
    void release(void* memory) noexcept override { std::free(memory); }
    bool reaches(const void* pointer) const override { return pointer && !isElsewhere(pointer); }
    void zero(void* to, size_t bytes) override {
        if (bytes) std::memset(to, 0, bytes);
    }
    void upload(void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }
    void download(void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }
    void copy(void* to, const void* from, size_t bytes) override {
        if (bytes) std::memcpy(to, from, bytes);
    }
    unsigned blocks(const KernelEntry&, size_t) override { return 4; }
    void launch(const KernelEntry& kernel, unsigned grid, size_t sharedBytes, const cuda::SearchFuseArgs& args) override {
        static std::mutex launching;
        static uint64_t seed = 0;
        const std::lock_guard lock(launching);
        const auto function = reinterpret_cast<KernelFunction>(const_cast<void*>(kernel.function));
        ++seed;
        checkZero(args.workspace, "before");
        const std::string failure =
            device.launch({grid, kernel.threads, 1 + static_cast<uint32_t>(seed % grid), sharedBytes, seed}, [&] { function(args); });
        if (!failure.empty()) fail(RTD_INTERNAL, "the emulated device reports: %s", failure.c_str());
        checkZero(args.workspace, "after");
    }
    void synchronize() override {}
};

}  // namespace

Elsewhere::Elsewhere(const void* memory, size_t bytes) : memory_(memory) {
    const std::lock_guard lock(gMarking);
    gElsewhere.emplace_back(static_cast<const std::byte*>(memory), bytes);
}

Elsewhere::~Elsewhere() {
    const std::lock_guard lock(gMarking);
    std::erase_if(gElsewhere, [&](const auto& stretch) { return stretch.first == memory_; });
}

std::unique_ptr<gpu::Device> createEmulatedDevice() { return std::make_unique<EmulatedDevice>(); }

void registerEmulatedBackend() {
    static const cpu::Backend backend = [] {
        cpu::Backend b = cpu::serialBackend;
        b.name = "cuda-emulated";
        b.open = [](const IndexConfig& config) -> std::unique_ptr<gpu::OffloadedIndex> {
            return std::make_unique<gpu::DeviceIndex>(createEmulatedDevice(), config);
        };
        return b;
    }();
    static std::once_flag once;
    std::call_once(once, [] { cpu::addBackend(backend, "the CUDA kernel on an emulated device: slow, for tests"); });
}

}  // namespace rtd::emulation
