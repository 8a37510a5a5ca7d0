// A binary as the CUDA one is, with the emulated device in it. Told to, by the environment's RTD_STAND_IN, it refuses.
#include <cstdlib>

#include "core/status.h"
#include "emulation/emulated_device.h"
#include "gpu/open_device.h"

std::unique_ptr<rtd::gpu::Device> rtd::gpu::openDevice() {
    if (const char* reason = std::getenv("RTD_STAND_IN")) fail(RTD_UNSUPPORTED, "%s", reason);
    return emulation::createEmulatedDevice();
}
