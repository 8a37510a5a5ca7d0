// What the .cu file of each family consists of.
#pragma once
#include "instantiations.h"
#include "launch.h"
#include "search_fuse.cuh"

namespace rtd::cuda {

template <typename Key>
constexpr KeyType kKeyType = KeyType::f32;
template <>
constexpr KeyType kKeyType<Half> = KeyType::f16;
template <>
constexpr KeyType kKeyType<Brain> = KeyType::bf16;

template <typename Key, bool kDot, int kQueries, int kStages>
using Launched = Config<Key, kDot, kQueries, 8, kStages>;

// familyBytes: of shared memory that every architecture of the family gives a block. What does not fit is refused here.
template <class C, size_t kFamilyBytes>
KernelEntry entryOf() {
    static_assert(sharedBytes<C>(kMaxHits) <= kFamilyBytes, "too many stages for this family's shared memory");
    return {kKeyType<typename C::Key>, C::kIsDot,     C::kQueries,    C::kTileKeys, C::kThreads, reinterpret_cast<const void*>(&searchFuse<C>),
            sizeof(Shared<C>),         kRingBytes<C>, C::kColumns > 1};
}

}  // namespace rtd::cuda

#define RTD_ENTRY(key, isDot, queries, stages) rtd::cuda::entryOf<rtd::cuda::Launched<rtd::cuda::key, isDot, queries, stages>, kFamilyBytes>(),
#define RTD_FAMILY(name, kernels, bytes)                           \
    rtd::cuda::KernelTable rtd::cuda::name() {                     \
        constexpr size_t kFamilyBytes = bytes;                     \
        static const KernelEntry entries[] = {kernels(RTD_ENTRY)}; \
        return {entries, sizeof entries / sizeof *entries};        \
    }
