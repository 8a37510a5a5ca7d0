#include "cpu/dispatch.h"

#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include "core/status.h"
#include "gpu/cuda_backend.h"

#if defined(RTD_HAVE_NEON_DOTPROD)
#include <sys/auxv.h>
#endif

namespace rtd::cpu {
namespace {

constexpr const char* kOtherProcessor = "made for another processor family";

struct Usability {
    const Backend* backend;  // null: cannot be used
    const char* reason;      // why not, or what it runs on
};

struct Candidate {
    const char* name;
    std::function<Usability()> ask;  // may start a process the first time; always the same answer
};

#if defined(__x86_64__) || defined(__i386__)
const char* missingForAvx2() {
    if (!__builtin_cpu_supports("avx2")) return "this processor or system has no AVX2";
    if (!__builtin_cpu_supports("fma")) return "this processor has no FMA";
    if (!__builtin_cpu_supports("f16c")) return "this processor has no F16C";
    return nullptr;
}

const char* missingForAvx512() {
    if (const char* missing = missingForAvx2()) return missing;
    if (!__builtin_cpu_supports("avx512f")) return "this processor or system has no AVX-512";
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return "this processor has AVX-512F, but not BW, DQ and VL";
    return nullptr;
}
#else
const char* missingForAvx2() { return kOtherProcessor; }
const char* missingForAvx512() { return kOtherProcessor; }
#endif

#if defined(RTD_HAVE_AVX2)
const Backend* builtAvx2() { return avx2Backend(); }
#else
const Backend* builtAvx2() { return nullptr; }
#endif
#if defined(RTD_HAVE_AVX512)
const Backend* builtAvx512() { return avx512Backend(); }
#else
const Backend* builtAvx512() { return nullptr; }
#endif
#if defined(RTD_HAVE_NEON)
const Backend* builtNeon() { return neonBackend(); }
#else
const Backend* builtNeon() { return nullptr; }
#endif

// Sums of codes by instructions that not every processor of the back end has; null without them.
#if defined(RTD_HAVE_AVX512_VNNI)
const CodeSums* codesByVnni() { return __builtin_cpu_supports("avx512vnni") ? avx512VnniCodes() : nullptr; }
#else
const CodeSums* codesByVnni() { return nullptr; }
#endif
#if defined(RTD_HAVE_NEON_DOTPROD)
const CodeSums* codesByDotProducts() { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? neonDotprodCodes() : nullptr; }
#else
const CodeSums* codesByDotProducts() { return nullptr; }
#endif

Usability usability(const Backend* built, const char* missing, const char* runsOn) {
    if (missing) return {nullptr, missing};
    if (!built) return {nullptr, "not part of this build"};
    return {built, runsOn};
}

// The processors of Armv8-A all have NEON with fused multiply-add: there is nothing to ask.
#if defined(__aarch64__)
constexpr const char* kMissingForNeon = nullptr;
#else
constexpr const char* kMissingForNeon = kOtherProcessor;
#endif

// A back end with other sums of codes, where the processor has them.
Usability withCodes(const Usability& plain, const CodeSums* codes, const char* runsOn) {
    if (!plain.backend || !codes) return plain;
    static const Backend backend = [&] {  // there is one such back end in a process
        Backend b = *plain.backend;
        b.codes = *codes;
        return b;
    }();
    return {&backend, runsOn};
}

Usability askAvx512() {
    return withCodes(usability(builtAvx512(), missingForAvx512(), "AVX-512 F, BW, DQ and VL"), codesByVnni(), "AVX-512 F, BW, DQ, VL and VNNI");
}
Usability askAvx2() { return usability(builtAvx2(), missingForAvx2(), "AVX2, FMA and F16C"); }
Usability askNeon() { return withCodes(usability(builtNeon(), kMissingForNeon, "NEON"), codesByDotProducts(), "NEON with dot products"); }
Usability askSerial() { return {&serialBackend, "any processor"}; }

const Backend& fastestInstructionSet() {
    for (const auto& ask : {askAvx512, askAvx2, askNeon})
        if (const Backend* backend = ask().backend) return *backend;
    return serialBackend;
}

// What it does not do on the device it does as the fastest instruction set.
Usability askCuda() {
    const gpu::CudaBackend& cuda = gpu::cudaBackend();
    if (!cuda.open) return {nullptr, cuda.reason.c_str()};
    static const Backend backend = [&] {
        Backend b = fastestInstructionSet();
        b.name = "cuda";
        b.open = cuda.open;
        return b;
    }();
    return {&backend, cuda.reason.c_str()};
}

std::vector<Candidate>& candidates() {
    static std::vector<Candidate> list = {
        {"cuda", askCuda}, {"avx512", askAvx512}, {"avx2", askAvx2}, {"neon", askNeon}, {"serial", askSerial},
    };
    return list;
}

std::string usableNames() {
    std::string names;
    for (const Candidate& c : candidates())
        if (c.ask().backend) names += (names.empty() ? "" : ", ") + std::string(c.name);
    return names;
}

bool isAuto(const char* name) { return !name || !*name || !std::strcmp(name, "auto"); }

}  // namespace

const std::vector<rtd_backend_info>& backends() {
    static const std::vector<rtd_backend_info> list = [] {
        const Backend* byDefault = nullptr;
        try {
            byDefault = &chooseBackend(nullptr);
        } catch (const Error&) {
            // RTD_BACKEND names one that cannot be used: then there is no default, and creating an index says why.
        }
        std::vector<rtd_backend_info> infos;
        for (const Candidate& c : candidates()) {
            const auto [backend, reason] = c.ask();
            infos.push_back({c.name, backend != nullptr, backend && backend == byDefault, reason});
        }
        return infos;
    }();
    return list;
}

void addBackend(const Backend& backend, const char* runsOn) {
    candidates().push_back({backend.name, [&backend, runsOn] { return Usability{&backend, runsOn}; }});
}

const Backend& chooseBackend(const char* name) {
    const char* source = "";
    if (isAuto(name)) {
        name = std::getenv("RTD_BACKEND");
        source = " (from the environment's RTD_BACKEND)";
    }
    for (const Candidate& c : candidates()) {
        if (!isAuto(name) && std::strcmp(name, c.name) != 0) continue;
        const auto [backend, reason] = c.ask();
        if (backend) return *backend;
        if (!isAuto(name))
            fail(RTD_UNSUPPORTED, "back end \"%s\"%s cannot be used here: %s; usable: %s", name, source, reason, usableNames().c_str());
    }
    fail(RTD_UNSUPPORTED, "there is no back end \"%s\"%s; usable: %s, or \"auto\"", name, source, usableNames().c_str());
}

const Backend& chooseInstructionSet() {
    const char* name = std::getenv("RTD_BACKEND");
    if (isAuto(name)) return fastestInstructionSet();
    return chooseBackend(name);
}

}  // namespace rtd::cpu
