// Principal directions of a sample of keys, by randomised subspace iteration (Halko, Martinsson, Tropp: arXiv 0909.4061, algorithm 4.4).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/dtype.h"
#include "cpu/backend.h"

namespace rtd::cascade {

// The `count` leading directions [count, length] of a sample [rows, length], centred: orthonormal, the leading ones first. Fewer than that many
// independent ones: zeros. known: directions to begin with, as many as an earlier call gave.
std::vector<float> principalDirections(const cpu::Backend& backend, const float* sample, size_t rows, uint32_t length, uint32_t count,
                                       std::span<const float> known = {});

// As they are stored: rotated at random within each group of so many, which spreads the variance evenly, so that one step size fits all.
std::vector<F16> rotatedWithin(const cpu::Backend& backend, std::span<const uint32_t> groups, std::span<const float> directions, uint32_t length);

// A factor that makes the directions a contraction: 1 / sqrt(1 + the Frobenius norm of (W'W - I on its nonzero rows)).
double shrinkOf(const std::vector<F16>& directions, uint32_t length);

}  // namespace rtd::cascade
