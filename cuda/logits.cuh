// What the model gives: reading queries, reading and writing logits, and their log-sum-exp in two steps, pieces by any block and the whole by
// whoever merges the row.
#pragma once
#include "config.cuh"
#include "sums.cuh"

namespace rtd::cuda {

RTD_DEVICE float negativeInfinity() { return floatOf(0xff800000u); }
RTD_DEVICE float positiveInfinity() { return floatOf(0x7f800000u); }

RTD_DEVICE float loadQuery(const SearchFuseArgs& a, uint64_t at) {
    return a.queriesAreHalf ? toFloat(static_cast<const Half*>(a.queries)[at]) : loadOrdered(static_cast<const float*>(a.queries) + at);
}
RTD_DEVICE float loadLogit(const SearchFuseArgs& a, uint32_t b, uint32_t v) {
    const uint64_t at = b * a.logitStride + v;
    return a.logitsAreHalf ? toFloat(static_cast<const Half*>(a.logits)[at]) : static_cast<const float*>(a.logits)[at];
}
RTD_DEVICE void storeLogit(const SearchFuseArgs& a, uint32_t b, uint32_t v, float value) {
    const uint64_t at = b * a.logitStride + v;
    if (a.logitsAreHalf)
        static_cast<Half*>(a.logits)[at] = toHalf(value);
    else
        static_cast<float*>(a.logits)[at] = value;
}

RTD_DEVICE bool isFused(const SearchFuseArgs& a, uint32_t b) { return a.logits && a.rows[b].weight > 0.0f; }

RTD_DEVICE uint32_t lsePieces(const SearchFuseArgs& a) {
    return (a.vocabulary + static_cast<uint32_t>(kLsePiece) - 1) / static_cast<uint32_t>(kLsePiece);
}

// Whether a warp's share of a query is finite, each piece's warp having its own. Nobody has looked at a query that comes from the device; of images
// who makes them says it.
RTD_DEVICE bool isQueryFinite(const SearchFuseArgs& a, uint32_t b, uint32_t piece, uint32_t lane) {
    bool isFinite = true;
    if (a.transform.mean) return true;
#pragma unroll 1
    for (uint32_t i = piece * 32 + lane; i < a.headDim * a.layout.heads; i += lsePieces(a) * 32) {
        const float q = loadQuery(a, b * a.queryStride + i);
        isFinite = isFinite && subRn(q, q) == 0.0f;
    }
    return isFinite;
}

// One warp, one piece: its maximum (NaN if any logit is, or the query is not finite) and the sum of exp(l - maximum). All loads are under way at
// once.
RTD_DEVICE void reduceLogits(const SearchFuseArgs& a, uint32_t b, uint32_t piece, uint32_t lane) {
    constexpr uint32_t kEach = kLsePiece / 32;
    const uint32_t begin = piece * static_cast<uint32_t>(kLsePiece) + lane;
    float l[kEach], top = negativeInfinity();
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) l[i] = begin + 32 * i < a.vocabulary ? loadLogit(a, b, begin + 32 * i) : negativeInfinity();
    bool isBad = !isQueryFinite(a, b, piece, lane);
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
        top = l[i] > top ? l[i] : top;
        isBad = isBad || l[i] != l[i];
    }
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) {
        const float other = shuffleXor(top, step);
        top = other > top ? other : top;
    }
    isBad = ballot(isBad) != 0;
    double partial[4] = {0, 0, 0, 0};
    if (top > negativeInfinity() && top < positiveInfinity()) {
#pragma unroll
        for (uint32_t i = 0; i < kEach; ++i) partial[i % 4] = addRn(partial[i % 4], static_cast<double>(expSmall(subRn(l[i], top))));
    }
    const double sum = treeOfStrides(partial);
    if (lane == 0) {
        const size_t at = static_cast<size_t>(b) * lsePieces(a) + piece;
        storeGlobal(&a.workspace.lseTops[at], isBad ? floatOf(0x7fc00000u) : top);
        storeGlobal(&a.workspace.lseSums[at], sum);
    }
}

// One warp: a row's log-sum-exp from its pieces to Shared, or that there is none (NaN, +infinity, nothing but -infinity; or no finite query).
template <class C>
RTD_DEVICE void combineLse(const SearchFuseArgs& a, Shared<C>& s, uint32_t b, uint32_t lane) {
    const uint32_t pieces = lsePieces(a);
    const float* tops = a.workspace.lseTops + static_cast<size_t>(b) * pieces;
    const double* sums = a.workspace.lseSums + static_cast<size_t>(b) * pieces;
    float top = negativeInfinity();
    bool isBad = a.transform.mean && loadRelaxed(&a.workspace.rows[b * a.layout.heads].notFinite) != 0;
    for (uint32_t i = lane; i < pieces; i += 32) {
        const float t = loadGlobal(tops + i);
        top = t > top ? t : top;
        isBad = isBad || t != t;
    }
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) {
        const float other = shuffleXor(top, step);
        top = other > top ? other : top;
    }
    const bool isMergeable = ballot(isBad) == 0 && top > negativeInfinity() && top < positiveInfinity();
    const double highest = static_cast<double>(top);
    double total = 0;
    if (isMergeable)  // the same in every lane
        total = warpSum(pieces, lane,
                        [&](uint32_t i) { return mulRn(loadGlobal(sums + i), expWide(subRn(static_cast<double>(loadGlobal(tops + i)), highest))); });
    if (lane == 0) {
        s.isMergeable = isMergeable;
        s.lse = isMergeable ? addRn(highest, logWide(total)) : 0.0;
    }
}

// Model and vote: the rule of core/fusion.h.
RTD_DEVICE float mergedLogit(float logit, double lse, double r, const RowOptions& row) {
    const double a = static_cast<double>(row.weight);
    if (a >= 1.0) return static_cast<float>(logWide(r));
    if (r == 0.0 || (logit == negativeInfinity() && !row.unmask)) return logit;
    const double p = expWide(subRn(static_cast<double>(logit), lse));
    const float merged = static_cast<float>(addRn(lse, logWide(fmaRn(divRn(a, subRn(1.0, a)), r, p))));
    return merged > logit ? merged : logit;
}

}  // namespace rtd::cuda
