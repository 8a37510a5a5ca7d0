#include "index/entries.h"

#include <algorithm>
#include <new>

#include "core/status.h"

namespace rtd {

const Part& Snapshot::partOf(uint32_t id) const {
    return *std::prev(std::upper_bound(parts->begin(), parts->end(), id, [](uint32_t i, const Part& part) { return i < part.first; }));
}

WritablePart allocatePart(uint32_t count, size_t rowBytes) {
    constexpr std::align_val_t kAlignment{64};
    const size_t keyBytes = (checkedProduct(count, rowBytes, "keys of a part") + 63) / 64 * 64;  // values begin on a line of their own
    const size_t bytes = keyBytes + size_t{count} * (sizeof(int32_t) + sizeof(uint32_t));
    void* memory = ::operator new(bytes, kAlignment, std::nothrow);
    if (!memory) fail(RTD_OUT_OF_MEMORY, "no memory for %u more entries: %zu bytes", count, bytes);

    WritablePart made;
    made.part.owner = std::shared_ptr<const void>(memory, [](void* p) { ::operator delete(p, kAlignment); });
    made.keys = static_cast<std::byte*>(memory);
    made.tokens = reinterpret_cast<int32_t*>(made.keys + keyBytes);
    made.namespaces = reinterpret_cast<uint32_t*>(made.tokens + count);
    made.part.keys = made.keys;
    made.part.tokens = made.tokens;
    made.part.namespaces = made.namespaces;
    made.part.count = count;
    return made;
}

}  // namespace rtd
