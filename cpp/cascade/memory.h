// Memory for levels: on huge pages where the system has them, as most reads of a search go to one row here and one row there.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace rtd::cascade {

// All zero. RTD_OUT_OF_MEMORY names `what` and the bytes.
std::shared_ptr<uint8_t> allocatePages(size_t bytes, const char* what);

}  // namespace rtd::cascade
