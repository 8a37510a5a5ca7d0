// Values for JavaScript, made with raw calls that remember the first one that failed. A result is built in the completion of asynchronous work too,
// where nothing may be thrown and where a worker that is being terminated refuses every call; after a failure the rest does nothing.
#pragma once
#include <napi.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "napi/failure.h"
#include "rtd.h"

namespace rtd::napi {

class Results {
  public:
    explicit Results(napi_env env) : env_(env) {}

    napi_env env() const { return env_; }
    bool ok() const { return failure_.status == RTD_OK; }
    const Failure& failure() const { return failure_; }
    void fail(rtd_status status, std::string message);

    // Ends building in a synchronous call: the value, or the Failure.
    Napi::Value orThrow(napi_value value) const {
        if (!ok()) throw failure_;
        return Napi::Value(env_, value);
    }

    napi_value undefined();
    napi_value number(double value);
    napi_value boolean(bool value);
    napi_value text(std::string_view value);
    napi_value object();
    napi_value list(size_t length);
    void set(napi_value object, const char* property, napi_value value);
    void set(napi_value list, size_t at, napi_value value);

    // Typed arrays: a copy in memory of JavaScript's own. No external buffers: some runtimes refuse them.
    napi_value array(const std::vector<float>& values) { return typed(napi_float32_array, values.data(), values.size(), sizeof(float)); }
    napi_value array(const std::vector<double>& values) { return typed(napi_float64_array, values.data(), values.size(), sizeof(double)); }
    napi_value array(const std::vector<int32_t>& values) { return typed(napi_int32_array, values.data(), values.size(), sizeof(int32_t)); }
    napi_value array(const std::vector<uint32_t>& values) { return typed(napi_uint32_array, values.data(), values.size(), sizeof(uint32_t)); }
    napi_value array(const std::vector<uint8_t>& values) { return typed(napi_uint8_array, values.data(), values.size(), sizeof(uint8_t)); }

  private:
    bool did(napi_status status, const char* call);
    napi_value typed(napi_typedarray_type type, const void* data, size_t length, size_t elementSize);

    napi_env env_;
    Failure failure_{RTD_OK, ""};
};

}  // namespace rtd::napi
