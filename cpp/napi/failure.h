// What goes wrong in the addon, before it becomes an RtdError of JavaScript.
#pragma once
#include <exception>
#include <string>
#include <utility>

#include "rtd.h"

namespace rtd::napi {

struct Failure : std::exception {
    rtd_status status;
    std::string message;

    Failure(rtd_status s, std::string text) : status(s), message(std::move(text)) {}
    const char* what() const noexcept override { return message.c_str(); }
};

[[noreturn]] inline void invalid(std::string message) { throw Failure(RTD_INVALID_ARGUMENT, std::move(message)); }

// "ERR_RTD_NOT_FINITE" for not-finite.
std::string codeOf(rtd_status status);

// Of a call of rtd.h made on this thread just before.
inline void check(rtd_status status) {
    if (status != RTD_OK) throw Failure(status, rtd_last_error());
}

}  // namespace rtd::napi
