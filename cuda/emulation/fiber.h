// Switching between stacks: what makes a CUDA thread a fiber. Fifteen instructions instead of a system call.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rtd::emulation {

// Saves the callee's registers on the present stack, whose pointer goes to *save, and goes on from `load`.
extern "C" void rtdSwitchStack(void** save, void* load);

// A stack on which the first switch calls entry(), which never returns.
inline void* prepareStack(char* memory, size_t bytes, void (*entry)()) {
    void** top = reinterpret_cast<void**>(memory + bytes);
#if defined(__x86_64__)
    top -= 2;
    *top = reinterpret_cast<void*>(entry);  // the return address: at entry the stack is as after a call
    for (int i = 0; i < 6; ++i) *--top = nullptr;
#elif defined(__aarch64__)
    top -= 20;
    for (int i = 0; i < 20; ++i) top[i] = nullptr;
    top[11] = reinterpret_cast<void*>(entry);  // x30
#else
#error "write rtdSwitchStack for this processor"
#endif
    return top;
}

}  // namespace rtd::emulation
