// Closed-form transforms of keys, fitted to a sample of them.
#pragma once
#include <cstdint>
#include <memory>

#include "index/call.h"
#include "rtd.h"
#include "transform/transform.h"

namespace rtd {

// rtd_transform_fit. Sums are taken in float32 over blocks and in double over these; factorisations in double.
std::shared_ptr<const Transform> fitTransform(const rtd_fit_options& options, const rtd_matrix& keys, const int32_t* classes, const Call& call);

}  // namespace rtd
