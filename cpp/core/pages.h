// Memory for keys and their levels: on huge pages where the system has them, as many reads of a search go to one row here and one row there.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace rtd {

constexpr size_t kHugePage = size_t{2} << 20;  // less than this is not worth asking

// All zero. RTD_OUT_OF_MEMORY names `what` and the bytes.
std::shared_ptr<uint8_t> allocatePages(size_t bytes, const char* what);

}  // namespace rtd
