#include "core/status.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>

namespace rtd {
namespace {

// A plain array: recording a failure must work when memory has run out.
thread_local char lastMessage[2048] = "";

rtd_status record(rtd_status status, const char* message) noexcept {
    const size_t length = std::min(std::strlen(message), sizeof lastMessage - 1);
    std::memcpy(lastMessage, message, length);
    lastMessage[length] = 0;
    return status;
}

}  // namespace

void fail(rtd_status status, const char* format, ...) {
    char text[sizeof lastMessage];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Error(status, text);
}

size_t checkedProduct(size_t a, size_t b, const char* what) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) fail(RTD_INVALID_ARGUMENT, "%s: %zu x %zu is more than memory can address", what, a, b);
    return product;
}

const char* statusName(rtd_status status) noexcept {
    static constexpr const char* kNames[] = {"ok",          "invalid-argument", "not-finite",    "unknown-id", "token-range", "no-temperature",
                                             "unsupported", "cancelled",        "out-of-memory", "read-only",  "locked",      "not-found",
                                             "exists",      "permission",       "no-space",      "io",         "bad-format",  "truncated",
                                             "checksum",    "closed",           "internal"};
    const auto at = static_cast<size_t>(status);
    return at < sizeof kNames / sizeof *kNames ? kNames[at] : "unknown";
}

const char* lastError() noexcept { return lastMessage; }

rtd_status recordFailure() noexcept {
    try {
        throw;
    } catch (const Error& error) {  // says all there is to say
        return record(error.status, error.what());
    } catch (const std::bad_alloc&) {  // arrays of a caller's size are allocated by core/memory.h
        return record(RTD_OUT_OF_MEMORY, "out of memory for a small allocation of the library's own");
    } catch (const std::exception& error) {  // of the standard library, where we did not expect one
        return record(RTD_INTERNAL, error.what());
    } catch (...) { return record(RTD_INTERNAL, "an exception of unknown type"); }
}

}  // namespace rtd
