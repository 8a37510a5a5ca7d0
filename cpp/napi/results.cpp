#include "napi/results.h"

#include <cstring>

namespace rtd::napi {

void Results::fail(rtd_status status, std::string message) {
    if (ok()) failure_ = Failure(status, std::move(message));
}

bool Results::did(napi_status status, const char* call) {
    if (status != napi_ok) fail(RTD_INTERNAL, std::string(call) + " failed with status " + std::to_string(status));
    return status == napi_ok;
}

napi_value Results::undefined() {
    napi_value value = nullptr;
    if (ok()) did(napi_get_undefined(env_, &value), "napi_get_undefined");
    return value;
}

napi_value Results::number(double number) {
    napi_value value = nullptr;
    if (ok()) did(napi_create_double(env_, number, &value), "napi_create_double");
    return value;
}

napi_value Results::boolean(bool boolean) {
    napi_value value = nullptr;
    if (ok()) did(napi_get_boolean(env_, boolean, &value), "napi_get_boolean");
    return value;
}

napi_value Results::text(std::string_view text) {
    napi_value value = nullptr;
    if (ok()) did(napi_create_string_utf8(env_, text.data(), text.size(), &value), "napi_create_string_utf8");
    return value;
}

napi_value Results::object() {
    napi_value value = nullptr;
    if (ok()) did(napi_create_object(env_, &value), "napi_create_object");
    return value;
}

napi_value Results::list(size_t length) {
    napi_value value = nullptr;
    if (ok()) did(napi_create_array_with_length(env_, length, &value), "napi_create_array_with_length");
    return value;
}

void Results::set(napi_value object, const char* property, napi_value value) {
    if (ok()) did(napi_set_named_property(env_, object, property, value), "napi_set_named_property");
}

void Results::set(napi_value list, size_t at, napi_value value) {
    if (ok()) did(napi_set_element(env_, list, static_cast<uint32_t>(at), value), "napi_set_element");
}

napi_value Results::typed(napi_typedarray_type type, const void* data, size_t length, size_t elementSize) {
    void* memory = nullptr;
    napi_value buffer = nullptr;
    napi_value value = nullptr;
    if (!ok() || !did(napi_create_arraybuffer(env_, length * elementSize, &memory, &buffer), "napi_create_arraybuffer")) return nullptr;
    if (length) std::memcpy(memory, data, length * elementSize);
    did(napi_create_typedarray(env_, type, length, buffer, 0, &value), "napi_create_typedarray");
    return value;
}

}  // namespace rtd::napi
