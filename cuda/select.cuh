// Selection and sorting by a whole block. All functions are entered and left by every thread; entries to select from come from a function, as they
// may lie in global or in shared memory.
#pragma once
#include "config.cuh"

namespace rtd::cuda {

// The digit in which entry number `need` lies, by one warp: the histogram's first bin whose running total reaches `need`.
RTD_DEVICE void findDigit(SelectScratch& s, uint32_t need, uint32_t lane) {
    uint32_t mine = 0;
    for (uint32_t i = 0; i < 8; ++i) mine += s.histogram[8 * lane + i];
    uint32_t upTo = mine;
#pragma unroll
    for (uint32_t step = 1; step < 32; step <<= 1) {
        const uint32_t other = shuffle(upTo, (lane - step) & 31);
        if (lane >= step) upTo += other;
    }
    uint32_t below = upTo - mine;
    if (below >= need || need > upTo) return;  // all lanes but one
    for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t here = s.histogram[8 * lane + i];
        if (need <= below + here) {
            s.digit = 8 * lane + i;
            s.below = below;
            s.inDigit = here;
            return;
        }
        below += here;
    }
}

// A value with exactly k of the `count` > k distinct entries at or below it. Radix select, 8 bits a pass, from the first bit in which entries differ
// and until a digit is used up exactly: 2 to 4 passes over distances of a narrow range, 8 at most.
template <uint32_t kThreads, typename Load>
RTD_DEVICE uint64_t selectBound(SelectScratch& s, uint32_t count, uint32_t k, Load load) {
    const uint32_t tid = threadIndex(), lane = tid & 31;
    if (tid == 0) s.lowest = kWorst, s.highest = 0;
    syncBlock();
    uint64_t low = kWorst, high = 0;
    for (uint32_t i = tid; i < count; i += kThreads) {
        const uint64_t e = load(i);
        low = e < low ? e : low;
        high = e > high ? e : high;
    }
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) {
        const uint64_t l = shuffleXor(low, step), h = shuffleXor(high, step);
        low = l < low ? l : low;
        high = h > high ? h : high;
    }
    if (lane == 0) minShared(&s.lowest, low), maxShared(&s.highest, high);
    syncBlock();
    uint32_t open = 64 - leadingZeros(s.lowest ^ s.highest);  // low bits not settled yet
    uint64_t prefix = open == 64 ? 0 : s.highest >> open;
    uint32_t need = k;
    while (open > 0) {
        const uint32_t width = open < 8 ? open : 8, rest = open - width;
        for (uint32_t i = tid; i < 256; i += kThreads) s.histogram[i] = 0;
        syncBlock();
        for (uint32_t i = tid; i < count; i += kThreads) {
            const uint64_t e = load(i);
            if (open == 64 || e >> open == prefix) addShared(&s.histogram[(e >> rest) & ((1u << width) - 1)], 1);
        }
        syncBlock();
        if (tid < 32) findDigit(s, need, lane);
        syncBlock();
        prefix = prefix << width | s.digit;
        need -= s.below;
        open = rest;
        if (s.inDigit == need) break;
    }
    return prefix << open | ((uint64_t{1} << open) - 1);
}

// Copies the entries <= bound to shared memory, in any order; returns how many.
template <uint32_t kThreads, typename Load>
RTD_DEVICE uint32_t collect(SelectScratch& s, uint32_t count, uint64_t bound, uint64_t* to, Load load) {
    if (threadIndex() == 0) s.collected = 0;
    syncBlock();
    for (uint32_t i = threadIndex(); i < count; i += kThreads) {
        const uint64_t e = load(i);
        if (e <= bound) to[addShared(&s.collected, 1)] = e;
    }
    syncBlock();
    return s.collected;
}

// at(i), i < n, ascending; n is a power of two. Bitonic. A barrier must lie before; one lies behind.
template <uint32_t kThreads, typename At>
RTD_DEVICE void sortAscending(uint32_t n, At at) {
    for (uint32_t size = 2; size <= n; size <<= 1)
        for (uint32_t stride = size >> 1; stride > 0; stride >>= 1) {
            for (uint32_t i = threadIndex(); i < n / 2; i += kThreads) {
                const uint32_t low = 2 * i - (i & (stride - 1));
                uint64_t &x = at(low), &y = at(low + stride);
                if ((x > y) == ((low & size) == 0)) {
                    const uint64_t swap = x;
                    x = y;
                    y = swap;
                }
            }
            syncBlock();
        }
}

RTD_DEVICE uint32_t powerOfTwoAtLeast(uint32_t n) {
    uint32_t p = 1;
    while (p < n) p <<= 1;
    return p;
}

// How many of the leading elements of [0, n) satisfy a condition that no later one does once it failed.
template <typename Condition>
RTD_DEVICE uint32_t leading(uint32_t n, Condition condition) {
    uint32_t begin = 0, end = n;
    while (begin < end) {
        const uint32_t middle = (begin + end) / 2;
        if (condition(middle))
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

}  // namespace rtd::cuda
