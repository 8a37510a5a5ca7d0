#include "core/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include "core/status.h"

namespace rtd {

std::shared_ptr<uint8_t> allocatePages(size_t bytes, const char* what) {
    const size_t whole = bytes < kHugePage ? bytes : (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void* memory = bytes == 0 ? nullptr : mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail(RTD_OUT_OF_MEMORY, "no memory for %s: %zu bytes", what, bytes);
#if defined(MADV_HUGEPAGE)
    if (memory) madvise(memory, whole, MADV_HUGEPAGE);  // a wish
#endif
    return {static_cast<uint8_t*>(memory), [whole](uint8_t* p) {
                if (p) munmap(p, whole);
            }};
}

bool isResident([[maybe_unused]] const void* at) {
#if defined(__linux__)
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    unsigned char in = 1;
    return mincore(reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(at) / page * page), 1, &in) != 0 || (in & 1) != 0;
#else
    return true;
#endif
}

void askForPages(const void* begin, size_t bytes) {
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)), from = reinterpret_cast<uintptr_t>(begin) / page * page;
    madvise(reinterpret_cast<void*>(from), reinterpret_cast<uintptr_t>(begin) + bytes - from, MADV_WILLNEED);  // a wish
}

}  // namespace rtd
