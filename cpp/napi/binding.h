// How a C++ function becomes one of the addon: failures become an RtdError thrown into JavaScript.
#pragma once
#include <napi.h>

#include <new>

#include "napi/environment.h"

namespace rtd::napi {

inline Napi::Value throwFailure(Napi::Env env, const Failure& failure) {
    const napi_value error = Environment::of(env).error(env, failure);
    if (error) napi_throw(env, error);
    return Napi::Value();
}

template <Napi::Value (*body)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
    try {
        return body(info);
    } catch (const Failure& failure) { return throwFailure(info.Env(), failure); } catch (const Napi::Error&) {
        throw;  // an exception of JavaScript's, from a getter among the options: it goes on as it is
    } catch (const std::bad_alloc&) {
        return throwFailure(info.Env(), Failure(RTD_OUT_OF_MEMORY, "out of memory: ask for less at once"));
    } catch (const std::exception& error) { return throwFailure(info.Env(), Failure(RTD_INTERNAL, error.what())); }
}

template <Napi::Value (*body)(const Napi::CallbackInfo&)>
void define(Napi::Env env, Napi::Object exports, const char* name) {
    exports.Set(name, Napi::Function::New<guarded<body>>(env, name));
}

inline uint64_t readTask(const Napi::Value& value) { return value.IsNumber() ? static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()) : 0; }

void registerIndex(Napi::Env env, Napi::Object exports);
void registerSearch(Napi::Env env, Napi::Object exports);
void registerStore(Napi::Env env, Napi::Object exports);
void registerLlama(Napi::Env env, Napi::Object exports);

}  // namespace rtd::napi
