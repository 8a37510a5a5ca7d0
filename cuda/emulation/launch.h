// What a launch on an emulated device is given, and what it counts.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rtd::emulation {

struct Counters {
    uint64_t launches = 0, switches = 0, barriers = 0, collectives = 0;
    uint64_t firstTouches = 0, furtherTouches = 0;             // bytes of the watched memory copied for the first time in a launch, and again
    uint64_t audited = 0, bankConflicts = 0, uncoalesced = 0;  // instructions of warps: vectors of shared memory, copies of 16 bytes
    uint64_t scalarLoads = 0, uncoalescedScalars = 0;          // the same of loads of float32 queries, one number at a time
    uint64_t gathered = 0;                                     // bytes of the watched memory loaded otherwise
    uint64_t checked = 0;                                      // accesses to shared memory that were compared with its shadow
};

struct Launch {
    uint32_t grid = 1, threads = 32, resident = 1;
    size_t sharedBytes = 0;
    uint64_t seed = 1;
    bool isAudited = false;         // count bank conflicts, uncoalesced copies and loads of queries
    const void* watched = nullptr;  // memory whose touches are counted
    size_t watchedBytes = 0;
    const void* scratch = nullptr;  // global memory that a launch must write before it reads it
    size_t scratchBytes = 0;
    bool isShadowed = false;  // see checkShared
};

}  // namespace rtd::emulation
