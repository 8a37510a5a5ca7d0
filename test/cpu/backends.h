// What the tests of the back ends share: which there are, numbers that are hard on sums, and memory that ends where a page does.
#pragma once
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "cpu/backend.h"

namespace test {

struct NamedBackend {
    std::string name;
    const rtd::cpu::Backend* backend;
};

// All but the serial one that run here, AVX-512 also on SIMDe where that is installed.
const std::vector<NamedBackend>& backends();

enum class Values { normal, spiky, denormal, zeros, huge, mixed };
constexpr Values kValues[] = {Values::normal, Values::spiky, Values::denormal, Values::zeros, Values::huge, Values::mixed};

float draw(Values values, std::mt19937& random);

// n numbers in a dtype; huge ones stay finite.
std::vector<std::byte> drawKeys(Values values, rtd::Dtype type, size_t n, std::mt19937& random);

// Equal bits, where any NaN is as good as another (which of two NaN operands an addition passes on is the processor's affair).
bool isSame(float a, float b);

// Pages of memory between two that may not be touched.
class GuardedMemory {
  public:
    explicit GuardedMemory(size_t bytes);
    ~GuardedMemory();
    GuardedMemory(const GuardedMemory&) = delete;
    GuardedMemory& operator=(const GuardedMemory&) = delete;

    std::byte* begin() const { return memory_ + pageBytes_; }
    std::byte* end() const { return begin() + bytes_; }

    // A copy of `bytes` bytes that ends at end(), or one that starts at begin().
    std::byte* putLast(const void* from, size_t bytes);
    std::byte* putFirst(const void* from, size_t bytes);

  private:
    size_t pageBytes_, bytes_;
    std::byte* memory_;
};

}  // namespace test
