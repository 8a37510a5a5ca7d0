// Canonical sums of a tile, written once for every instruction set: queries [Q, d] float32 and keys [n, d] to sums [Q, n]. Reads a key from
// memory once and spends Q x d fma on it (and as many sub for l2). Any shape, stride and alignment; nothing behind a row's end is read.
//
// A file that is compiled for an instruction set includes this and says what a vector is there (struct Isa: see avx2.cpp). All of it is
// templates over that file's private Isa: the linker has nothing to share with files that are compiled for other processors.
//
// The 128 partial sums of core/canonical.h are independent, so they may be taken in any company as long as each is in order of i:
//   vector v        partial sums [v kLanes, (v + 1) kLanes)
//   pass p of P     the vectors p, p + P, p + 2P, ... of a block of Q queries x K keys: as many accumulators as there are registers
//   tree            s[v] += s[v + half] folds the vectors of a pass into one, then passes p and p + P / 2, ... into one (taken in bit-reversed
//                   order, like the carries of a binary counter); Isa::sumLanes folds kLanes such vectors at once into their kLanes sums
// Padding is -0 in queries against +0 in keys: it adds -0 to a dot product and +0 to a squared distance, which changes no bit of either.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>

#include "cpu/backend.h"

#define RTD_INLINE __attribute__((always_inline))

namespace rtd::cpu {
namespace {

constexpr size_t kPartialSums = 128;

struct SquaredDifference {
    template <class Isa, class Vector>
    RTD_INLINE static Vector add(Vector s, Vector q, Vector x) {
        const Vector difference = Isa::sub(q, x);
        return Isa::fma(difference, difference, s);
    }
};

struct Product {
    template <class Isa, class Vector>
    RTD_INLINE static Vector add(Vector s, Vector q, Vector x) {
        return Isa::fma(q, x, s);
    }
};

// How Q queries share the registers with keys.
struct Blocking {
    size_t keys, passes;
};

// body(0), ... body(N - 1) with constants for arguments, so that arrays indexed by them live in registers.
template <class Body, size_t... I>
RTD_INLINE inline void unroll(std::index_sequence<I...>, const Body& body) {
    (body(std::integral_constant<size_t, I>{}), ...);
}
template <size_t N, class Body>
RTD_INLINE inline void unroll(const Body& body) {
    unroll(std::make_index_sequence<N>{}, body);
}

// N rows, and a padded copy of what is left of each after its last whole vector.
template <class Isa, class Element, size_t N>
struct Rows {
    const Element* row[N];
    alignas(64) Element rest[N][Isa::kLanes];

