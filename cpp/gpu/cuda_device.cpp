#include "gpu/cuda_device.h"

#include "core/status.h"
#include "gpu/device_number.h"
#include "gpu/open_device.h"

namespace rtd::gpu {
namespace {

// Takes the failure away from the runtime, which would report it again from a later call that has done nothing wrong.
[[noreturn]] void failWith(cudaError_t error, const char* call, rtd_status status) {
    cudaGetLastError();
    fail(status, "%s: %s (%s)", call, cudaGetErrorString(error), cudaGetErrorName(error));
}

void check(cudaError_t error, const char* call, rtd_status status = RTD_INTERNAL) {
    if (error != cudaSuccess) failWith(error, call, status);
}

// Whether a device has its context, without giving it one. The driver's function comes by the runtime: this binary is not linked with libcuda.
bool hasContext(int number) {
    using GetState = int (*)(int device, unsigned* flags, int* isActive);
    static const auto getState = [] {
        void* function = nullptr;
        cudaDriverEntryPointQueryResult found;
#if CUDART_VERSION >= 12050
        const cudaError_t error = cudaGetDriverEntryPointByVersion("cuDevicePrimaryCtxGetState", &function, 7000, cudaEnableDefault, &found);
#else
        const cudaError_t error = cudaGetDriverEntryPoint("cuDevicePrimaryCtxGetState", &function, cudaEnableDefault, &found);
#endif
        if (error != cudaSuccess) cudaGetLastError();
        return error == cudaSuccess && found == cudaDriverEntryPointSuccess ? reinterpret_cast<GetState>(function) : nullptr;
    }();
    unsigned flags = 0;
    int isActive = 1;
    return !getState || getState(number, &flags, &isActive) != 0 || isActive;
}

// While it lives, the thread's current device is this one. Whoever called us (llama.cpp, PyTorch) counts on its own afterwards; but a thread that has
// not used its device yet would be given a context there by being sent back, half a gigabyte of that device's memory.
class CurrentDevice {
  public:
    explicit CurrentDevice(int number) {
        check(cudaGetDevice(&before_), "cudaGetDevice");
        if (before_ != number) check(cudaSetDevice(number), "cudaSetDevice");
        isOther_ = before_ != number;
    }
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;
    ~CurrentDevice() {
        if (isOther_ && hasContext(before_) && cudaSetDevice(before_) != cudaSuccess) cudaGetLastError();
    }

