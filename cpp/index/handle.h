// The C interface's handle of an index: a counted reference to the object.
#pragma once
#include <atomic>
#include <memory>

#include "index/index.h"

struct rtd_index {
    explicit rtd_index(std::shared_ptr<rtd::Index> index_) : index(std::move(index_)) {}

    std::shared_ptr<rtd::Index> index;
    std::atomic<size_t> references{1};  // rtd_index_retain and rtd_index_release
};

namespace rtd {

// rtd_call_options as the index takes them; null: all default. RTD_INVALID_ARGUMENT.
Call readCall(const rtd_call_options* call);

}  // namespace rtd