    void padRest(size_t length, Element padding) {
        const size_t n = length % Isa::kLanes;
        if (n == 0) return;
        for (size_t i = 0; i < N; ++i) {
            for (Element& e : rest[i]) e = padding;
            std::memcpy(rest[i], row[i] + length - n, n * sizeof(Element));
        }
    }
};

constexpr size_t reversedBits(size_t i, size_t count) {
    size_t reversed = 0;
    for (; count > 1; count /= 2, i /= 2) reversed = 2 * reversed + i % 2;
    return reversed;
}

// Folds the 128 partial sums of each query and key of a block to kLanes: out[q * kLanes + k].
template <class Isa, class Metric, size_t P, class Key, size_t Q, size_t K>
void sumBlock(const Rows<Isa, float, Q>& queries, const Rows<Isa, Key, K>& keys, size_t length, typename Isa::Vector* out) {
    using Vector = typename Isa::Vector;
    constexpr size_t L = Isa::kLanes, kVectors = kPartialSums / L / P, kLevels = std::bit_width(P);
    static_assert(kVectors * L * P == kPartialSums);
    Vector waiting[kLevels][Q][K];  // of 1, 2, 4, ... passes

    for (size_t pass = 0; pass < P; ++pass) {
        Vector s[kVectors][Q][K];
        const auto forEachPair = [](const auto& body)
                                     RTD_INLINE { unroll<Q>([&](auto q) RTD_INLINE { unroll<K>([&](auto k) RTD_INLINE { body(q, k); }); }); };
        const auto addProducts = [&](auto v, const auto& query, const auto& key) RTD_INLINE {
            Vector a[Q];
            unroll<Q>([&](auto q) RTD_INLINE { a[q] = Isa::load(query(q)); });
            unroll<K>([&](auto k) RTD_INLINE {
                const Vector x = Isa::load(key(k));
                unroll<Q>([&](auto q) RTD_INLINE { s[v][q][k] = Metric::template add<Isa>(s[v][q][k], a[q], x); });
            });
        };
        unroll<kVectors>([&](auto v) RTD_INLINE { forEachPair([&](auto q, auto k) RTD_INLINE { s[v][q][k] = Isa::all(0.0f); }); });

        size_t at = reversedBits(pass, P) * L;
        for (size_t left = length / kPartialSums; left > 0; --left, at += kPartialSums) {
            unroll<kVectors>([&](auto v) RTD_INLINE {
                const size_t i = at + v * P * L;
                addProducts(
                    v, [&](auto q) { return queries.row[q] + i; }, [&](auto k) { return keys.row[k] + i; });
            });
        }
        unroll<kVectors>([&](auto v) RTD_INLINE {
            const size_t i = at + v * P * L;
            const bool isWhole = i + L <= length;
            if (i < length) {
                addProducts(
                    v, [&](auto q) { return isWhole ? queries.row[q] + i : queries.rest[q]; },
                    [&](auto k) { return isWhole ? keys.row[k] + i : keys.rest[k]; });
            }
        });

        unroll<std::bit_width(kVectors) - 1>([&](auto level) RTD_INLINE {
            constexpr size_t kHalf = kVectors >> (level + 1);
            unroll<kHalf>([&](auto v)
                              RTD_INLINE { forEachPair([&](auto q, auto k) RTD_INLINE { s[v][q][k] = Isa::add(s[v][q][k], s[v + kHalf][q][k]); }); });
        });
        size_t level = 0;
        for (; pass >> level & 1; ++level) forEachPair([&](auto q, auto k) RTD_INLINE { s[0][q][k] = Isa::add(waiting[level][q][k], s[0][q][k]); });
        forEachPair([&](auto q, auto k) RTD_INLINE { waiting[level][q][k] = s[0][q][k]; });
    }
    for (size_t q = 0; q < Q; ++q)
        for (size_t k = 0; k < K; ++k) out[q * L + k] = waiting[kLevels - 1][q][k];
}

// Asks for the bytes [begin, end) of a row to come to the second-level cache. Any address: a prefetch of none that exists does nothing.
inline void prefetchBytes(const void* row, size_t begin, size_t end) {
    constexpr size_t kCacheLine = 64;
    for (size_t i = begin; i < end; i += kCacheLine) __builtin_prefetch(static_cast<const char*>(row) + i, 0, 2);
}

// Q queries, beginning with query `at`, against a chunk of count <= kLanes keys.
template <class Isa, class Metric, size_t Q, class Key>
void sumChunk(const QueryTile& queries, size_t at, const KeyTile& keys, const Key* key, size_t count, float* sums, size_t sumStride) {
    constexpr size_t L = Isa::kLanes, K = Isa::kBlocks[Q - 1].keys, P = Isa::kBlocks[Q - 1].passes;
    static_assert(L % K == 0);
    Rows<Isa, float, Q> queryRows;
    for (size_t q = 0; q < Q; ++q) queryRows.row[q] = queries.queries + (at + q) * queries.stride;
    queryRows.padRest(keys.length, -0.0f);

    typename Isa::Vector folded[Q * L];
    if (count < L)
        for (auto& vector : folded) vector = Isa::all(0.0f);
    const size_t rowBytes = keys.length * sizeof(Key), begin = rowBytes * at / queries.count, end = rowBytes * (at + Q) / queries.count;
    for (size_t k = 0; k < count; k += K) {
        Rows<Isa, Key, K> keyRows;
        for (size_t i = 0; i < K; ++i) {
            keyRows.row[i] = key + (k + i < count ? k + i : count - 1) * keys.stride;  // a short block takes its last key again
            prefetchBytes(keyRows.row[i] + L * keys.stride, begin, end);               // the next chunk, a share with every block of queries
        }
        keyRows.padRest(keys.length, Key{});
        sumBlock<Isa, Metric, P>(queryRows, keyRows, keys.length, folded + k);
    }
    for (size_t q = 0; q < Q; ++q) {
        const auto finished = Isa::sumLanes(folded + q * L);
        float* to = sums + (at + q) * sumStride;
        if (count == L) {
            Isa::store(to, finished);
        } else {
            float part[L];
            Isa::store(part, finished);
            std::memcpy(to, part, count * sizeof(float));
        }
    }
}

// The TileSums of an instruction set.
template <class Isa, class Metric, class Key>
void tileSums(const QueryTile& queries, const KeyTile& keys, float* sums, size_t sumStride) {
    constexpr size_t L = Isa::kLanes, kMaxQueries = std::size(Isa::kBlocks);
    for (size_t k = 0; k < keys.count; k += L) {
        const Key* key = static_cast<const Key*>(keys.keys) + k * keys.stride;
        const size_t count = keys.count - k < L ? keys.count - k : L;
        for (size_t at = 0, step; at < queries.count; at += step) {
            step = queries.count - at < kMaxQueries ? queries.count - at : kMaxQueries;
            unroll<kMaxQueries>([&](auto i) {
                if (step == i + 1) sumChunk<Isa, Metric, i + 1>(queries, at, keys, key, count, sums + k, sumStride);
            });
        }
    }
}

}  // namespace
}  // namespace rtd::cpu
