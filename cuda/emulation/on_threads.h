// primitives.cuh with a thread of the host for each lane, for ThreadSanitizer: what orders memory on a device are C++ barriers and atomics of the same
// order here, and nothing else orders anything, so that what it calls a data race is one.
//
// Accesses that are not atomic are plain. All blocks are resident, and the host's scheduler interleaves them.
#pragma once
#include <atomic>
#include <barrier>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "emulation/launch.h"
#include "emulation/random.h"

namespace rtd::emulation {

// What lanes hand to each other. A shuffle orders no memory, so each word travels with the number of its meeting in one relaxed atomic. Double, so that
// a lane may arrive at the next meeting before others have read what it left; two ahead it cannot be, as all must have arrived at the one between.
struct Warp {
    static constexpr uint32_t kWords = 64;
    std::barrier<> barrier{32};
    std::atomic<uint64_t> slots[2][32][kWords] = {};
};

struct Block {
    Block(uint32_t threads, size_t sharedBytes)
        : barrier(threads), warps(threads / 32), shared(static_cast<char*>(std::aligned_alloc(128, sharedBytes))) {}
    ~Block() { std::free(shared); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    uint32_t index = 0;
    std::barrier<> barrier;
    std::vector<Warp> warps;
    char* shared;
};

struct Copy {
    void* to;
    const void* from;  // null: zeros
};

struct Lane {
    Block* block;
    uint32_t thread, grid;
    Random random;
    uint64_t meetings = 0;
    std::vector<std::vector<Copy>> groups = {{}};  // of copies issued and not landed, oldest first; the last is open

    Warp& warp() const { return block->warps[thread / 32]; }
    // Every lane gives `count` words and gets those of lane `from`.
    void exchange(const uint32_t* give, uint32_t* get, uint32_t count, uint32_t from);
    uint32_t ballot(bool vote);
    // Every lane gives `count` words, which wordOf() then has until the next meeting.
    void meet(const uint32_t* give, uint32_t count);
    uint32_t wordOf(uint32_t lane, uint32_t word) const;
};

class Device {
  public:
    Lane& lane() const { return *current_; }
    std::string launch(const Launch& launch, const std::function<void()>& kernel);  // always an empty string: nothing is reported
    Counters count;                                                                 // of launches only

