// The emulated device behind the host side's interface, and the back end "cuda-emulated" made of it.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "gpu/device.h"

namespace rtd::emulation {

// Its memory is the host's, all of which it reaches but for ElsewhereMemory; its only stream is NULL.
std::unique_ptr<gpu::Device> createEmulatedDevice();

// Memory that no emulated device reaches, as that of another GPU without a way between the two.
class ElsewhereMemory {
  public:
    explicit ElsewhereMemory(size_t bytes);
    ElsewhereMemory(const ElsewhereMemory&) = delete;
    ElsewhereMemory& operator=(const ElsewhereMemory&) = delete;
    ~ElsewhereMemory();
    void* data() { return bytes_.data(); }

  private:
    std::vector<std::byte> bytes_;
};

// Makes "cuda-emulated" a back end that indexes can be created with. Never the default. Before the first index; once is enough.
void registerEmulatedBackend();

}  // namespace rtd::emulation
