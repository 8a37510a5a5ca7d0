// Looking at the numbers of a tensor while its file is read through in pieces.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/status.h"
#include "store/safetensors.h"

namespace rtd::store {

using Bytes = const unsigned char*;

inline constexpr const char* kDtypeNames[] = {"F32", "F16", "BF16"};  // by Dtype

// The elements of a tensor at `tensorOffset` that lie in a piece of the file: body(data, count, index of the first).
template <typename Body>
void forElementsIn(Bytes piece, uint64_t offset, size_t bytes, const TensorSpec& tensor, uint64_t tensorOffset, const Body& body) {
    const uint64_t begin = std::max(offset, tensorOffset), end = std::min(offset + bytes, tensorOffset + tensor.bytes());
    if (begin < end)
        body(piece + (begin - offset), static_cast<size_t>(end - begin) / tensor.elementBytes, (begin - tensorOffset) / tensor.elementBytes);
}

// Not finite: every bit of the exponent is set.
template <typename Word>
void checkFinite(const void* keys, size_t count, Word exponent, uint64_t firstElement, uint32_t dim) {
    const auto words = static_cast<const Word*>(keys);
    Word bad = 0;
    for (size_t i = 0; i < count; ++i) bad |= static_cast<Word>((words[i] & exponent) == exponent);
    if (!bad) return;
    const auto at = static_cast<size_t>(std::find_if(words, words + count, [=](Word word) { return (word & exponent) == exponent; }) - words);
    fail(RTD_BAD_FORMAT, "the key of entry %llu of the segment is not finite", static_cast<unsigned long long>((firstElement + at) / dim));
}

// Elements of keys [n, dim], from `firstElement` on: RTD_BAD_FORMAT unless all are finite.
inline void checkKeys(const void* keys, size_t count, uint64_t firstElement, uint32_t dim, Dtype dtype) {
    switch (dtype) {
        case Dtype::f32:
            return checkFinite<uint32_t>(keys, count, 0x7F800000, firstElement, dim);
        case Dtype::f16:
            return checkFinite<uint16_t>(keys, count, 0x7C00, firstElement, dim);
        case Dtype::bf16:
            return checkFinite<uint16_t>(keys, count, 0x7F80, firstElement, dim);
    }
}

}  // namespace rtd::store
