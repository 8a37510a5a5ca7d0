// The serial back end: the canonical arithmetic in plain loops, one number after another. Slow on purpose; every other back end is compared
// with it, bit for bit.
#include "core/canonical.h"
#include "cpu/backend.h"

namespace rtd::cpu {
namespace {

template <typename Key, bool isDot>
void tileSums(const QueryTile& queries, const KeyTile& keys, float* sums, size_t sumStride) {
    for (uint32_t q = 0; q < queries.count; ++q)
        for (uint32_t i = 0; i < keys.count; ++i) {
            const float* query = queries.queries + q * queries.stride;
            const Key* key = static_cast<const Key*>(keys.keys) + i * keys.stride;
            sums[q * sumStride + i] = canonicalSum<float>(keys.length, [&](size_t j, float s) {
                const float x = toFloat(key[j]);
                if (isDot) return fmaRn(query[j], x, s);
                const float difference = subRn(query[j], x);
                return fmaRn(difference, difference, s);
            });
        }
}

void lsePiece(const float* logits, size_t n, float* top, double* sum) {
    *top = -INFINITY;
    *sum = 0;
    for (size_t i = 0; i < n; ++i) {
        if (std::isnan(logits[i])) {
            *top = logits[i];
            return;
        }
        if (logits[i] > *top) *top = logits[i];
    }
    if (std::isinf(*top)) return;
    *top = addRn(*top, 0.0f);  // -0 counts as +0, whichever came first
    *sum = canonicalSum<double>(n, [&](size_t i, double s) { return addRn(s, static_cast<double>(expSmall(subRn(logits[i], *top)))); });
}

}  // namespace

const Backend serialBackend = {
    "serial",
    {tileSums<float, false>, tileSums<F16, false>, tileSums<Bf16, false>},
    {tileSums<float, true>, tileSums<F16, true>, tileSums<Bf16, true>},
    lsePiece,
};

}  // namespace rtd::cpu
