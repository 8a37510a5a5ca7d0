// Principal directions of a sample of keys, by randomised subspace iteration (Halko, Martinsson, Tropp: arXiv 0909.4061, algorithm 4.4).
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/dtype.h"
#include "cpu/backend.h"

namespace rtd::cascade {

// `first` + `second` directions [.., length], the leading ones first; rotated at random within each of the two, which spreads the variance
// evenly, so that one step size fits all. sample: [rows, length], centred. Fewer than that many independent ones: zeros.
std::vector<F16> principalDirections(const cpu::Backend& backend, const float* sample, size_t rows, uint32_t length, uint32_t first, uint32_t second);

// A factor that makes the directions a contraction: 1 / sqrt(1 + the Frobenius norm of (W'W - I on its nonzero rows)).
double shrinkOf(const std::vector<F16>& directions, uint32_t length);

}  // namespace rtd::cascade
