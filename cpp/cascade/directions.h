// Principal directions of keys, by randomised subspace iteration (Halko, Martinsson, Tropp: arXiv 0909.4061, algorithm 4.4).
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/dtype.h"
#include "cpu/backend.h"
#include "index/call.h"
#include "index/workers.h"

namespace rtd::cascade {

// What takes part in the work.
struct Means {
    const cpu::Backend& backend;
    WorkerPool& workers;
    uint32_t threads;
    const Call& call;
};

// Keys that directions are sought for, [count, length], centred. read writes some of them to `to`, from any thread.
struct Rows {
    size_t count;
    std::function<void(size_t begin, size_t count, float* to)> read;
};

// The `count` leading directions [count, length] of the rows: orthonormal, the leading ones first. Fewer than that many independent ones: zeros.
// known: directions to begin with, as many as an earlier call gave. The same for any number of threads. RTD_CANCELLED.
std::vector<float> principalDirections(const Means& means, const Rows& rows, uint32_t length, uint32_t count, int iterations,
                                       std::span<const float> known = {});

// As they are stored: rotated at random within each group of so many, which spreads the variance evenly, so that one step size fits all.
std::vector<F16> rotatedWithin(const cpu::Backend& backend, std::span<const uint32_t> groups, std::span<const float> directions, uint32_t length);

// A factor that makes the directions a contraction: 1 / sqrt(1 + the Frobenius norm of (W'W - I on its nonzero rows)).
double shrinkOf(const std::vector<F16>& directions, uint32_t length);

}  // namespace rtd::cascade
