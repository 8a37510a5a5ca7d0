// Pieces of a log-sum-exp and of an entropy: every back end gives the serial one's bits.
#include <cmath>
#include <limits>

#include "core/canonical.h"
#include "cpu/backends.h"
#include "harness.h"

namespace {

using namespace rtd;

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

void compare(const std::vector<float>& logits, size_t shift = 0) {
    std::vector<float> memory(shift);
    memory.insert(memory.end(), logits.begin(), logits.end());
    float wantTop;
    double wantSum;
    cpu::serialBackend.lsePiece(memory.data() + shift, logits.size(), &wantTop, &wantSum);
    for (const auto& [name, backend] : test::backends()) {
        float top = 1;
        double sum = 1;
        backend->lsePiece(memory.data() + shift, logits.size(), &top, &sum);
        if (!test::isSame(top, wantTop) || bitsOf(sum) != bitsOf(wantSum))
            test::fail(__FILE__, __LINE__,
                       name + ": " + std::to_string(logits.size()) + " logits give " + test::show(top) + " and " + test::show(sum) + ", serial " +
                           test::show(wantTop) + " and " + test::show(wantSum));
        if (!std::isfinite(top)) continue;
        double wantMoment;
        cpu::serialBackend.entropyPiece(memory.data() + shift, logits.size(), top, &wantMoment);
        backend->entropyPiece(memory.data() + shift, logits.size(), top, &sum);
        if (bitsOf(sum) != bitsOf(wantMoment))
            test::fail(__FILE__, __LINE__, name + ": the moment is " + test::show(sum) + ", serial " + test::show(wantMoment));
    }
}

std::vector<float> draw(size_t n, float scale, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<float> logits(n);
    for (float& l : logits) l = scale * std::normal_distribution<float>()(random);
    return logits;
}

TEST("pieces of every size, at every alignment") {
    for (size_t n = 0; n <= kLsePiece; ++n) compare(draw(n, 5, static_cast<uint32_t>(n)), n % 16);
}

TEST("pieces of narrow, wide and overflowing logits") {
    for (const float scale : {1e-30f, 0.01f, 1.0f, 20.0f, 100.0f, 1e10f, 1e38f})
        for (uint32_t seed = 0; seed < 20; ++seed) compare(draw(kLsePiece - seed, scale, seed));
}

TEST("every part of exp's range alone beside the maximum") {
    // 1 + exp(x) is exact in double down to exp(x) = 2^-29, below that it is rounded once: the sum shows every bit that a sum can show.
    for (float x = 0; x > -21; x = x * 1.0009f - 1e-4f) compare({0.0f, x});
    for (float x = -20; x > -110; x *= 1.0003f) compare({x, 0.0f});
    for (const float x : {-86.9999f, -87.0f, -87.00001f, -0x1.5d589ep+6f, -1e-45f, -0.34657359f, -0.34657362f}) compare({0.0f, x});
}

TEST("a NaN or +infinity anywhere, and masked logits") {
    for (size_t n : {1, 5, 31, 200})
        for (size_t i = 0; i < n; ++i)
            for (const float special : {kNan, -kNan, kInfinity, -kInfinity}) {
                std::vector<float> logits = draw(n, 3, 1);
                logits[i] = special;
                compare(logits);
                logits[n - 1 - i] = kInfinity;  // a NaN counts more
                compare(logits);
            }
    compare(std::vector<float>(1024, -kInfinity));
    compare(std::vector<float>(77, -kInfinity));
}

TEST("a maximum of zero is +0, whichever zero comes first") {
    for (size_t n : {1, 2, 8, 16, 40})
        for (size_t i = 0; i < n; ++i) {
            std::vector<float> logits(n, -0.0f);
            compare(logits);
            logits[i] = 0.0f;
            compare(logits);
        }
}

}  // namespace
