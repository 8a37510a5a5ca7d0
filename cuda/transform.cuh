// Queries through the index's transform: z = W (x - mean), with the bits of cpp/transform/transform.h.
//
// What is made here other blocks read, in place of the queries that were given: the only kind of query that this launch writes. A number that is not
// finite marks its query, whose logits then stay as they were; a query that is not finite itself has no finite image.
#pragma once
#include "logits.cuh"

namespace rtd::cuda {

// How many tickets there are: of a matrix, kWarps numbers of every query each; of a scale, kThreads.
template <class C>
RTD_DEVICE uint32_t transformTickets(const SearchFuseArgs& a) {
    const uint32_t each = a.transform.isMatrix ? C::kWarps : C::kThreads;
    return a.transform.mean ? (a.headDim * a.layout.heads + each - 1) / each : 0;
}

RTD_DEVICE float loadGiven(const SearchFuseArgs& a, uint64_t at) {
    return a.givenAreHalf ? toFloat(static_cast<const Half*>(a.given)[at]) : static_cast<const float*>(a.given)[at];
}

RTD_DEVICE void storeImage(const SearchFuseArgs& a, uint32_t b, uint32_t dimension, float value) {
    storeGlobal(&a.workspace.images[b * a.queryStride + dimension], value);
    if (subRn(value, value) != 0.0f) addRelaxed(&a.workspace.rows[b * a.layout.heads].notFinite, 1u);
}

// One dimension of all images under a matrix, by one warp: canonical sums, four at a time.
RTD_DEVICE void multiplyRow(const SearchFuseArgs& a, uint32_t dimension, uint32_t lane) {
    const uint32_t n = a.transform.inputDim;
    const float* weights = a.transform.weights + static_cast<size_t>(dimension) * alignedStride(n);
    for (uint32_t first = 0; first < a.batch; first += 4) {
        float sum[4][4] = {};
        for (uint32_t i = 4 * lane; i < n; i += kPartials) {
            float w[4], mean[4];
            load4(w, weights + i);
            load4(mean, a.transform.mean + i);
#pragma unroll
            for (uint32_t r = 0; r < 4; ++r) {
                const uint64_t query = (first + r < a.batch ? first + r : 0) * a.givenStride;
#pragma unroll
                for (uint32_t c = 0; c < 4; ++c)
                    if (i + c < n) sum[r][c] = fmaRn(subRn(loadGiven(a, query + i + c), mean[c]), w[c], sum[r][c]);
            }
        }
        const float value = treeOfFours<4>(sum, lane);
        const uint32_t b = first + lane / 8;
        if (lane % 8 == 0 && b < a.batch) storeImage(a, b, dimension, value);
    }
}

// One ticket.
template <class C>
RTD_APART void transformQueries(const SearchFuseArgs& a, uint32_t ticket) {
    const uint32_t tid = threadIndex(), dims = a.headDim * a.layout.heads;
    if (a.transform.isMatrix) {
        const uint32_t dimension = ticket * C::kWarps + tid / 32;
        if (dimension < dims) multiplyRow(a, dimension, tid & 31);
    } else if (const uint32_t dimension = ticket * C::kThreads + tid; dimension < dims) {
        const float mean = a.transform.mean[dimension], weight = a.transform.weights[dimension];
        for (uint32_t b = 0; b < a.batch; ++b) storeImage(a, b, dimension, mulRn(subRn(loadGiven(a, b * a.givenStride + dimension), mean), weight));
    }
}

}  // namespace rtd::cuda
