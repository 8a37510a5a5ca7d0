// The safetensors container, as far as a store needs it: eight bytes with the length of a JSON header, the header, the tensors without gaps.
//
// A store knows from its manifest which tensors a file must hold, so nothing is taken from a header but where they lie.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "store/file_system.h"

namespace rtd::store {

struct TensorSpec {
    const char* name;
    const char* dtype;  // "F32", "F16", "BF16", "I32", "U32"
    uint32_t elementBytes;
    uint64_t rows;
    uint64_t columns;  // 0: one-dimensional

    // At most 2^32 x 2^16 x 4: no overflow.
    uint64_t bytes() const { return rows * (columns ? columns : 1) * elementBytes; }
};

// The beginning of a file with these tensors in this order: length and header, padded with spaces so that the last tensor begins at a multiple
// of 64 bytes. (The ones before it then begin at multiples of their elements, as long as all have the same number of rows.)
std::string writeSafetensorsHeader(const std::vector<TensorSpec>& tensors);

// Reads and checks the header of a file that must hold exactly these tensors, in any order: names, types, shapes, no gap, no overlap, nothing
// behind them, every tensor aligned to its elements. Returns the offset in the file of each. RTD_BAD_FORMAT, without the file's name.
std::vector<uint64_t> readSafetensorsHeader(InputFile& file, const std::vector<TensorSpec>& tensors);

}  // namespace rtd::store
