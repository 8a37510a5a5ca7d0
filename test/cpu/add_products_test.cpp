// Sums of rows times factors: every back end gives the bits of the definition, and writes nothing else.
#include <cstring>

#include "core/canonical.h"
#include "cpu/backends.h"
#include "harness.h"

namespace {

using namespace rtd;

TEST("sums of rows times factors, of every count and length") {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const auto draw = [&](size_t n) {
        std::vector<float> numbers(n);
        for (float& x : numbers) x = normal(random);
        return numbers;
    };
    auto all = test::backends();
    all.push_back({"serial", &cpu::serialBackend});
    for (size_t count = 0; count <= 9; ++count)
        for (const size_t n : {0u, 1u, 7u, 16u, 17u, 63u, 200u}) {
            const size_t factorStride = 1 + count % 3, rowStride = n + count % 2;
            const std::vector<float> factors = draw(count * factorStride + 1), rows = draw(count * rowStride + 1), before = draw(n + 1);
            std::vector<float> want = before;
            for (size_t i = 0; i < count; ++i)
                for (size_t j = 0; j < n; ++j) want[j] = addRn(want[j], mulRn(factors[i * factorStride], rows[i * rowStride + j]));
            for (const auto& [name, backend] : all) {
                std::vector<float> sums = before;
                backend->addProducts(sums.data(), factors.data(), factorStride, rows.data(), rowStride, count, n);
                if (std::memcmp(sums.data(), want.data(), want.size() * sizeof(float)) != 0)
                    test::fail(__FILE__, __LINE__, name + ": other sums of " + std::to_string(count) + " rows");
            }
        }
}

}  // namespace
