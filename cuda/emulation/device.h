// A CUDA device in software: blocks, warps and lanes, all on one thread of the host, each lane a fiber.
//
// Really executed: blocks are resident together (up to `resident` of the grid; one starts when another ends) and their warps are interleaved by a
// seeded scheduler; shuffles, votes and barriers wait until every participant has arrived; shared memory is a heap block of its own for each block,
// filled with garbage; an asynchronous copy lands at any time between its issue and the wait for it; stores to global memory arrive late (stores.h),
// atomic loads from it may be stale (order.h).
// Reported: deadlock, livelock, lanes that meet in different collectives, misaligned copies and vectors, races in the workspace, reading what this
// launch has not written to its scratch; where compiled for it (shadow.cpp) the same of shared memory, and accesses beyond it. Counted: see Counters.
// Not modelled: divergence inside a collective.
//
// A barrier can be left out, and an atomic robbed of its order, by its source line, to see that a test notices.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "emulation/launch.h"
#include "emulation/order.h"
#include "emulation/random.h"
#include "emulation/stores.h"

namespace rtd::emulation {

using Where = std::source_location;

struct Block;

enum class Order { relaxed, acquire, release, acquireRelease };

struct Copy {
    void* to;
    const void* from;  // null: zeros
    bool hasLanded;    // early; the lane may only rely on it after its wait

    void land() const;
};

struct Lane {
    void* stackPointer = nullptr;
    char* stack = nullptr;
    Block* block = nullptr;
    uint32_t thread = 0;
    Clock known;                                       // acquired since the last barrier
    Stores pending;                                    // own stores that nobody else need see
    std::vector<Copy> copies;                          // issued and not waited for, oldest first
    std::vector<uint32_t> groupEnds;                   // of the committed groups in it
    std::vector<uintptr_t> vectors, fetches, scalars;  // addresses since the last rendezvous, while accesses are audited
};

// What lanes hand to each other at once. Double, so that a lane may arrive at the next meeting before others have read what this one left.
struct Exchange {
    float values[64];
};

struct Warp {
    uint64_t slots[2][32];
    Exchange exchanges[2][32];
    uint32_t phase = 0, arrived = 0;
    uint32_t ready = ~0u;  // lanes that can run, one bit each
    Where place;           // where the first lane of this rendezvous stands
    Stores ordered;        // stores that a barrier of the warp has handed to all its lanes
    Clock known;           // what such a barrier has told them, since the last barrier of the block
};

struct Block {
    uint32_t index = 0, arrived = 0, done = 0;
    uint32_t step = 1;  // see order.h
    Where place;
    std::vector<Lane> lanes;
    std::vector<Warp> warps;
    Stores ordered;  // stores that a barrier has handed to the whole block
    Clock known;     // what barriers have told it
    char* shared = nullptr;
    std::unique_ptr<char, void (*)(void*)> memory{nullptr, std::free};  // shared memory, with a margin on either side where it has a shadow
    std::vector<uint8_t> isWritten;                                     // the shadow: of each byte of shared memory
};

class Device {
  public:
    // Runs the kernel; an empty string, or what went wrong.
    std::string launch(const Launch& launch, std::function<void()> kernel);

    Counters count;
    // The barrier that is left out, or the atomic and what is left of its order.
    std::string dropFile;
    uint32_t dropLine = 0;
    Order dropTo = Order::relaxed;
    uint32_t fault = 0;  // of a kernel that was built with faults: the one it has

    // ---- for primitives.h: the current lane's operations ----
    Lane& lane() { return *current_; }
    Warp& warp() { return warpOf(*current_); }
    uint32_t gridSize() const { return launch_.grid; }
    const uint64_t* rendezvous(uint64_t value, const Where& where, bool isBarrier);  // of the warp: every lane's value, once all have arrived
    const Exchange* exchange(const void* values, size_t bytes, const Where& where);  // the same for more than one
    void syncBlock(const Where& where);
    template <typename T, typename Change>
    T readModifyWrite(T* at, Order order, const Where& where, Change change);  // returns the former value
    template <typename T>
    T loadAtomic(const T* at, Order order, const Where& where);
    template <typename T>
    void storeRelease(T* at, T value, const Where& where);
    template <typename T>
    void storeRelaxed(T* at, T value);
    template <typename T>
    void store(T* at, T value);
    template <typename T>
    T load(const T* at);
    // Of an ordinary load of what may lie in scratch memory: reports a race, and a read of what this launch has not written. By words of 4 bytes.
    void checkOrdered(const void* at, size_t bytes);
    // Of an access to `bytes` at once, a power of two.
    void checkAligned(const void* at, size_t bytes) {
        if (reinterpret_cast<uintptr_t>(at) & (bytes - 1)) fail("an access to several words at once off its boundary");
    }
    void copy16(void* to, const void* from, bool isValid);
    void commit();
    void wait(uint32_t leave);
    // Reports an access beyond shared memory, and a read of what no thread has written or a copy that was not waited for may still write. For every
    // load and store of code that says what it does (shadow.cpp), in launches with a shadow; other memory is left alone.
    void checkShared(const void* at, size_t bytes, bool isWrite);
    void spin();
    void endSpin() { idle_ = 0; }
    // An access to 16 (or 8) bytes of shared memory at once, or of the watched memory.
    void auditVector(const void* address, size_t bytes) {
        if (launch_.watched &&
            static_cast<size_t>(static_cast<const char*>(address) - static_cast<const char*>(launch_.watched)) < launch_.watchedBytes)
            count.gathered += bytes;
        if (launch_.isAudited) current_->vectors.push_back(reinterpret_cast<uintptr_t>(address));
    }
    // A load of one float32 of a query from global memory.
    void auditScalar(const void* address) {
        if (launch_.isAudited) current_->scalars.push_back(reinterpret_cast<uintptr_t>(address));
    }

