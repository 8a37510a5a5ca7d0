// primitives.cuh on the emulated device of device.h.
#pragma once
#include "emulation/device.h"

namespace rtd::cuda {

using emulation::device;
using emulation::Order;
using emulation::Where;

template <typename T>
uint64_t rawOf(T value) {
    static_assert(sizeof(T) <= 8);
    uint64_t raw = 0;
    std::memcpy(&raw, &value, sizeof(T));
    return raw;
}
template <typename T>
T valueOfRaw(uint64_t raw) {
    T value;
    std::memcpy(&value, &raw, sizeof(T));
    return value;
}

inline uint32_t threadIndex() { return device.lane().thread; }
inline uint32_t gridSize() { return device.gridSize(); }
inline char* sharedMemory() { return device.lane().block->shared; }
inline void checkAligned(const void* p, size_t bytes) { device.checkAligned(p, bytes); }

// ---- within a block ---------------------------------------------------------------------------------------------------------------------

inline void syncBlock(Where where = Where::current()) { device.syncBlock(where); }
inline void syncWarp(Where where = Where::current()) { device.rendezvous(0, where, true); }
template <typename T>
T shuffle(T v, uint32_t lane, Where where = Where::current()) {
    return valueOfRaw<T>(device.rendezvous(rawOf(v), where, false)[lane]);
}
template <typename T>
T shuffleXor(T v, int mask, Where where = Where::current()) {
    const uint32_t lane = (threadIndex() ^ static_cast<uint32_t>(mask)) & 31;
    return valueOfRaw<T>(device.rendezvous(rawOf(v), where, false)[lane]);
}
template <int kCount>
void shuffleXor(float (&v)[kCount][4], int mask, Where where = Where::current()) {
    static_assert(sizeof v <= sizeof emulation::Exchange::values);
    std::memcpy(v, device.exchange(v, sizeof v, where)[(threadIndex() ^ static_cast<uint32_t>(mask)) & 31].values, sizeof v);
}
inline uint32_t ballot(bool v, Where where = Where::current()) {
    const uint64_t* all = device.rendezvous(v, where, false);
    uint32_t votes = 0;
    for (uint32_t l = 0; l < 32; ++l) votes |= static_cast<uint32_t>(all[l] & 1) << l;
    return votes;
}
inline uint32_t addShared(uint32_t* p, uint32_t v) {
    const uint32_t old = *p;
    *p = old + v;
    return old;
}
template <typename T>
void minShared(T* p, T v) {
    *p = v < *p ? v : *p;
}
inline void maxShared(uint64_t* p, uint64_t v) { *p = v > *p ? v : *p; }

// ---- between blocks ---------------------------------------------------------------------------------------------------------------------

inline uint32_t add(uint32_t* p, uint32_t v, Order order, Where where) {
    return device.readModifyWrite(p, order, where, [v](uint32_t old) { return old + v; });
}
inline uint32_t addRelaxed(uint32_t* p, uint32_t v, Where where = Where::current()) { return add(p, v, Order::relaxed, where); }
inline uint32_t addAcquire(uint32_t* p, uint32_t v, Where where = Where::current()) { return add(p, v, Order::acquire, where); }
inline uint32_t addRelease(uint32_t* p, uint32_t v, Where where = Where::current()) { return add(p, v, Order::release, where); }
inline uint32_t addAcquireRelease(uint32_t* p, uint32_t v, Where where = Where::current()) { return add(p, v, Order::acquireRelease, where); }
inline void maxRelaxed(uint64_t* p, uint64_t v, Where where = Where::current()) {
    device.readModifyWrite(p, Order::relaxed, where, [v](uint64_t old) { return v > old ? v : old; });
}
template <typename T>
T loadRelaxed(const T* p, Where where = Where::current()) {
    return device.loadAtomic(p, Order::relaxed, where);
}
inline uint32_t loadAcquire(const uint32_t* p, Where where = Where::current()) { return device.loadAtomic(p, Order::acquire, where); }
template <typename T>
void storeRelaxed(T* p, T v) {
    device.storeRelaxed(p, v);
}
inline void storeRelease(uint32_t* p, uint32_t v, Where where = Where::current()) { device.storeRelease(p, v, where); }
template <typename T>
T loadGlobal(const T* p) {
    return device.load(p);
}
inline float loadOrdered(const float* p) {
    device.auditScalar(p);
    device.checkOrdered(p, sizeof *p);
    return *p;
}
template <typename T>
void storeGlobal(T* p, T v) {
    device.store(p, v);
}

template <typename Condition>
void spinUntil(Condition condition) {
    while (!condition()) device.spin();
    device.endSpin();
}

// ---- copies from global to shared memory ------------------------------------------------------------------------------------------------

inline void copyAsync16(void* to, const void* from, bool isValid) { device.copy16(to, from, isValid); }
inline void copyCommit() { device.commit(); }
template <uint32_t kLeave>
void copyWait() {
    device.wait(kLeave);
}

// ---- codes ------------------------------------------------------------------------------------------------------------------------------

inline Quad loadGlobal16(const uint64_t* p) {
    checkAligned(p, 16);
    alignas(16) const uint64_t words[2] = {device.load(p), device.load(p + 1)};
    return load16(words);
}
inline void multiplyCodes(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Where where = Where::current()) {
    Fragments mine;
    std::memcpy(mine.a, a, sizeof a);
    std::memcpy(mine.b, b, sizeof b);
    const emulation::Exchange* all = device.exchange(&mine, sizeof mine, where);
    multiplyFragments(d, threadIndex() & 31, [&](uint32_t lane) {
        Fragments other;
        std::memcpy(&other, all[lane].values, sizeof other);
        return other;
    });
}

// ---- elements ---------------------------------------------------------------------------------------------------------------------------

template <typename T>
void load4(float (&to)[4], const T* p) {
    checkAligned(p, 4 * sizeof(T));
    device.auditVector(p, 4 * sizeof(T));
    device.checkOrdered(p, 4 * sizeof(T));
    for (int c = 0; c < 4; ++c) to[c] = toFloat(p[c]);
}
inline void store4(float* p, const float (&v)[4]) {
    checkAligned(p, sizeof v);
    device.auditVector(p, sizeof v);
    std::memcpy(p, v, sizeof v);
}

}  // namespace rtd::cuda
