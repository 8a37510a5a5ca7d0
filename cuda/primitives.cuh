// The device operations that the kernel is written in. On a GPU each is one or two instructions; without nvcc they come from
// emulation/primitives.h, which executes the same source as C++.
#pragma once
#include "core/canonical.h"

#if !defined(__CUDACC__)
#include "emulation/primitives.h"
#else
#include <cuda_fp16.h>

#define RTD_DEVICE __device__ __forceinline__
#define RTD_APART inline __device__ __noinline__  // what would take registers from all that is around it

namespace rtd::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

RTD_DEVICE uint32_t threadIndex() { return threadIdx.x; }
RTD_DEVICE uint32_t gridSize() { return gridDim.x; }
RTD_DEVICE char* sharedMemory() {
    extern __shared__ __align__(128) char memory[];
    return memory;
}

// ---- within a block ---------------------------------------------------------------------------------------------------------------------

RTD_DEVICE void syncBlock() { __syncthreads(); }
RTD_DEVICE void syncWarp() { __syncwarp(); }
template <typename T>
RTD_DEVICE T shuffleXor(T v, int mask) {
    return __shfl_xor_sync(kAllLanes, v, mask);
}
template <int kCount>
RTD_DEVICE void shuffleXor(float (&v)[kCount][4], int mask) {  // all of them; one meeting of the lanes on the emulated device
#pragma unroll
    for (int m = 0; m < kCount; ++m)
#pragma unroll
        for (int c = 0; c < 4; ++c) v[m][c] = shuffleXor(v[m][c], mask);
}
template <typename T>
RTD_DEVICE T shuffle(T v, uint32_t lane) {
    return __shfl_sync(kAllLanes, v, static_cast<int>(lane));
}
RTD_DEVICE uint32_t ballot(bool v) { return __ballot_sync(kAllLanes, v); }
RTD_DEVICE uint32_t leadingZeros(uint64_t v) { return static_cast<uint32_t>(__clzll(static_cast<long long>(v))); }
RTD_DEVICE uint32_t addShared(uint32_t* p, uint32_t v) { return atomicAdd(p, v); }
RTD_DEVICE void minShared(uint32_t* p, uint32_t v) { atomicMin(p, v); }
RTD_DEVICE void minShared(uint64_t* p, uint64_t v) { atomicMin(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v)); }
RTD_DEVICE void maxShared(uint64_t* p, uint64_t v) { atomicMax(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v)); }

// ---- between blocks ---------------------------------------------------------------------------------------------------------------------
//
// Atomics with the order their names say, at device scope. A release covers what the thread wrote and what other threads wrote before a barrier
// that it has passed since; an acquire makes what was released visible to the thread and, after a barrier, to the others. Data that other blocks
// wrote is read and written past the L1 cache.