  private:
    int before_ = 0;
    bool isOther_ = false;
};

// "13.1" of 13010.
std::string versionText(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

// Asks for what CUDA itself says badly: without any driver it complains of an insufficient one.
void needDriver() {
    int driver = 0, runtime = 0;
    check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion", RTD_UNSUPPORTED);
    check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion", RTD_UNSUPPORTED);
    if (driver == 0) fail(RTD_UNSUPPORTED, "there is no CUDA driver (libcuda) on this machine");
    if (driver / 1000 < runtime / 1000)  // CUDA promises the rest within a major version
        fail(RTD_UNSUPPORTED, "the driver is for CUDA up to %s and this binary was built with %s: update the driver", versionText(driver).c_str(),
             versionText(runtime).c_str());
}

// The families that this binary was compiled for. Their shared memory tells apart what the runtime would take for one another: code for sm_80
// also runs on sm_86, which has less of it.
constexpr cuda::KernelTable (*kFamilies[])() = {
#if defined(RTD_CUDA_LARGE)
    cuda::largeKernels,
#endif
#if defined(RTD_CUDA_MEDIUM)
    cuda::mediumKernels,
#endif
#if defined(RTD_CUDA_SMALL)
    cuda::smallKernels,
#endif
};

// The first family whose every kernel fits the shared memory of a block here, and that was compiled for this architecture.
cuda::KernelTable chooseKernels(size_t sharedBytes, const std::string& name) {
    for (const auto& family : kFamilies) {
        const cuda::KernelTable table = family();
        bool doesFit = true;
        for (const cuda::KernelEntry* kernel = table.entries; kernel < table.entries + table.count; ++kernel)
            doesFit = doesFit && kernel->sharedBytes(cuda::kMaxHits) <= sharedBytes;
        if (!doesFit) continue;
        cudaFuncAttributes attributes;
        const cudaError_t error = cudaFuncGetAttributes(&attributes, table.entries->function);
        if (error == cudaSuccess) return table;
        if (error != cudaErrorNoKernelImageForDevice && error != cudaErrorInvalidDeviceFunction)
            failWith(error, "cudaFuncGetAttributes", RTD_UNSUPPORTED);
        cudaGetLastError();
    }
    fail(RTD_UNSUPPORTED, "this binary holds no kernels for %s: build it with that architecture among RTD_CUDA_ARCHITECTURES", name.c_str());
}

}  // namespace

CudaDevice::CudaDevice(int number) : number_(number), ownsStream_(true) {
    needDriver();
    int count = 0;
    check(cudaGetDeviceCount(&count), "cudaGetDeviceCount", RTD_UNSUPPORTED);
    if (number >= count) fail(RTD_UNSUPPORTED, "there is no CUDA device number %d; the driver shows %d", number, count);
    const CurrentDevice current(number);
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, number), "cudaGetDeviceProperties", RTD_UNSUPPORTED);
    name_ = std::string(properties.name) + " (sm_" + std::to_string(properties.major) + std::to_string(properties.minor) + ")";
    multiprocessors_ = static_cast<unsigned>(properties.multiProcessorCount);
    kernels_ = chooseKernels(properties.sharedMemPerBlockOptin, name_);
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

CudaDevice::CudaDevice(const CudaDevice& device, cudaStream_t stream)
    : number_(device.number_),
      name_(device.name_),
      multiprocessors_(device.multiprocessors_),
      kernels_(device.kernels_),
      stream_(stream),
      ownsStream_(false) {}

std::unique_ptr<Device> CudaDevice::onStream(void* stream) const {
    if (stream == cudaStreamPerThread)
        fail(RTD_INVALID_ARGUMENT, "the stream is cudaStreamPerThread, which is another one in each thread: give one that was created, or NULL");
    return std::unique_ptr<Device>(new CudaDevice(*this, static_cast<cudaStream_t>(stream)));
}

CudaDevice::~CudaDevice() {
    if (!ownsStream_) return;
    try {
        const CurrentDevice current(number_);
        check(cudaStreamDestroy(stream_), "cudaStreamDestroy");
    } catch (const Error&) {
        // The device was lost, or the process is ending and the runtime has gone first: either has freed it.
    }
}

void* CudaDevice::allocate(size_t bytes, const char* what) {
    if (bytes == 0) return nullptr;
    const CurrentDevice current(number_);
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error != cudaErrorMemoryAllocation) {
        check(error, "cudaMalloc");
        return memory;
    }
    cudaGetLastError();
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    fail(RTD_OUT_OF_MEMORY, "cudaMalloc: no memory for %s: %zu bytes; %zu of %zu are free on %s", what, bytes, free, total, name());
}

void CudaDevice::release(void* memory) noexcept {
    if (!memory) return;
    try {
        const CurrentDevice current(number_);
        check(cudaFree(memory), "cudaFree");
    } catch (const Error&) {
        // As in the destructor.
    }
}

