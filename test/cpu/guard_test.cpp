// Nothing before the first or behind the last row is read, nothing beyond the results is written: rows and results lie against pages that may
// not be touched, as the last key of a mapped file does. A back end that errs ends the program here.
#include <cstring>

#include "cpu/backends.h"
#include "harness.h"

namespace {

using namespace rtd;

constexpr uint32_t kQueries = 5, kKeys = 19;

void runTile(const cpu::Backend& backend, Dtype type, size_t length, size_t gap, uint32_t queryCount, uint32_t keyCount) {
    static const test::GuardedMemory kept[3] = {test::GuardedMemory(1 << 17), test::GuardedMemory(1 << 17), test::GuardedMemory(1 << 14)};
    auto& [queries, keys, sums] = const_cast<test::GuardedMemory(&)[3]>(kept);
    std::mt19937 random(static_cast<uint32_t>(length));
    const size_t stride = length + gap, queryCount_ = queryCount ? (queryCount - 1) * stride + length : 0,
                 keyCount_ = keyCount ? (keyCount - 1) * stride + length : 0;
    std::vector<float> q(queryCount_);
    for (float& v : q) v = test::draw(test::Values::normal, random);
    const std::vector<std::byte> x = test::drawKeys(test::Values::normal, type, keyCount_, random);
    for (const bool isLast : {true, false}) {
        const auto place = [&](test::GuardedMemory& memory, const void* from, size_t bytes) {
            return isLast ? memory.putLast(from, bytes) : memory.putFirst(from, bytes);
        };
        const cpu::QueryTile queryTile = {reinterpret_cast<const float*>(place(queries, q.data(), q.size() * sizeof(float))), stride, queryCount};
        const cpu::KeyTile keyTile = {place(keys, x.data(), x.size()), stride, keyCount, static_cast<uint32_t>(length)};
        const std::vector<float> nothing(queryCount * keyCount, 12345.0f);
        auto* out = reinterpret_cast<float*>(place(sums, nothing.data(), nothing.size() * sizeof(float)));
        for (const cpu::TileSums* sumsOf : {backend.l2, backend.dot}) sumsOf[static_cast<size_t>(type)](queryTile, keyTile, out, keyCount);
    }
}

TEST("tiles stay within their rows") {
    for (const auto& [name, backend] : test::backends())
        for (const Dtype type : {Dtype::f32, Dtype::f16, Dtype::bf16}) {
            for (size_t length = 1; length <= 300; ++length) runTile(*backend, type, length, length % 3, kQueries - length % 2, kKeys);
            for (uint32_t keyCount = 0; keyCount <= 33; ++keyCount)
                for (uint32_t queryCount = 0; queryCount <= 5; ++queryCount) runTile(*backend, type, 77, 0, queryCount, keyCount);
        }
}

TEST("pieces of a log-sum-exp and an entropy stay within their logits") {
    test::GuardedMemory memory(4096);
    for (const auto& [name, backend] : test::backends())
        for (size_t n = 0; n <= 1024; ++n) {
            const std::vector<float> logits(n, 1.5f);
            float top;
            double sum, moment;
            backend->lsePiece(reinterpret_cast<const float*>(memory.putLast(logits.data(), n * sizeof(float))), n, &top, &sum);
            backend->entropyPiece(reinterpret_cast<const float*>(memory.putLast(logits.data(), n * sizeof(float))), n, 0, &moment);
            backend->lsePiece(reinterpret_cast<const float*>(memory.putFirst(logits.data(), n * sizeof(float))), n, &top, &sum);
            backend->entropyPiece(reinterpret_cast<const float*>(memory.putFirst(logits.data(), n * sizeof(float))), n, 0, &moment);
            if (n) CHECK_EQUAL(sum, static_cast<double>(n));
        }
}

}  // namespace
