// The emulated device behind the host side's interface, and the back end "cuda-emulated" made of it.
#pragma once
#include <memory>

#include "gpu/device.h"

namespace rtd::emulation {

std::unique_ptr<gpu::Device> createEmulatedDevice();

// Makes "cuda-emulated" a back end that indexes can be created with. Never the default. Before the first index; once is enough.
void registerEmulatedBackend();

}  // namespace rtd::emulation