#define RTD_ATOMIC_ADD(name, order)                                                                              \
    RTD_DEVICE uint32_t name(uint32_t* p, uint32_t v) {                                                          \
        uint32_t old;                                                                                            \
        asm volatile("atom." order ".gpu.global.add.u32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(v) : "memory"); \
        return old;                                                                                              \
    }
RTD_ATOMIC_ADD(addRelaxed, "relaxed")
RTD_ATOMIC_ADD(addAcquire, "acquire")
RTD_ATOMIC_ADD(addRelease, "release")
RTD_ATOMIC_ADD(addAcquireRelease, "acq_rel")
#undef RTD_ATOMIC_ADD

RTD_DEVICE void maxRelaxed(uint64_t* p, uint64_t v) { asm volatile("red.relaxed.gpu.global.max.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory"); }
RTD_DEVICE uint32_t loadRelaxed(const uint32_t* p) {
    uint32_t v;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
RTD_DEVICE uint64_t loadRelaxed(const uint64_t* p) {
    uint64_t v;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}
RTD_DEVICE uint32_t loadAcquire(const uint32_t* p) {
    uint32_t v;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
RTD_DEVICE void storeRelaxed(uint32_t* p, uint32_t v) { asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory"); }
RTD_DEVICE void storeRelaxed(uint64_t* p, uint64_t v) { asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory"); }
RTD_DEVICE void storeRelease(uint32_t* p, uint32_t v) { asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory"); }

RTD_DEVICE uint32_t loadGlobal(const uint32_t* p) { return __ldcg(p); }
RTD_DEVICE uint64_t loadGlobal(const uint64_t* p) { return __ldcg(reinterpret_cast<const unsigned long long*>(p)); }
RTD_DEVICE float loadGlobal(const float* p) { return __ldcg(p); }
RTD_DEVICE double loadGlobal(const double* p) { return __ldcg(p); }
// Of memory that this launch may have written, or nobody: what an acquire lies before, an ordinary load sees as well.
RTD_DEVICE float loadOrdered(const float* p) { return *p; }
RTD_DEVICE void storeGlobal(uint32_t* p, uint32_t v) { __stcg(p, v); }
RTD_DEVICE void storeGlobal(uint64_t* p, uint64_t v) { __stcg(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v)); }
RTD_DEVICE void storeGlobal(float* p, float v) { __stcg(p, v); }
RTD_DEVICE void storeGlobal(double* p, double v) { __stcg(p, v); }

// An object of 4-byte words.
template <typename T>
RTD_DEVICE void storeWords(T* to, const T& from) {
#pragma unroll
    for (uint32_t i = 0; i < sizeof(T) / 4; ++i) {
        uint32_t word;
        memcpy(&word, reinterpret_cast<const char*>(&from) + 4 * i, 4);
        storeGlobal(reinterpret_cast<uint32_t*>(to) + i, word);
    }
}

template <typename Condition>
RTD_DEVICE void spinUntil(Condition condition) {
    while (!condition()) __nanosleep(64);
}

// ---- copies from global to shared memory ------------------------------------------------------------------------------------------------

// 16 bytes, in the background from sm_80 on; zeros where !valid (then nothing is read, but `from` must be an address all the same).
RTD_DEVICE void copyAsync16(void* to, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
    const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(valid ? 16 : 0) : "memory");
#else
    *static_cast<uint4*>(to) = valid ? __ldcg(static_cast<const uint4*>(from)) : make_uint4(0, 0, 0, 0);
#endif
}
// Closes a group of copies of this thread; at most kLeave younger groups may still be under way after the wait.
RTD_DEVICE void copyCommit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <uint32_t kLeave>
RTD_DEVICE void copyWait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(kLeave) : "memory");
#endif
}

// ---- codes ------------------------------------------------------------------------------------------------------------------------------

struct alignas(16) Quad {  // 16 bytes of codes
    uint32_t words[4];
};
RTD_DEVICE Quad load16(const void* p) {  // of memory that no launch writes
    const uint4 v = __ldg(static_cast<const uint4*>(p));
    return {{v.x, v.y, v.z, v.w}};
}
RTD_DEVICE Quad loadGlobal16(const uint64_t* p) {  // of memory that this launch wrote
    const ulonglong2 v = __ldcg(reinterpret_cast<const ulonglong2*>(p));
    return {{static_cast<uint32_t>(v.x), static_cast<uint32_t>(v.x >> 32), static_cast<uint32_t>(v.y), static_cast<uint32_t>(v.y >> 32)}};
}
RTD_DEVICE Quad loadShared16(const void* p) {
    const uint4 v = *static_cast<const uint4*>(p);
    return {{v.x, v.y, v.z, v.w}};
}

// sum + the products of four unsigned bytes with four signed ones.
RTD_DEVICE int32_t dp4a(uint32_t codes, uint32_t z, int32_t sum) {
    asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(codes), "r"(z));
    return sum;
}

// d += A B by a warp, A 16 x 32 unsigned bytes, B 32 x 8 signed ones. With g = lane / 4 and t = lane % 4 a lane holds of A rows g, g + 8, g, g + 8 in
// columns 4t .. 4t + 3, the same, and twice those + 16; of B rows 4t .. 4t + 3 and those + 16 in column g; of d rows g, g, g + 8, g + 8 in columns
// 2t, 2t + 1, 2t, 2t + 1. (PTX ISA, "Matrix Fragments for mma.m16n8k32" and, for sm_75, m8n8k16.)
RTD_DEVICE void multiplyCodes(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int k = 0; k < 2; ++k)
            asm("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                : "+r"(d[2 * half]), "+r"(d[2 * half + 1])
                : "r"(a[2 * k + half]), "r"(b[k]));
#endif
}

// ---- elements ---------------------------------------------------------------------------------------------------------------------------

using Single = float;
struct Half {
    uint16_t bits;
};
struct Brain {  // bfloat16
    uint16_t bits;
};
RTD_DEVICE float toFloat(Half v) { return __half2float(__ushort_as_half(v.bits)); }
RTD_DEVICE Half toHalf(float v) { return {__half_as_ushort(__float2half_rn(v))}; }

// Four consecutive elements of shared or global memory, aligned to their size together, as float32; 16-bit keys convert exactly. An ordinary
// load like loadOrdered(): what this launch wrote to global memory is seen where an acquire lies before.
RTD_DEVICE void load4(float (&to)[4], const float* p) {
    const float4 v = *reinterpret_cast<const float4*>(p);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}
RTD_DEVICE void load4(float (&to)[4], const Half* p) {
    const uint2 v = *reinterpret_cast<const uint2*>(p);
    const float2 a = __half22float2(*reinterpret_cast<const __half2*>(&v.x)), b = __half22float2(*reinterpret_cast<const __half2*>(&v.y));
    to[0] = a.x, to[1] = a.y, to[2] = b.x, to[3] = b.y;
}
RTD_DEVICE void load4(float (&to)[4], const Brain* p) {
    const uint2 v = *reinterpret_cast<const uint2*>(p);
    to[0] = __uint_as_float(v.x << 16), to[1] = __uint_as_float(v.x & 0xffff0000u);
    to[2] = __uint_as_float(v.y << 16), to[3] = __uint_as_float(v.y & 0xffff0000u);
}
RTD_DEVICE void store4(float* p, const float (&v)[4]) { *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]); }

}  // namespace rtd::cuda
#endif
