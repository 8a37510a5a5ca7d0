// Errors inside the library are exceptions of one type; the C interface turns them into a status and a message of the calling thread.
#pragma once
#include <exception>
#include <string>

#include "core/float_environment.h"
#include "rtd.h"

namespace rtd {

struct Error : std::exception {
    Error(rtd_status status_, std::string message_) : status(status_), message(std::move(message_)) {}
    const char* what() const noexcept override { return message.c_str(); }

    rtd_status status;
    std::string message;
};

// Throws Error. The message says what was given, what was expected and what to do.
[[noreturn, gnu::format(printf, 2, 3)]] void fail(rtd_status status, const char* format, ...);

// a * b, or RTD_INVALID_ARGUMENT naming `what` if that does not fit size_t.
size_t checkedProduct(size_t a, size_t b, const char* what);

const char* statusName(rtd_status status) noexcept;

// The message of this thread's last failure.
const char* lastError() noexcept;

// Records the exception being handled as this thread's last failure; call it inside a catch block only.
rtd_status recordFailure() noexcept;

// Runs `body` as every function of the C interface runs: in the floating-point environment of core/canonical.h, and nothing leaves but a status.
template <typename Body>
rtd_status guard(Body&& body) noexcept {
    try {
        const FloatEnvironment environment;
        body();
        return RTD_OK;
    } catch (...) { return recordFailure(); }
}

}  // namespace rtd
