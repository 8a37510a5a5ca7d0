// A CUDA device. With its .cpp the only part of the library that knows the CUDA runtime.
#pragma once
#include <cuda_runtime.h>

#include <map>
#include <string>
#include <utility>

#include "gpu/device.h"

namespace rtd::gpu {

// Calls of one object come one at a time, from any thread. Each leaves the calling thread's current device as it was.
class CudaDevice : public Device {
  public:
    // By its number among those that the driver shows (CUDA_VISIBLE_DEVICES). RTD_UNSUPPORTED: there is none, or no kernel was compiled for it.
    explicit CudaDevice(int number);
    ~CudaDevice() override;

    std::unique_ptr<Device> onStream(void* stream) const override;
    const char* name() const override { return name_.c_str(); }
    cuda::KernelTable kernels() const override { return kernels_; }
    void* allocate(size_t bytes, const char* what) override;
    void release(void* memory) noexcept override;
    bool reaches(const void* pointer) const override;
    void zero(void* to, size_t bytes) override;
    void upload(void* to, const void* from, size_t bytes) override;
    void download(void* to, const void* from, size_t bytes) override;
    void copy(void* to, const void* from, size_t bytes) override;
    unsigned blocks(const cuda::KernelEntry& kernel, size_t sharedBytes) override;
    void launch(const cuda::KernelEntry& kernel, unsigned grid, size_t sharedBytes, const cuda::SearchFuseArgs& args) override;
    void synchronize() override;

  private:
    CudaDevice(const CudaDevice& device, cudaStream_t stream);
    void refuseCapture() const;
    void move(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, const char* call);

    const int number_;
    std::string name_;
    unsigned multiprocessors_;
    cuda::KernelTable kernels_;
    cudaStream_t stream_;
    const bool ownsStream_;
    std::map<std::pair<const void*, size_t>, unsigned> blocks_;  // by kernel and shared memory; these are ready for launch
};

}  // namespace rtd::gpu
