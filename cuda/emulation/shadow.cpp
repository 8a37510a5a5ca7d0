// Sees every load and store of code that was compiled with -fsanitize=thread, by being what such code calls. For kernels: accesses to shared memory are
// checked against its shadow (device.h). Such a program is linked without ThreadSanitizer itself.
#include "emulation/device.h"

using rtd::emulation::device;

extern "C" {

#define RTD_SEEN(bytes)                                                                         \
    void __tsan_read##bytes(const void* at) { device.checkShared(at, bytes, false); }           \
    void __tsan_write##bytes(const void* at) { device.checkShared(at, bytes, true); }           \
    void __tsan_unaligned_read##bytes(const void* at) { device.checkShared(at, bytes, false); } \
    void __tsan_unaligned_write##bytes(const void* at) { device.checkShared(at, bytes, true); }
RTD_SEEN(1)
RTD_SEEN(2)
RTD_SEEN(4)
RTD_SEEN(8)
RTD_SEEN(16)
#undef RTD_SEEN
void __tsan_read_range(const void* at, size_t bytes) { device.checkShared(at, bytes, false); }
void __tsan_write_range(const void* at, size_t bytes) { device.checkShared(at, bytes, true); }

// What else it calls.
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
unsigned char __tsan_atomic8_load(const volatile unsigned char* at, int) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }
int __tsan_atomic32_fetch_add(volatile int* at, int v, int) { return __atomic_fetch_add(at, v, __ATOMIC_SEQ_CST); }
}
