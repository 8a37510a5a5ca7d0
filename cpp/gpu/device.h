// A device as the host side sees it: memory, copies and launches, in order, on one stream. Two of them: CUDA and the emulated one.
#pragma once
#include <cstddef>
#include <memory>
#include <utility>

#include "launch.h"

namespace rtd::gpu {

// Every failure is an Error that names the call; allocations that fail are RTD_OUT_OF_MEMORY and name the bytes.
class Device {
  public:
    virtual ~Device() = default;
    // The same device in the order of another stream: a cudaStream_t of the caller's, which stays the caller's.
    virtual std::unique_ptr<Device> onStream(void* stream) const = 0;
    virtual const char* name() const = 0;  // for people
    virtual cuda::KernelTable kernels() const = 0;
    virtual void* allocate(size_t bytes, const char* what) = 0;  // aligned to 256 bytes; 0 bytes give null
    virtual void release(void* memory) noexcept = 0;
    virtual bool reaches(const void* pointer) const = 0;  // whether kernels on this device may use memory at this address
    virtual void zero(void* to, size_t bytes) = 0;
    virtual void upload(void* to, const void* from, size_t bytes) = 0;  // leave pinned memory alone until it is synchronised
    virtual void download(void* to, const void* from, size_t bytes) = 0;
    virtual void copy(void* to, const void* from, size_t bytes) = 0;                   // within the device
    virtual unsigned blocks(const cuda::KernelEntry& kernel, size_t sharedBytes) = 0;  // that can be resident at once
    virtual void launch(const cuda::KernelEntry& kernel, unsigned grid, size_t sharedBytes, const cuda::SearchFuseArgs& args) = 0;
    virtual void synchronize() = 0;
};

// Memory of a device. It only ever grows; what it held is then lost.
class Buffer {
  public:
    Buffer(Device& device, const char* what) : device_(&device), what_(what) {}
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { device_->release(memory_); }

    void need(size_t bytes) {
        if (bytes <= bytes_) return;
        void* memory = device_->allocate(bytes, what_);
        try {
            device_->synchronize();  // nothing still uses the old one
        } catch (...) {
            device_->release(memory);
            throw;
        }
        device_->release(std::exchange(memory_, memory));
        bytes_ = bytes;
    }
    template <typename T = void>
    T* data() const {
        return static_cast<T*>(memory_);
    }
    size_t bytes() const { return bytes_; }

  private:
    Device* device_;
    const char* what_;
    void* memory_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace rtd::gpu
