// Which of the devices that the driver shows a CUDA binary opens.
#pragma once
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "core/status.h"

namespace rtd::gpu {

// The environment's RTD_CUDA_DEVICE, else the first. RTD_UNSUPPORTED: that is no number.
inline int deviceNumber() {
    const char* text = std::getenv("RTD_CUDA_DEVICE");
    if (!text || !*text) return 0;
    const char* end = text + std::strlen(text);
    int number = -1;
    const auto [stop, error] = std::from_chars(text, end, number);
    if (error != std::errc() || stop != end || number < 0)
        fail(RTD_UNSUPPORTED, "the environment's RTD_CUDA_DEVICE is \"%s\"; give the number of a device, 0 for the first that the driver shows",
             text);
    return number;
}

}  // namespace rtd::gpu
