#include "cpu/dispatch.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "core/status.h"

namespace rtd::cpu {
namespace {

constexpr const char* kOtherProcessor = "made for another processor family";

struct Candidate {
    const char* name;
    const Backend* backend;  // null: cannot be used
    const char* reason;
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

Candidate candidate(const char* name, const Backend* built, const char* missing, const char* runsOn) {
    if (missing) return {name, nullptr, missing};
    if (!built) return {name, nullptr, "not part of this build"};
    return {name, built, runsOn};
}

std::vector<Candidate>& candidates() {
    // The processors of Armv8-A all have NEON with fused multiply-add: there is nothing to ask.
#if defined(__aarch64__)
    const char* missingForNeon = nullptr;
#else
    const char* missingForNeon = kOtherProcessor;
#endif
    static std::vector<Candidate> list = {
        candidate("cuda", nullptr, nullptr, ""),
        candidate("avx512", builtAvx512(), missingForAvx512(), "AVX-512 F, BW, DQ and VL"),
        candidate("avx2", builtAvx2(), missingForAvx2(), "AVX2, FMA and F16C"),
        candidate("neon", builtNeon(), missingForNeon, "NEON"),
        candidate("serial", &serialBackend, nullptr, "any processor"),
    };
    return list;
}

std::string usableNames() {
    std::string names;
    for (const Candidate& c : candidates())
        if (c.backend) names += (names.empty() ? "" : ", ") + std::string(c.name);
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
        for (const Candidate& c : candidates()) infos.push_back({c.name, c.backend != nullptr, c.backend && c.backend == byDefault, c.reason});
        return infos;
    }();
    return list;
}

void addBackend(const Backend& backend, const char* runsOn) { candidates().push_back({backend.name, &backend, runsOn}); }

const Backend& chooseBackend(const char* name) {
    const char* source = "";
    if (isAuto(name)) {
        name = std::getenv("RTD_BACKEND");
        source = " (from the environment's RTD_BACKEND)";
    }
    for (const Candidate& c : candidates()) {
        if (isAuto(name) ? c.backend != nullptr : !std::strcmp(name, c.name)) {
            if (c.backend) return *c.backend;
            fail(RTD_UNSUPPORTED, "back end \"%s\"%s cannot be used here: %s; usable: %s", name, source, c.reason, usableNames().c_str());
        }
    }
    fail(RTD_UNSUPPORTED, "there is no back end \"%s\"%s; usable: %s, or \"auto\"", name, source, usableNames().c_str());
}

}  // namespace rtd::cpu
