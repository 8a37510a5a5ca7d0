// The three ways a key is kept, and their exact conversion to and from float32 (IEEE 754, round to nearest even).
#pragma once
#include <cstdint>
#include <cstring>

namespace rtd {

enum class Dtype : uint32_t { f32 = 0, f16 = 1, bf16 = 2 };
enum class Metric : uint32_t { l2 = 0, l2sq = 1, dot = 2 };

constexpr uint32_t bytesOf(Dtype t) { return t == Dtype::f32 ? 4 : 2; }

}  // namespace rtd
