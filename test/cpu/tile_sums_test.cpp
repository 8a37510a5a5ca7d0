// Tiles: every back end gives the serial one's bits, for every shape, alignment, dtype and metric, and writes nothing else.
#include <cstring>

#include "core/canonical.h"
#include "cpu/backends.h"
#include "harness.h"

namespace {

using namespace rtd;

struct Shape {
    size_t length;
    uint32_t queries, keys;
    size_t queryPadding = 0, keyPadding = 0;  // elements between rows
    size_t queryShift = 0, keyShift = 0;      // elements between an aligned address and the first row
};

std::string describe(const Shape& s, Dtype type, bool isDot, test::Values values) {
    std::ostringstream out;
    out << s.queries << " queries, " << s.keys << " keys of " << s.length << ' ' << nameOf(type) << (isDot ? ", dot" : ", l2") << ", padding "
        << s.queryPadding << " and " << s.keyPadding << ", shift " << s.queryShift << " and " << s.keyShift << ", values "
        << static_cast<int>(values);
    return out.str();
}

void compare(const Shape& s, Dtype type, bool isDot, test::Values values, uint32_t seed) {
    std::mt19937 random(seed);
    const size_t queryStride = s.length + s.queryPadding, keyStride = s.length + s.keyPadding, sumStride = s.keys + seed % 3;
    std::vector<float> queries(s.queryShift + queryStride * s.queries);
    for (float& q : queries) q = test::draw(values, random);
    const std::vector<std::byte> keys = test::drawKeys(values, type, s.keyShift + keyStride * s.keys, random);
    const cpu::QueryTile queryTile = {queries.data() + s.queryShift, queryStride, s.queries};
    const cpu::KeyTile keyTile = {keys.data() + s.keyShift * bytesOf(type), keyStride, s.keys, static_cast<uint32_t>(s.length)};
    const auto sumsOf = [&](const cpu::Backend& backend) {
        std::vector<float> sums(sumStride * s.queries + 1, 12345.0f);  // one number more than there is to write, and the gaps between rows
        (isDot ? backend.dot : backend.l2)[static_cast<size_t>(type)](queryTile, keyTile, sums.data(), sumStride);
        return sums;
    };
    const std::vector<float> want = sumsOf(cpu::serialBackend);
    for (const auto& [name, backend] : test::backends()) {
        const std::vector<float> got = sumsOf(*backend);
        for (size_t i = 0; i < want.size(); ++i)
            if (!test::isSame(got[i], want[i]))
                test::fail(__FILE__, __LINE__,
                           name + ": sum " + std::to_string(i) + " is " + test::show(got[i]) + ", serial " + test::show(want[i]) + "; " +
                               describe(s, type, isDot, values));
    }
}

// Every dtype, metric and kind of values.
void compareAll(const Shape& s, uint32_t seed) {
    for (const Dtype type : {Dtype::f32, Dtype::f16, Dtype::bf16})
        for (const bool isDot : {false, true})
            for (const test::Values values : test::kValues) compare(s, type, isDot, values, seed++);
}

TEST("there is a back end to compare with the serial one") {
#if defined(__x86_64__) || defined(__aarch64__)
    CHECK(!test::backends().empty());
#endif
}

TEST("tiles of every length up to three times the partial sums, and some long ones") {
    for (size_t length = 0; length <= 385; ++length) compareAll({length, static_cast<uint32_t>(1 + length % 5), 5}, static_cast<uint32_t>(length));
    for (const size_t length : {512, 576, 1000, 1023, 4096, 4097}) compareAll({length, 5, 5}, static_cast<uint32_t>(length));
}

TEST("tiles of every number of queries up to 65") {
    for (uint32_t queries = 0; queries <= 65; ++queries) compareAll({130, queries, 3}, queries);
}

TEST("tiles of every number of keys up to 70") {
    for (uint32_t keys = 0; keys <= 70; ++keys) compareAll({40, 1 + keys % 4, keys}, keys);
}

TEST("tiles at every alignment and with gaps between rows") {
    for (size_t shift = 0; shift < 16; ++shift)
        for (const size_t length : {5, 128, 150}) compareAll({length, 4, 7, shift, 15 - shift, 3 * shift % 16, shift}, static_cast<uint32_t>(shift));
}

TEST("random tiles") {
    std::mt19937 random(7);
    for (uint32_t i = 0; i < 300; ++i) {
        const Shape s = {
            random() % 700, static_cast<uint32_t>(random() % 9), static_cast<uint32_t>(random() % 40), random() % 20, random() % 20, random() % 16,
            random() % 16};
        compare(s, static_cast<Dtype>(i % 3), random() % 2, test::kValues[random() % 6], i);
    }
}

// Each two-byte number against 0 and 1: the conversion, without rounding.
TEST("every finite float16 and bfloat16 is read exactly") {
    for (const Dtype type : {Dtype::f16, Dtype::bf16}) {
        std::vector<uint16_t> keys;
        for (uint32_t bits = 0; bits < 0x10000u; ++bits)
            if ((bits & 0x7fffu) < (type == Dtype::f16 ? 0x7c00u : 0x7f80u)) keys.push_back(static_cast<uint16_t>(bits));
        const float one = 1.0f;
        const cpu::QueryTile query = {&one, 1, 1};
        const cpu::KeyTile tile = {keys.data(), 1, static_cast<uint32_t>(keys.size()), 1};
        for (const auto& [name, backend] : test::backends()) {
            std::vector<float> sums(keys.size()), want(keys.size());
            backend->dot[static_cast<size_t>(type)](query, tile, sums.data(), keys.size());
            convertToFloat(keys.data(), type, keys.size(), want.data());
            for (float& w : want) w += 0.0f;  // the sum begins at +0
            CHECK_SAME_BITS(sums, want);
        }
    }
}

}  // namespace
