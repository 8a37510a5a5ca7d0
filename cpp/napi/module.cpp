// The addon's entry. lib/native.ts describes what is exported; nothing else calls it.
#include "napi/binding.h"

namespace rtd::napi {
namespace {

Napi::Value setErrorClass(const Napi::CallbackInfo& info) {
    Environment::of(info.Env()).setErrorClass(info[0].As<Napi::Function>());
    return info.Env().Undefined();
}

Napi::Value cancel(const Napi::CallbackInfo& info) {
    Environment::of(info.Env()).cancel(readTask(info[0]));
    return info.Env().Undefined();
}

// (task) -> 0..1
Napi::Value progressOf(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), Environment::of(info.Env()).progressOf(readTask(info[0])));
}

Napi::Value release(const Napi::CallbackInfo& info) {
    Environment::of(info.Env()).release(info.Env(), readTask(info[0]));
    return info.Env().Undefined();
}

Napi::Value backends(const Napi::CallbackInfo& info) {
    const rtd_backend_info* list = nullptr;
    size_t count = 0;
    check(rtd_backends(&list, &count));
    auto result = Napi::Array::New(info.Env(), count);
    for (size_t i = 0; i < count; ++i) {
        auto backend = Napi::Object::New(info.Env());
        backend.Set("name", list[i].name);
        backend.Set("usable", list[i].usable != 0);
        backend.Set("default", list[i].is_default != 0);
        backend.Set("reason", list[i].reason);
        result.Set(static_cast<uint32_t>(i), backend);
    }
    return result;
}

Napi::Object start(Napi::Env env, Napi::Object exports) {
    Environment::create(env);
    exports.Set("abi", rtd_abi_version());
    define<setErrorClass>(env, exports, "setErrorClass");
    define<cancel>(env, exports, "cancel");
    define<progressOf>(env, exports, "progressOf");
    define<release>(env, exports, "release");
    define<backends>(env, exports, "backends");
    registerIndex(env, exports);
    registerSearch(env, exports);
    registerStore(env, exports);
    registerLlama(env, exports);
    return exports;
}

}  // namespace
}  // namespace rtd::napi

static Napi::Object startAddon(Napi::Env env, Napi::Object exports) { return rtd::napi::start(env, exports); }
NODE_API_MODULE(node_rtd, startAddon)
