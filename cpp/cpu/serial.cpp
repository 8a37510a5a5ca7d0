// The serial back end: the canonical arithmetic in plain loops, one number after another. Slow on purpose; every other back end is compared
// with it, bit for bit.
#include <algorithm>
#include <cstring>

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

void entropyPiece(const float* logits, size_t n, float top, double* sum) {
    *sum = canonicalSum<double>(n, [&](size_t i, double s) {
        const float x = subRn(logits[i], top);
        return addRn(s, static_cast<double>(mulRn(expSmall(x), std::max(x, -87.0f))));
    });
}

void blockScores(const uint8_t* blocks, size_t blockCount, uint32_t groups, const BlockQuery* queries, size_t queryCount, uint16_t* scores,
                 size_t scoreStride) {
    for (size_t b = 0; b < blockCount; ++b)
        for (size_t q = 0; q < queryCount; ++q)
            for (size_t i = 0; i < kBlockKeys; ++i) {
                const uint8_t* block = blocks + b * blockBytesOf(groups);
                uint16_t norm;
                std::memcpy(&norm, block + size_t{groups} * kBlockKeys * 4 + i * sizeof norm, sizeof norm);
                int32_t s = queries[q].start + (norm << queries[q].normShift);
                for (size_t j = 0; j < size_t{groups} * 4; ++j) s -= block[(j / 4 * kBlockKeys + i) * 4 + j % 4] * queries[q].codes.z[j];
                scores[q * scoreStride + b * kBlockKeys + i] = static_cast<uint16_t>(std::min(s >> queries[q].scoreShift, 65535));
            }
}

void blockSums(const uint8_t* block, uint32_t groups, const CodeQuery& query, int32_t* sums) {
    for (size_t i = 0; i < kBlockKeys; ++i) {
        sums[i] = 0;
        for (size_t j = 0; j < size_t{groups} * 4; ++j) sums[i] += block[(j / 4 * kBlockKeys + i) * 4 + j % 4] * query.z[j];
    }
}

void interleaveRows(const uint8_t* rows, uint8_t* block) {
    for (size_t i = 0; i < kBlockKeys; ++i)
        for (size_t j = 0; j < kInterleavedBytes; j += 4) std::memcpy(block + j * kBlockKeys + 4 * i, rows + i * kInterleavedBytes + j, 4);
}

void rowSums(const uint8_t* const* rows, size_t rowCount, size_t length, const CodeQuery& query, int32_t* sums) {
    for (size_t r = 0; r < rowCount; ++r) {
        uint32_t sum = 0;
        for (size_t j = 0; j < length; ++j) sum += static_cast<uint32_t>(rows[r][j] * query.z[j]);
        sums[r] = static_cast<int32_t>(sum);
    }
}

size_t selectScores(const uint16_t* scores, size_t blockCount, uint16_t most, uint32_t first, uint32_t* places) {
    size_t n = 0;
    for (size_t i = 0; i < blockCount * kBlockKeys; ++i)
        if (scores[i] <= most) places[n++] = first + static_cast<uint32_t>(i);
    return n;
}

uint32_t maskScores(const uint16_t* scores, uint16_t most) {
    uint32_t mask = 0;
    for (size_t i = 0; i < kBlockKeys; ++i) mask |= uint32_t{scores[i] <= most} << i;
    return mask;
}

uint32_t withinReach(const uint16_t* scores, const int32_t* sums, const Level2Keys& keys, const Level2Query& query) {
    uint32_t mask = 0;
    for (size_t i = 0; i < kBlockKeys; ++i) {
        const float one = subRn(mulRn(static_cast<float>(scores[i]), query.scoreUnit), query.scoreSlack);
        const float rest = subRn(query.residual, mulRn(keys.residual[i], query.residualUnit));
        const float left = std::max(subRn(one, mulRn(mulRn(rest, rest), query.restUnit)), 0.0f);
        const float positive = addRn(query.base, keys.norm[i]);
        const float two = addRn(positive, mulRn(mulRn(static_cast<float>(sums[i] - query.sumOffset), query.sumUnit), keys.step[i]));
        const float limit = addRn(query.reach, keys.error[i]), size = addRn(addRn(positive, one), query.scoreSlack);
        const float most = addRn(mulRn(limit, limit), mulRn(kLevel2Rounding, size));
        mask |= uint32_t{!(addRn(left, two) > most)} << i;
    }
    return mask;
}

void addProducts(float* to, const float* factors, size_t factorStride, const float* rows, size_t rowStride, size_t rowCount, size_t n) {
    for (size_t i = 0; i < rowCount; ++i)
        for (size_t j = 0; j < n; ++j) to[j] = addRn(to[j], mulRn(factors[i * factorStride], rows[i * rowStride + j]));
}

}  // namespace

const Backend serialBackend = {
    "serial",
    {tileSums<float, false>, tileSums<F16, false>, tileSums<Bf16, false>},
    {tileSums<float, true>, tileSums<F16, true>, tileSums<Bf16, true>},
    lsePiece,
    entropyPiece,
    addProducts,
    {blockScores, blockSums, interleaveRows, rowSums, selectScores, maskScores, withinReach},
};

}  // namespace rtd::cpu
