#include "napi/environment.h"

#include <algorithm>
#include <cctype>

namespace rtd::napi {
namespace {

using Shared = std::shared_ptr<Environment>;

void closeAndDrop(Shared* environment) {
    const std::unique_ptr<Shared> owner(environment);
    (*owner)->close();
}

}  // namespace

std::string codeOf(rtd_status status) {
    std::string code = std::string("ERR_RTD_") + rtd_status_name(status);
    std::transform(code.begin(), code.end(), code.begin(), [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
    return code;
}

void Environment::create(Napi::Env env) {
    // The instance data and the cleanup hook own the environment together: either may be run first, and a runtime may run only one of them.
    auto instance = std::make_unique<Shared>(std::make_shared<Environment>());
    auto hooked = std::make_unique<Shared>(*instance);
    const auto finalize = [](napi_env, void* data, void*) { closeAndDrop(static_cast<Shared*>(data)); };
    if (napi_set_instance_data(env, instance.get(), finalize, nullptr) != napi_ok) {
        throw Napi::Error::New(env, "node-rtd: the runtime keeps no data for the addon");
    }
    instance.release();
    const auto hook = [](void* data) { closeAndDrop(static_cast<Shared*>(data)); };
    if (napi_add_env_cleanup_hook(env, hook, hooked.get()) == napi_ok) hooked.release();
}

Environment& Environment::of(napi_env env) {
    void* data = nullptr;
    if (napi_get_instance_data(env, &data) != napi_ok || !data) throw Failure(RTD_INTERNAL, "the addon is not initialised in this environment");
    return **static_cast<Shared*>(data);
}

uint64_t Environment::add(std::unique_ptr<Resource> resource) {
    resources_.emplace(++lastHandle_, std::move(resource));
    return lastHandle_;
}

void Environment::release(Napi::Env env, uint64_t handle) {
    const auto found = resources_.find(handle);
    if (found == resources_.end()) return;
    if (const auto* index = dynamic_cast<Index*>(found->second.get())) {
        int64_t total = 0;
        napi_adjust_external_memory(env, -index->reportedBytes, &total);  // a hint: nothing to do where it fails
    }
    resources_.erase(found);
}

void Environment::reportBytes(napi_env env, Index& index) {
    rtd_index_info info{};
    info.struct_size = sizeof info;
    if (rtd_index_get_info(index.ref.get(), &info) != RTD_OK) return;
    const auto bytes = static_cast<int64_t>(info.bytes);
    int64_t total = 0;
    if (napi_adjust_external_memory(env, bytes - index.reportedBytes, &total) == napi_ok) index.reportedBytes = bytes;
}

void Environment::enter(uint64_t task, SharedSignals signals) { tasks_.emplace(task, std::move(signals)); }

void Environment::leave(uint64_t task, const SharedSignals& signals) {
    const auto [first, last] = tasks_.equal_range(task);
    const auto found = std::find_if(first, last, [&](const auto& entry) { return entry.second == signals; });
    if (found != last) tasks_.erase(found);
}

void Environment::cancel(uint64_t task) {
    const auto [first, last] = tasks_.equal_range(task);
    std::for_each(first, last, [](const auto& entry) { entry.second->stop = true; });
}

double Environment::progressOf(uint64_t task) const {
    const auto found = tasks_.find(task);
    return found == tasks_.end() ? 0 : found->second->progress.load();
}

void Environment::setErrorClass(const Napi::Function& errorClass) {
    napi_ref ref = nullptr;
    if (napi_create_reference(errorClass.Env(), errorClass, 1, &ref) != napi_ok) throw Failure(RTD_INTERNAL, "napi_create_reference");
    if (errorClass_) napi_delete_reference(errorClass.Env(), errorClass_);
    errorClass_ = ref;
}

napi_value Environment::error(napi_env env, const Failure& failure) const {
    napi_value arguments[2] = {};
    napi_value errorClass = nullptr;
    napi_value error = nullptr;
    if (napi_create_string_utf8(env, codeOf(failure.status).c_str(), NAPI_AUTO_LENGTH, &arguments[0]) != napi_ok ||
        napi_create_string_utf8(env, failure.message.c_str(), failure.message.size(), &arguments[1]) != napi_ok) {
        return nullptr;
    }
    if (errorClass_ && napi_get_reference_value(env, errorClass_, &errorClass) == napi_ok && errorClass &&
        napi_new_instance(env, errorClass, 2, arguments, &error) == napi_ok) {
        return error;
    }
    return napi_create_error(env, arguments[0], arguments[1], &error) == napi_ok ? error : nullptr;
}

void Environment::close() {
    // Threads of calls in progress end soon; what they hold they own themselves.
    for (auto& [task, signals] : tasks_) signals->stop = true;
    resources_.clear();
}

}  // namespace rtd::napi
