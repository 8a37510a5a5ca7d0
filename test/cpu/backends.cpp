#include "cpu/backends.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "core/canonical.h"
#include "cpu/dispatch.h"
#include "harness.h"

#if defined(RTD_SIMDE)
namespace rtd::cpu {
const Backend* simdeAvx512Backend();
const CodeSums* simdeAvx512VnniCodes();
}  // namespace rtd::cpu
#endif

namespace test {

const std::vector<NamedBackend>& backends() {
    static const std::vector<NamedBackend> list = [] {
        std::vector<NamedBackend> all;
        for (const rtd_backend_info& info : rtd::cpu::backends()) {
            const std::string name = info.name;
            if (info.usable && name != "serial" && name != "cuda") all.push_back({name, &rtd::cpu::chooseBackend(info.name)});
        }
        // Where the processor has better sums of codes, the plain ones too.
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx512vnni") && all.front().name == "avx512") all.push_back({"avx512 without VNNI", rtd::cpu::avx512Backend()});
#elif defined(__aarch64__)
        all.push_back({"neon without dot products", rtd::cpu::neonBackend()});
#endif
#if defined(RTD_SIMDE)
        all.push_back({"avx512 on SIMDe", rtd::cpu::simdeAvx512Backend()});
        static rtd::cpu::Backend vnni = *rtd::cpu::simdeAvx512Backend();
        vnni.codes = *rtd::cpu::simdeAvx512VnniCodes();
        all.push_back({"avx512 with VNNI on SIMDe", &vnni});
#endif
        return all;
    }();
    return list;
}

float draw(Values values, std::mt19937& random) {
    const float x = std::normal_distribution<float>()(random);
    switch (values) {
        case Values::normal:
            return x;
        case Values::spiky:
            return random() % 64 ? x : 100 * x;
        case Values::denormal:
            return x * 1e-39f;
        case Values::zeros:
            return random() % 2 ? -0.0f : random() % 8 ? 0.0f : 1e-30f * x;  // products that round to -0 among them
        case Values::huge:
            return std::copysign(1e25f * (1 + std::fabs(x)), x);
        case Values::mixed:
            return std::ldexp(x, static_cast<int>(random() % 60) - 30);
    }
    return x;
}

std::vector<std::byte> drawKeys(Values values, rtd::Dtype type, size_t n, std::mt19937& random) {
    std::vector<float> keys(n);
    for (float& key : keys) {
        key = draw(values, random);
        if (type == rtd::Dtype::f16 && std::fabs(key) > 60000) key = std::copysign(60000.0f, key);
        if (type == rtd::Dtype::f16 && values == Values::denormal) key *= 1e33f;  // denormal there
    }
    std::vector<std::byte> bytes(n * bytesOf(type));
    rtd::convertFromFloat(keys.data(), n, type, bytes.data());
    return bytes;
}

bool isSame(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b)); }

GuardedMemory::GuardedMemory(size_t bytes) : pageBytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    bytes_ = (bytes + pageBytes_ - 1) / pageBytes_ * pageBytes_;
    void* memory = mmap(nullptr, bytes_ + 2 * pageBytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memory_ = static_cast<std::byte*>(memory);
    CHECK_EQUAL(mprotect(begin(), bytes_, PROT_READ | PROT_WRITE), 0);
}

GuardedMemory::~GuardedMemory() { munmap(memory_, bytes_ + 2 * pageBytes_); }

std::byte* GuardedMemory::putLast(const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(end() - bytes, from, bytes);
    return end() - bytes;
}

std::byte* GuardedMemory::putFirst(const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(begin(), from, bytes);
    return begin();
}

}  // namespace test
