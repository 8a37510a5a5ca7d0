// The rows of 32 keys as a block, by transposing eight rows of eight 32-bit words at a time. For the files of AVX2 and of AVX-512.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpu/backend.h"

namespace rtd::cpu {
namespace {

inline void interleaveByEights(const uint8_t* rows, uint8_t* block) {
    for (size_t i = 0; i < kBlockKeys; i += 8)
        for (size_t j = 0; j < kInterleavedBytes; j += 32) {
            __m256i a[8], b[8];
            for (size_t r = 0; r < 8; ++r) a[r] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows + (i + r) * kInterleavedBytes + j));
            for (size_t r = 0; r < 8; r += 2) {
                b[r] = _mm256_unpacklo_epi32(a[r], a[r + 1]);
                b[r + 1] = _mm256_unpackhi_epi32(a[r], a[r + 1]);
            }
            for (size_t r = 0; r < 8; r += 4)
                for (size_t s = 0; s < 2; ++s) {
                    a[r + 2 * s] = _mm256_unpacklo_epi64(b[r + s], b[r + s + 2]);
                    a[r + 2 * s + 1] = _mm256_unpackhi_epi64(b[r + s], b[r + s + 2]);
                }
            for (size_t word = 0; word < 4; ++word) {
                auto* to = reinterpret_cast<__m256i*>(block + (j / 4 + word) * kBlockKeys * 4 + i * 4);
                _mm256_storeu_si256(to, _mm256_permute2x128_si256(a[word], a[word + 4], 0x20));
                _mm256_storeu_si256(to + 4 * kBlockKeys * 4 / 32, _mm256_permute2x128_si256(a[word], a[word + 4], 0x31));
            }
        }
}

}  // namespace
}  // namespace rtd::cpu
