#include "index/entries.h"

#include <algorithm>
#include <new>
#include <string>

#include "core/pages.h"
#include "core/status.h"

namespace rtd {
namespace {

std::shared_ptr<void> allocateBytes(size_t bytes, const std::string& what) {
    constexpr std::align_val_t kAlignment{64};
    if (bytes >= kHugePage) return allocatePages(bytes, what.c_str());
    void* memory = ::operator new(bytes, kAlignment, std::nothrow);
    if (!memory) fail(RTD_OUT_OF_MEMORY, "no memory for %s: %zu bytes", what.c_str(), bytes);
    return {memory, [](void* p) { ::operator delete(p, kAlignment); }};
}

}  // namespace

const Part& Snapshot::partOf(uint32_t id) const {
    return *std::prev(std::upper_bound(parts->begin(), parts->end(), id, [](uint32_t i, const Part& part) { return i < part.first; }));
}

WritablePart allocatePart(uint32_t count, size_t rowBytes) {
    const size_t keyBytes = (checkedProduct(count, rowBytes, "keys of a part") + 63) / 64 * 64;  // values begin on a line of their own
    const size_t bytes = keyBytes + size_t{count} * (sizeof(int32_t) + sizeof(uint32_t));
    const std::shared_ptr<void> memory = allocateBytes(bytes, std::to_string(count) + " more entries");

    WritablePart made;
    made.part.owner = memory;
    made.keys = static_cast<std::byte*>(memory.get());
    made.tokens = reinterpret_cast<int32_t*>(made.keys + keyBytes);
    made.namespaces = reinterpret_cast<uint32_t*>(made.tokens + count);
    made.part.keys = made.keys;
    made.part.tokens = made.tokens;
    made.part.namespaces = made.namespaces;
    made.part.count = count;
    return made;
}

}  // namespace rtd
