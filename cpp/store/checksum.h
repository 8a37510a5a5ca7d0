// XXH64, the checksum of every file of a store: finds accidents at the speed of memory. It is no defence against somebody who forges files,
// which is why a file whose checksum is right is still checked like any other.
//
// Written from the public specification "xxHash fast digest algorithm" (Yann Collet, doc/xxhash_spec.md of the xxHash project, version 0.1.1),
// section "XXH64 Algorithm Description", with seed 0 unless given; the tests hold the vectors of that project's own sanity check.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rtd::store {

// Feed it any pieces in order; the digest depends on the bytes alone, not on where they were cut.
class Checksum {
  public:
    explicit Checksum(uint64_t seed = 0);

    void update(const void* data, size_t bytes);
    uint64_t digest() const;  // of all bytes so far; more may follow

  private:
    std::array<uint64_t, 4> lanes_;
    std::array<unsigned char, 32> tail_;  // bytes that do not fill a stripe yet: total_ % 32 of them
    uint64_t seed_;
    uint64_t total_ = 0;
};

uint64_t checksumOf(std::string_view bytes);

// 16 lower-case hexadecimal digits, most significant first.
std::string toHex(uint64_t digest);
// Their inverse; false for anything else.
bool fromHex(std::string_view text, uint64_t* digest);

}  // namespace rtd::store