  private:
    static constexpr size_t kStackBytes = size_t{64} << 10, kStaggerBytes = 832;  // lanes' frames fall on different lines of the cache
    static constexpr size_t kMarginBytes = 4096;

    static Warp& warpOf(Lane& lane) { return lane.block->warps[lane.thread / 32]; }
    static void run();
    bool isDropped(const Where& where) const {
        return dropLine != 0 && where.line() == dropLine && std::string_view(where.file_name()).ends_with(dropFile);
    }
    Order orderOf(Order order, const Where& where) const { return isDropped(where) ? dropTo : order; }
    uint32_t laneOfGrid(const Lane& lane) const { return lane.block->index * launch_.threads + lane.thread; }
    Event now() const { return {laneOfGrid(*current_), current_->block->step}; }
    auto known() const {
        return [block = &current_->block->known, warp = &warpOf(*current_).known, lane = &current_->known, self = laneOfGrid(*current_)](Event e) {
            return e.lane == self || block->knows(e) || warp->knows(e) || lane->knows(e);
        };
    }
    Released release();
    void acquire(const Released& released) {
        if (released) current_->known.join(*released);
    }
    void yield();
    void meet(const Where& where, bool isBarrier);
    void fail(const char* what);
    uint32_t nextLane(uint32_t among) const;
    void step(std::vector<std::unique_ptr<Block>>& live, Stores& orphans, uint32_t& finished);
    void runTurn(Block& block, size_t warp, Stores& orphans);
    std::unique_ptr<Block> startBlock(uint32_t index);
    void audit(Block& block, size_t warp);
    static uint64_t countUncoalesced(const Lane* lanes, std::vector<uintptr_t> Lane::*addresses, size_t bytes, uint64_t& audited);
    bool isScratch(const void* at) const {
        return launch_.scratch &&
               static_cast<size_t>(static_cast<const char*>(at) - static_cast<const char*>(launch_.scratch)) < launch_.scratchBytes;
    }
    void checkLoad(const void* at);
    bool isInShared(const void* at, size_t bytes) const;
    void shade(const void* at, size_t bytes, bool isWritten);
    char* takeStack();

    Launch launch_;
    History history_;
    Random random_;
    std::function<void()> kernel_;
    std::string failure_;
    Lane* current_ = nullptr;
    Lane* turn_ = nullptr;            // lanes of the warp whose turn it is
    uint32_t order_ = 0, toRun_ = 0;  // where its turn begins, lanes still to run in it
    void* schedulerStack_ = nullptr;
    size_t at_ = 0, firstWarp_ = 0;
    uint32_t stay_ = 0, skip_ = 0, arrive_ = 0,
             landing_ = 0;       // temper: keep to one warp, leave lanes out, how rarely stores arrive, when copies land
    uint64_t idle_ = 0;          // waits in spin loops since one last ended
    std::vector<char*> stacks_;  // reused
    std::vector<bool> touched_;  // chunks of 16 bytes
};

// The one device; launches must not overlap.
extern Device device;

constexpr const char* kRace = "a race: accesses to the same place of global memory that nothing orders";

inline bool isAcquire(Order order) { return order == Order::acquire || order == Order::acquireRelease; }
inline bool isRelease(Order order) { return order == Order::release || order == Order::acquireRelease; }

template <typename T, typename Change>
T Device::readModifyWrite(T* at, Order given, const Where& where, Change change) {
    const Order order = orderOf(given, where);
    const Event event = now();
    Released releasing = isRelease(order) ? release() : nullptr, released;
    const T old = *at;
    if (!history_.readModifyWrite(at, change(old), event, known(), std::move(releasing), released)) fail(kRace);
    if (isAcquire(order)) acquire(released);
    return old;
}

template <typename T>
T Device::loadAtomic(const T* at, Order order, const Where& where) {
    Released released;
    const T value = history_.loadAtomic(at, now(), known(), random_, released);
    if (isAcquire(orderOf(order, where))) acquire(released);
    return value;
}

template <typename T>
void Device::storeRelease(T* at, T value, const Where& where) {
    const Event event = now();
    history_.storeRelease(at, value, event, isRelease(orderOf(Order::release, where)) ? release() : nullptr);
}

template <typename T>
void Device::storeRelaxed(T* at, T value) {
    if (!history_.storeRelaxed(at, value, now(), known())) fail(kRace);
}

template <typename T>
void Device::store(T* at, T value) {
    static_assert(sizeof(T) <= 8);
    if (!history_.store(at, now(), known())) fail(kRace);
    Store store = {at, 0, sizeof(T)};
    std::memcpy(&store.value, &value, sizeof(T));
    current_->pending.push_back(store);
}

template <typename T>
T Device::load(const T* at) {
    checkLoad(at);
    T value = *at;
    for (const Stores* stores : {&current_->block->ordered, &warp().ordered, &current_->pending})  // on their way, but not for this lane
        if (const Store* store = newest(*stores, at)) std::memcpy(&value, &store->value, sizeof(T));
    return value;
}

}  // namespace rtd::emulation
