// The emulated device behind the host side's interface, and the back end "cuda-emulated" made of it.
#pragma once
#include <cstddef>
#include <memory>

#include "gpu/device.h"

namespace rtd::emulation {

// Its memory is the host's, all of which it reaches but for what is Elsewhere; its only stream is NULL.
std::unique_ptr<gpu::Device> createEmulatedDevice();

// While it lives no emulated device reaches this memory, as that of another GPU without a way between the two.
class Elsewhere {
  public:
    Elsewhere(const void* memory, size_t bytes);
    Elsewhere(const Elsewhere&) = delete;
    Elsewhere& operator=(const Elsewhere&) = delete;
    ~Elsewhere();

  private:
    const void* memory_;
};

// Makes "cuda-emulated" a back end that indexes can be created with. Never the default. Before the first index; once is enough.
void registerEmulatedBackend();

}  // namespace rtd::emulation