bool CudaDevice::reaches(const void* pointer) const {
    const CurrentDevice current(number_);
    cudaPointerAttributes attributes;
    const cudaError_t error = cudaPointerGetAttributes(&attributes, pointer);
    if (error == cudaErrorInvalidValue) {  // no address that CUDA knows
        cudaGetLastError();
        return false;
    }
    check(error, "cudaPointerGetAttributes");
    if (attributes.type == cudaMemoryTypeManaged) return true;
    if (attributes.type == cudaMemoryTypeHost) return attributes.devicePointer == pointer;  // pinned
    if (attributes.type != cudaMemoryTypeDevice) return false;
    if (attributes.device == number_) return true;
    int canReach = 0;
    check(cudaDeviceCanAccessPeer(&canReach, number_, attributes.device), "cudaDeviceCanAccessPeer");
    if (!canReach) return false;
    const cudaError_t enabled = cudaDeviceEnablePeerAccess(attributes.device, 0);
    if (enabled == cudaErrorPeerAccessAlreadyEnabled)
        cudaGetLastError();
    else
        check(enabled, "cudaDeviceEnablePeerAccess");
    return true;
}

// What else a plan enqueues would become a part of the graph, and be done again at every replay: of memory that is long gone, or a clearing.
void CudaDevice::refuseCapture() const {
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    if (!ownsStream_) check(cudaStreamIsCapturing(stream_, &capturing), "cudaStreamIsCapturing");
    if (capturing != cudaStreamCaptureStatusNone)
        fail(RTD_INVALID_ARGUMENT,
             "the stream is being captured: of a plan's calls only rtd_plan_enqueue may come between begin and end, and after a "
             "launch that failed not before one has succeeded outside of a capture");
}

void CudaDevice::zero(void* to, size_t bytes) {
    if (bytes == 0) return;
    const CurrentDevice current(number_);
    refuseCapture();
    check(cudaMemsetAsync(to, 0, bytes, stream_), "cudaMemsetAsync");
}

void CudaDevice::move(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, const char* call) {
    if (bytes == 0) return;
    const CurrentDevice current(number_);
    refuseCapture();
    check(cudaMemcpyAsync(to, from, bytes, kind, stream_), call);
}

void CudaDevice::upload(void* to, const void* from, size_t bytes) { move(to, from, bytes, cudaMemcpyHostToDevice, "cudaMemcpyAsync to the device"); }

void CudaDevice::download(void* to, const void* from, size_t bytes) {
    move(to, from, bytes, cudaMemcpyDeviceToHost, "cudaMemcpyAsync from the device");
}

void CudaDevice::copy(void* to, const void* from, size_t bytes) {
    move(to, from, bytes, cudaMemcpyDeviceToDevice, "cudaMemcpyAsync within the device");
}

unsigned CudaDevice::blocks(const cuda::KernelEntry& kernel, size_t sharedBytes) {
    const std::pair key(kernel.function, sharedBytes);
    if (const auto known = blocks_.find(key); known != blocks_.end()) return known->second;
    const CurrentDevice current(number_);
    const auto largest = static_cast<int>(kernel.sharedBytes(cuda::kMaxHits));  // so that it need not be set again for another k
    check(cudaFuncSetAttribute(kernel.function, cudaFuncAttributeMaxDynamicSharedMemorySize, largest), "cudaFuncSetAttribute");
    int perMultiprocessor = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&perMultiprocessor, kernel.function, static_cast<int>(kernel.threads), sharedBytes),
          "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    if (perMultiprocessor == 0) fail(RTD_UNSUPPORTED, "a kernel with %zu bytes of shared memory does not fit %s", sharedBytes, name());
    return blocks_[key] = static_cast<unsigned>(perMultiprocessor) * multiprocessors_;
}

void CudaDevice::launch(const cuda::KernelEntry& kernel, unsigned grid, size_t sharedBytes, const cuda::SearchFuseArgs& args) {
    blocks(kernel, sharedBytes);  // allows it that much shared memory
    const CurrentDevice current(number_);
    cuda::SearchFuseArgs copied = args;
    void* parameters[] = {&copied};
    check(cudaLaunchKernel(kernel.function, dim3(grid), dim3(kernel.threads), parameters, sharedBytes, stream_), "cudaLaunchKernel");
}

void CudaDevice::synchronize() {
    const CurrentDevice current(number_);
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

std::unique_ptr<Device> openDevice() { return std::make_unique<CudaDevice>(deviceNumber()); }

}  // namespace rtd::gpu
