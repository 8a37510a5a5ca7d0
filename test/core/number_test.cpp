// Number formats, exp and log against what is known about them.
#include <cmath>
#include <random>

#include "core/canonical.h"
#include "core/dtype.h"
#include "harness.h"

namespace {

using namespace rtd;

// The value of float16 bits, from the format's definition.
double valueOfF16(uint16_t bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double magnitude = exponent == 31  ? (mantissa ? NAN : INFINITY)
                             : exponent == 0 ? std::ldexp(mantissa, -24)
                                             : std::ldexp(1024 + mantissa, exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
}

double ulpOf(double x) { return std::nextafter(std::fabs(x), INFINITY) - std::fabs(x); }

TEST("float16 to float32 is exact for all bits") {
    for (uint32_t bits = 0; bits < 65536; ++bits) {
        const double want = valueOfF16(static_cast<uint16_t>(bits));
        const float got = toFloat(F16{static_cast<uint16_t>(bits)});
        CHECK(std::isnan(want) ? std::isnan(got) : static_cast<double>(got) == want && std::signbit(got) == std::signbit(want));
    }
}

TEST("float32 to float16 rounds to nearest even") {
    for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
        const auto low = static_cast<uint16_t>(bits), high = static_cast<uint16_t>(bits + 1);
        const double a = valueOfF16(low), b = bits == 0x7bff ? 65536.0 : valueOfF16(high);
        const float half = static_cast<float>((a + b) / 2);  // exact
        CHECK_EQUAL(toF16(static_cast<float>(a)).bits, low);
        CHECK_EQUAL(toF16(half).bits, low % 2 == 0 ? low : high);
        CHECK_EQUAL(toF16(std::nextafter(half, 0.0f)).bits, low);
        CHECK_EQUAL(toF16(std::nextafter(half, INFINITY)).bits, high);
        CHECK_EQUAL(toF16(-half).bits, (low % 2 == 0 ? low : high) | 0x8000);
    }
    CHECK_EQUAL(toF16(INFINITY).bits, 0x7c00);
    CHECK_EQUAL(toF16(3e38f).bits, 0x7c00);
    CHECK(std::isnan(toFloat(toF16(NAN))));
}

TEST("bfloat16 rounds to nearest even") {
    for (uint32_t bits = 0; bits < 0x7f80; ++bits) {
        const uint32_t exact = bits << 16;
        CHECK_EQUAL(toBf16(floatOf(exact)).bits, bits);
        CHECK_EQUAL(bitsOf(toFloat(Bf16{static_cast<uint16_t>(bits)})), exact);
        CHECK_EQUAL(toBf16(floatOf(exact + 0x7fff)).bits, bits);
        CHECK_EQUAL(toBf16(floatOf(exact + 0x8000)).bits, bits + bits % 2);
        CHECK_EQUAL(toBf16(floatOf(exact + 0x8001)).bits, bits + 1);
    }
    CHECK(std::isnan(toFloat(toBf16(floatOf(0x7f800001u)))));
    CHECK_EQUAL(toBf16(-INFINITY).bits, 0xff80);
}

TEST("overflow limits are where rounding gives infinity") {
    CHECK(std::isinf(toFloat(toF16(overflowLimit(Dtype::f16)))));
    CHECK(std::isfinite(toFloat(toF16(std::nextafter(overflowLimit(Dtype::f16), 0.0f)))));
    CHECK(std::isinf(toFloat(toBf16(overflowLimit(Dtype::bf16)))));
    CHECK(std::isfinite(toFloat(toBf16(std::nextafter(overflowLimit(Dtype::bf16), 0.0f)))));
    for (size_t n : {1, 63, 64, 65, 200})
        for (size_t at = 0; at <= n; ++at) {
            std::vector<float> values(n, 1.0f);
            if (at < n) values[at] = at % 2 ? NAN : -INFINITY;
            CHECK_EQUAL(firstNotFinite(values.data(), n), at);
        }
}

TEST("order keys sort as (value, id) does") {
    const float values[] = {-INFINITY, -3e38f, -1, -1e-45f, 0, 1e-45f, 1, 3e38f, INFINITY};
    for (const float a : values)
        for (const float b : values)
            for (const uint32_t i : {0u, 7u, 0xfffffffeu})
                for (const uint32_t j : {0u, 7u, 0xfffffffeu}) {
                    CHECK_EQUAL(orderKey(a, i) < orderKey(b, j), a < b || (a == b && i < j));
                    CHECK_EQUAL(valueOf(orderKey(a, i)), a);
                    CHECK_EQUAL(idOf(orderKey(a, i)), i);
                }
    CHECK_EQUAL(bitsOf(orderedValue(-0.0f, false)), 0u);
    CHECK_EQUAL(bitsOf(orderedValue(0.0f, true)), 0u);
    CHECK_EQUAL(orderedValue(NAN, true), INFINITY);
    CHECK_EQUAL(orderedValue(INFINITY, true), -INFINITY);
    CHECK(orderKey(INFINITY, 0xfffffffeu) != ~uint64_t{0});
}

TEST("canonical sums keep 128 partial sums") {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    for (const size_t n : {0, 1, 2, 64, 127, 128, 129, 300, 1000}) {
        std::vector<float> terms(n);
        for (float& t : terms) t = normal(random);
        std::vector<float> partial(128, 0.0f);
        for (size_t i = 0; i < n; ++i) partial[i % 128] = terms[i] + partial[i % 128];
        for (size_t count = 64; count > 0; count /= 2)
            for (size_t j = 0; j < count; ++j) partial[j] += partial[j + count];
        CHECK_EQUAL(bitsOf(canonicalSum<float>(n, [&](size_t i, float s) { return addRn(s, terms[i]); })), bitsOf(partial[0]));
    }
}

TEST("exp and log are within 2 ULP") {
    std::mt19937_64 random(2);
    std::uniform_real_distribution<double> uniform(0, 1);
    for (int i = 0; i < 200000; ++i) {
        const auto x = static_cast<float>(-87 * std::pow(uniform(random), 3));
        const float small = expSmall(x);
        CHECK(std::fabs(static_cast<double>(small) - std::exp(static_cast<double>(x))) <=
              0.91 * static_cast<double>(std::nextafter(small, INFINITY) - small));
        const double y = -708 * std::pow(uniform(random), 3);
        CHECK(std::fabs(static_cast<double>(static_cast<long double>(expWide(y)) - expl(y))) <= 0.9 * ulpOf(std::exp(y)));
        const double z = std::exp(1400 * (uniform(random) - 0.5) * std::pow(uniform(random), 2));
        CHECK(std::fabs(static_cast<double>(static_cast<long double>(logWide(z)) - logl(z))) <= 2 * ulpOf(std::log(z)));
    }
    CHECK_EQUAL(expSmall(0), 1.0f);
    CHECK_EQUAL(expSmall(-87.1f), 0.0f);
    CHECK_EQUAL(expSmall(-INFINITY), 0.0f);
    CHECK_EQUAL(expWide(0), 1.0);
    CHECK_EQUAL(expWide(-709), 0.0);
    CHECK_EQUAL(logWide(1), 0.0);
    CHECK_EQUAL(logWide(0), -INFINITY);
    CHECK(std::fabs(logWide(5e-324) - std::log(5e-324)) < 1e-12);
}

}  // namespace