  private:
    static inline thread_local Lane* current_ = nullptr;
};
inline Device device;

}  // namespace rtd::emulation

namespace rtd::cuda {

using emulation::device;

inline uint32_t threadIndex() { return device.lane().thread; }
inline uint32_t gridSize() { return device.lane().grid; }
inline char* sharedMemory() { return device.lane().block->shared; }
inline void checkAligned(const void*, size_t) {}

// ---- within a block ---------------------------------------------------------------------------------------------------------------------

inline void syncBlock() { device.lane().block->barrier.arrive_and_wait(); }
inline void syncWarp() { device.lane().warp().barrier.arrive_and_wait(); }
template <typename T>
T shuffle(T v, uint32_t from) {
    uint32_t give[(sizeof v + 3) / 4] = {}, get[std::size(give)];
    std::memcpy(give, &v, sizeof v);
    device.lane().exchange(give, get, std::size(give), from);
    std::memcpy(&v, get, sizeof v);
    return v;
}
template <typename T>
T shuffleXor(T v, int mask) {
    return shuffle(v, (threadIndex() ^ static_cast<uint32_t>(mask)) & 31);
}
template <int kCount>
void shuffleXor(float (&v)[kCount][4], int mask) {
    static_assert(kCount * 4 <= emulation::Warp::kWords);
    uint32_t give[kCount * 4], get[kCount * 4];
    std::memcpy(give, v, sizeof v);
    device.lane().exchange(give, get, kCount * 4, (threadIndex() ^ static_cast<uint32_t>(mask)) & 31);
    std::memcpy(v, get, sizeof v);
}
inline uint32_t ballot(bool v) { return device.lane().ballot(v); }

template <std::memory_order kOrder>  // a compiler makes one that it does not know the strictest
uint32_t add(uint32_t* p, uint32_t v) {
    return std::atomic_ref(*p).fetch_add(v, kOrder);
}
template <typename T, typename Change>
void modify(T* p, Change change) {
    std::atomic_ref place(*p);
    T old = place.load(std::memory_order_relaxed);
    while (!place.compare_exchange_weak(old, change(old), std::memory_order_relaxed)) {}
}
inline uint32_t addShared(uint32_t* p, uint32_t v) { return add<std::memory_order_relaxed>(p, v); }
template <typename T>
void minShared(T* p, T v) {
    modify(p, [v](T old) { return v < old ? v : old; });
}
inline void maxShared(uint64_t* p, uint64_t v) {
    modify(p, [v](uint64_t old) { return v > old ? v : old; });
}

// ---- between blocks ---------------------------------------------------------------------------------------------------------------------

inline uint32_t addRelaxed(uint32_t* p, uint32_t v) { return add<std::memory_order_relaxed>(p, v); }
inline uint32_t addAcquire(uint32_t* p, uint32_t v) { return add<std::memory_order_acquire>(p, v); }
inline uint32_t addRelease(uint32_t* p, uint32_t v) { return add<std::memory_order_release>(p, v); }
inline uint32_t addAcquireRelease(uint32_t* p, uint32_t v) { return add<std::memory_order_acq_rel>(p, v); }
inline void maxRelaxed(uint64_t* p, uint64_t v) { maxShared(p, v); }
template <typename T>
T loadRelaxed(const T* p) {
    return std::atomic_ref(*const_cast<T*>(p)).load(std::memory_order_relaxed);
}
inline uint32_t loadAcquire(const uint32_t* p) { return std::atomic_ref(*const_cast<uint32_t*>(p)).load(std::memory_order_acquire); }
template <typename T>
void storeRelaxed(T* p, T v) {
    std::atomic_ref(*p).store(v, std::memory_order_relaxed);
}
inline void storeRelease(uint32_t* p, uint32_t v) { std::atomic_ref(*p).store(v, std::memory_order_release); }
template <typename T>
T loadGlobal(const T* p) {
    return *p;
}
inline float loadOrdered(const float* p) { return *p; }
template <typename T>
void storeGlobal(T* p, T v) {
    *p = v;
}

template <typename Condition>
void spinUntil(Condition condition) {
    while (!condition()) std::this_thread::yield();
}

// ---- copies from global to shared memory ------------------------------------------------------------------------------------------------

inline void land(const emulation::Copy& copy) {
    if (copy.from)
        std::memcpy(copy.to, copy.from, 16);
    else
        std::memset(copy.to, 0, 16);
}
inline void copyAsync16(void* to, const void* from, bool isValid) {
    const emulation::Copy copy = {to, isValid ? from : nullptr};
    if (device.lane().random() & 1)
        land(copy);
    else
        device.lane().groups.back().push_back(copy);
}
inline void copyCommit() { device.lane().groups.emplace_back(); }
template <uint32_t kLeave>
void copyWait() {
    for (; device.lane().groups.size() > kLeave + 1; device.lane().groups.erase(device.lane().groups.begin()))
        for (const emulation::Copy& copy : device.lane().groups.front()) land(copy);
}

// ---- codes ------------------------------------------------------------------------------------------------------------------------------

inline Quad loadGlobal16(const uint64_t* p) { return load16(p); }
inline void multiplyCodes(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    const emulation::Lane& self = device.lane();
    const uint32_t give[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    device.lane().meet(give, 6);
    multiplyFragments(d, threadIndex() & 31, [&](uint32_t lane) {
        const auto word = [&](uint32_t i) { return self.wordOf(lane, i); };
        return Fragments{{word(0), word(1), word(2), word(3)}, {word(4), word(5)}};
    });
}

// ---- elements ---------------------------------------------------------------------------------------------------------------------------

template <typename T>
void load4(float (&to)[4], const T* p) {
    for (int c = 0; c < 4; ++c) to[c] = toFloat(p[c]);
}
inline void store4(float* p, const float (&v)[4]) { std::memcpy(p, v, sizeof v); }

}  // namespace rtd::cuda
