// XXH64 against the vectors of the xxHash project's own sanity check, and streaming against itself.
#include "store/checksum.h"

#include <algorithm>
#include <random>
#include <string>

#include "harness.h"

namespace rtd::store {
namespace {

constexpr uint64_t kSeed = 2654435761;

// The data of that sanity check: the high bytes of a sequence of products.
std::string sanityData(size_t bytes) {
    std::string data;
    uint64_t state = kSeed;
    for (size_t i = 0; i < bytes; ++i, state *= 11400714785074694797u) data.push_back(static_cast<char>(state >> 56));
    return data;
}

TEST("checksum: the published vectors") {
    struct Vector {
        size_t bytes;
        uint64_t seed, digest;
    };
    // Up to 222 from the project's table; the others, one for each path through the tail, from its Python binding.
    constexpr Vector kVectors[] = {{0, 0, 0xEF46DB3751D8E999},      {0, kSeed, 0xAC75FDA2929B17EF}, {1, 0, 0xE934A84ADB052768},
                                   {1, kSeed, 0x5014607643A9B4C3},  {4, 0, 0x9136A0DCA57457EE},     {14, 0, 0x8282DCC4994E35C8},
                                   {14, kSeed, 0xC3BD6BF63DEB6DF0}, {222, 0, 0xB641AE8CB691C174},   {222, kSeed, 0x20CB8AB7AE10C14A},
                                   {8, 0, 0xCDBCF538E71D1348},      {31, 0, 0x299B39A290E6D783},    {32, 0, 0x18B216492BB44B70},
                                   {33, 0, 0x55C8DC3E578F5B59},     {63, 0, 0xA9EFBE0FA0F3F4E7},    {64, 0, 0xEF558F8ACAC2B5CD},
                                   {100, 0, 0x4BFE019CD91D9EA4},    {2367, 0, 0xA82418DDEC0EA581}};
    const std::string data = sanityData(2367);
    for (const auto& vector : kVectors) {
        Checksum checksum(vector.seed);
        checksum.update(data.data(), vector.bytes);
        CHECK_EQUAL(toHex(checksum.digest()), toHex(vector.digest));
    }
}

TEST("checksum: any cuts give the same digest") {
    const std::string data = sanityData(1000);
    std::mt19937 random(1);
    for (int round = 0; round < 500; ++round) {
        const size_t total = random() % (data.size() + 1);
        Checksum checksum;
        for (size_t at = 0; at < total;) {
            const size_t piece = std::min<size_t>(random() % 70, total - at);
            checksum.update(data.data() + at, piece);
            at += piece;
            CHECK_EQUAL(checksum.digest(), checksumOf(std::string_view(data).substr(0, at)));
        }
    }
}

TEST("checksum: hexadecimal text and back") {
    uint64_t digest = 1;
    CHECK_EQUAL(toHex(0x0123456789ABCDEF), "0123456789abcdef");
    CHECK(fromHex("0123456789abcdef", &digest));
    CHECK_EQUAL(digest, 0x0123456789ABCDEFu);
    for (const char* bad : {"", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg", " 123456789abcdef"})
        CHECK(!fromHex(bad, &digest));
}

}  // namespace
}  // namespace rtd::store
