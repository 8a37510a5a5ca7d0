// Makes the levels of one head's keys, reading them a few at a time: working memory is a sample, some tiles and 4 bytes a key.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "cascade/levels.h"
#include "index/index.h"

namespace rtd::cascade {

// Writes the numbers of `count` keys from place `begin` on to `to` [count, length], less the last one of each for dot. From any thread.
using ReadKeys = std::function<void(uint32_t begin, uint32_t count, float* to, size_t stride)>;

struct BuildOptions {
    Metric metric = Metric::l2;
    uint32_t dimsOfHead = 0;
    uint32_t count = 0;
    std::optional<uint32_t> rowBytes2b = {};  // none: as a sample asks for
};

// Null where no bound holds: numbers beyond kBoundedMagnitude. RTD_OUT_OF_MEMORY, RTD_CANCELLED.
std::unique_ptr<Levels> buildLevels(const BuildOptions& options, const ReadKeys& read, const cpu::Backend& backend, WorkerPool& workers,
                                    uint32_t threads, const Call& call);

}  // namespace rtd::cascade
