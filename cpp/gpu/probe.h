// Whether the CUDA binary works here is found out by a process of its own: a driver that crashes or hangs takes down that one, not this.
#pragma once
#include <chrono>
#include <string>

namespace rtd::gpu {

struct ProbeResult {
    bool isUsable;
    std::string text;  // what it runs on, or why it cannot be used
};

// Runs `program` on a binary and waits for its line, at most that long. Never throws but for want of memory.
ProbeResult runProbe(const std::string& program, const std::string& module, std::chrono::milliseconds limit);

// What the program writes before its verdict: a line of its own, so that whatever else prints cannot pass for one.
constexpr const char *kProbeUsable = "rtd-cuda-probe: usable: ", *kProbeUnusable = "rtd-cuda-probe: unusable: ";

}  // namespace rtd::gpu
