// Sums in the canonical order of core/canonical.h, by one warp.
#pragma once
#include "primitives.cuh"

namespace rtd::cuda {

// The tree over float partial sums: v[m][c] is lane l's partial sum 4l + c of sum m. Returns the whole sum number lane / (32 / kSums). The first
// steps of the tree halve the number of sums a lane carries instead of repeating them in every lane: 4 sums take 24 shuffles, not 80.
template <int kSums, int kStep = 16, int kRoom>
RTD_DEVICE float treeOfFours(float (&v)[kRoom][4], uint32_t lane) {
    if constexpr (kStep == 0) {
        return addRn(addRn(v[0][0], v[0][2]), addRn(v[0][1], v[0][3]));
    } else if constexpr (kSums > 1) {
        const bool isUpper = lane & kStep;
        float give[kSums / 2][4];
#pragma unroll
        for (int m = 0; m < kSums / 2; ++m)
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const float lower = v[m][c], upper = v[m + kSums / 2][c];
                give[m][c] = isUpper ? lower : upper;
                v[m][c] = isUpper ? upper : lower;
            }
        shuffleXor(give, kStep);
#pragma unroll
        for (int m = 0; m < kSums / 2; ++m)
#pragma unroll
            for (int c = 0; c < 4; ++c) v[m][c] = addRn(v[m][c], give[m][c]);
        return treeOfFours<kSums / 2, kStep / 2>(v, lane);
    } else {
        float other[1][4] = {{v[0][0], v[0][1], v[0][2], v[0][3]}};
        shuffleXor(other, kStep);
#pragma unroll
        for (int c = 0; c < 4; ++c) v[0][c] = addRn(v[0][c], other[0][c]);
        return treeOfFours<1, kStep / 2>(v, lane);
    }
}

// The tree over double partial sums: v[c] is lane l's partial sum 32c + l. Every lane gets the sum.
RTD_DEVICE double treeOfStrides(const double (&v)[4]) {
    double s = addRn(addRn(v[0], v[2]), addRn(v[1], v[3]));
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) s = addRn(s, shuffleXor(s, step));
    return s;
}

// The canonical sum of term(0) .. term(n - 1); every lane gets it.
template <typename Term>
RTD_DEVICE double warpSum(uint32_t n, uint32_t lane, Term term) {
    double partial[4] = {0, 0, 0, 0};
    for (uint32_t i = lane; i < n; i += kPartials) {
#pragma unroll
        for (uint32_t c = 0; c < 4; ++c)
            if (i + 32 * c < n) partial[c] = addRn(partial[c], term(i + 32 * c));
    }
    return treeOfStrides(partial);
}

}  // namespace rtd::cuda
