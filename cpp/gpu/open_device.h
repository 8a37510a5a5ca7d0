// What each binary with a device in it defines.
#pragma once
#include <memory>

#include "gpu/device.h"

namespace rtd::gpu {

// RTD_UNSUPPORTED says why there is none that can be used.
std::unique_ptr<Device> openDevice();

}  // namespace rtd::gpu
