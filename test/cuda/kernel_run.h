// The kernel on the emulated device, run on the cases of test/core.
#pragma once
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "../core/through.h"
#include "arguments.h"

// What a row's seeds are: its hits and their neighbours in id, which may be no entries or removed ones, or any ids.
enum class Seeds { none, near, random };

// How much of a case's entries is sifted by a cascade: none, or two stretches, by levels 1 to 3 or by the tensor cores where there is a level 3.
enum class Sifting { none, levels, tensors };

// An instantiation of the kernel, for every dtype and metric.
struct KernelConfig {
    uint32_t queries, warps, stages;

    std::string text() const;  // "<queries> queries, <warps> warps, <stages> stages"
};

// First one of every number of queries with few warps, which run faster here, and in a program that is compiled for them no others; then what ships
// (cuda/instantiations.h).
constexpr KernelConfig kKernelConfigs[] = {
    {1, 2, 3}, {4, 4, 4}, {16, 2, 3}, {8, 4, 2},
#if !defined(RTD_SMALL_CONFIGS)
    {4, 8, 6}, {1, 8, 4}, {16, 8, 4}, {8, 8, 3}, {1, 8, 2}, {4, 8, 2},
#endif
};
constexpr uint32_t kKernelConfigCount = std::size(kKernelConfigs), kSmallConfigCount = 4;

// How a case is run; every way must give the same bits.
struct KernelWay {
    uint32_t config = 0;  // of kKernelConfigs
    uint64_t seed = 1;    // of the scheduler
    uint32_t grid = 3, resident = 3;
    uint32_t smallestPool = 4096;  // small ones are cut often
    uint32_t tilesPerTicket = 1;
    uint32_t mergeParts = 1, splitAbove = 0;
    rtd_dtype logitsDtype = RTD_F32;
    bool queriesAreHalf = false;           // the case's queries must be numbers of float16
    const ThroughCase* through = nullptr;  // queries are those that it gives, and the case is the one that it searches
    bool isPadded = false;                 // rows of queries and logits lie apart, and off 16-byte boundaries
    bool isAudited = false;
    bool isShadowed = false;  // see emulation/shadow.cpp
    uint32_t launches = 1;    // the same call again, on the same workspace
    Seeds seeds = Seeds::none;
    Sifting sifting = Sifting::none;
    uint32_t shareKeys = 64, giveUpPercent = 1000;

    std::string text() const;
};

// What the launches of a run cost.
struct KernelCost {
    uint64_t firstTouches = 0, furtherTouches = 0, neededBytes = 0, bankConflicts = 0, uncoalesced = 0, audited = 0, checked = 0,
             pooled = 0;                               // places of pools that were written
    uint64_t gathered = 0;                             // bytes of keys that were read other than by the scan
    uint64_t scalarLoads = 0, uncoalescedScalars = 0;  // of queries that copies cannot take as they are
};

// Runs a case and fails the test if the device reports anything, or if the workspace is not all zero afterwards. The way's pool grows to what
// the case's k needs.
Answer runKernel(const Case& c, const KernelWay& way, KernelCost* cost = nullptr);
