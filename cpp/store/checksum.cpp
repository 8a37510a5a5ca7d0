#include "store/checksum.h"

#include <bit>
#include <cstring>

namespace rtd::store {
namespace {

static_assert(std::endian::native == std::endian::little, "a store's files are little-endian and mapped as they are");

constexpr size_t kStripe = 32;
constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F, kPrime3 = 0x165667B19E3779F9, kPrime4 = 0x85EBCA77C2B2AE63,
                   kPrime5 = 0x27D4EB2F165667C5;

template <typename Word>
Word load(const unsigned char* at) {
    Word word;
    std::memcpy(&word, at, sizeof word);
    return word;
}

uint64_t mixLane(uint64_t lane, uint64_t input) { return std::rotl(lane + input * kPrime2, 31) * kPrime1; }

void mixStripe(std::array<uint64_t, 4>& lanes, const unsigned char* stripe) {
    for (size_t i = 0; i < 4; ++i) lanes[i] = mixLane(lanes[i], load<uint64_t>(stripe + 8 * i));
}

}  // namespace

Checksum::Checksum(uint64_t seed) : lanes_{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1}, tail_{}, seed_(seed) {}

void Checksum::update(const void* data, size_t bytes) {
    auto at = static_cast<const unsigned char*>(data);
    const size_t held = total_ % kStripe;
    total_ += bytes;
    if (held + bytes < kStripe) {
        if (bytes) std::memcpy(tail_.data() + held, at, bytes);
        return;
    }
    if (held) {
        const size_t missing = kStripe - held;
        std::memcpy(tail_.data() + held, at, missing);
        mixStripe(lanes_, tail_.data());
        at += missing, bytes -= missing;
    }
    // A copy on the stack: the compiler keeps it in registers, which it cannot do with members that `at` might alias.
    auto lanes = lanes_;
    for (; bytes >= kStripe; at += kStripe, bytes -= kStripe) mixStripe(lanes, at);
    lanes_ = lanes;
    if (bytes) std::memcpy(tail_.data(), at, bytes);
}

uint64_t Checksum::digest() const {
    uint64_t hash = seed_ + kPrime5;
    if (total_ >= kStripe) {
        hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
        for (uint64_t lane : lanes_) hash = (hash ^ mixLane(0, lane)) * kPrime1 + kPrime4;
    }
    hash += total_;

    const unsigned char* at = tail_.data();
    size_t left = total_ % kStripe;
    for (; left >= 8; at += 8, left -= 8) hash = std::rotl(hash ^ mixLane(0, load<uint64_t>(at)), 27) * kPrime1 + kPrime4;
    if (left >= 4) {
        hash = std::rotl(hash ^ load<uint32_t>(at) * kPrime1, 23) * kPrime2 + kPrime3;
        at += 4, left -= 4;
    }
    for (; left; ++at, --left) hash = std::rotl(hash ^ *at * kPrime5, 11) * kPrime1;

    hash = (hash ^ hash >> 33) * kPrime2;
    hash = (hash ^ hash >> 29) * kPrime3;
    return hash ^ hash >> 32;
}

uint64_t checksumOf(std::string_view bytes) {
    Checksum checksum;
    checksum.update(bytes.data(), bytes.size());
    return checksum.digest();
}

std::string toHex(uint64_t digest) {
    std::string text(16, '0');
    for (size_t i = 16; i-- > 0; digest >>= 4) text[i] = "0123456789abcdef"[digest & 15];
    return text;
}

bool fromHex(std::string_view text, uint64_t* digest) {
    if (text.size() != 16) return false;
    uint64_t value = 0;
    for (char c : text) {
        const bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) return false;
        value = value << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
    }
    *digest = value;
    return true;
}

}  // namespace rtd::store
