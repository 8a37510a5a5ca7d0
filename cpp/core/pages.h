// Pages of memory for keys and their levels: their own, on huge pages where the system has them,
// as many reads of a search go to one row here and one row there; or of files.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace rtd {

constexpr size_t kHugePage = size_t{2} << 20;  // less than this is not worth asking

// Of files that are mapped: whether the page of an address is in memory (true where the system does not say), and a wish for those of a range,
// which returns at once and reads nothing beside it. A page that is merely touched takes many neighbours with it.
bool isResident(const void* at);
void askForPages(const void* begin, size_t bytes);

// All zero. RTD_OUT_OF_MEMORY names `what` and the bytes.
std::shared_ptr<uint8_t> allocatePages(size_t bytes, const char* what);

}  // namespace rtd
