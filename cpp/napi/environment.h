// What the addon keeps for one JavaScript environment, the main thread or a worker: native resources, calls in progress and the class of errors.
//
// Finalizers do not run for every runtime and thread, so resources are owned here and JavaScript holds their numbers. A resource is freed by
// release(), or by close() when the environment ends, whichever comes first; a number that is not known (any more) names a disposed object.
// Calls in progress own counted references of their own and share this object, so that nothing depends on the order of teardown.
#pragma once
#include <napi.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "napi/failure.h"
#include "rtd.h"

namespace rtd::napi {

// Counted references, as values.
template <class T, void (*retain)(T*), void (*release)(T*)>
class Counted {
  public:
    Counted() = default;
    static Counted adopt(T* object) { return Counted(object); }
    static Counted share(T* object) {
        retain(object);
        return Counted(object);
    }
    Counted(const Counted& other) : object_(other.object_) {
        if (object_) retain(object_);
    }
    Counted(Counted&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Counted& operator=(Counted other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~Counted() { release(object_); }
    T* get() const { return object_; }

  private:
    explicit Counted(T* object) : object_(object) {}
    T* object_ = nullptr;
};
using IndexRef = Counted<rtd_index, rtd_index_retain, rtd_index_release>;
using StoreRef = Counted<rtd_store, rtd_store_retain, rtd_store_release>;

class Resource {
  public:
    virtual ~Resource() = default;
};

struct Index : Resource {
    static constexpr const char* kName = "index";
    IndexRef ref;
    int64_t reportedBytes = 0;  // what the garbage collector was told about
};

struct Store : Resource {
    static constexpr const char* kName = "store";
    StoreRef ref;
    rtd_index_info keys{};  // of its index when it was opened; what keys are given as does not change
};

class Environment : public std::enable_shared_from_this<Environment> {
  public:
    static void create(Napi::Env env);
    static Environment& of(napi_env env);

    uint64_t add(std::unique_ptr<Resource> resource);
    void release(Napi::Env env, uint64_t handle);

    // The resource of a handle; `expected` kind or a Failure that says it was disposed.
    template <class T>
    T& get(const Napi::Value& handle) {
        T* resource = handle.IsNumber() ? find<T>(static_cast<uint64_t>(handle.As<Napi::Number>().Int64Value())) : nullptr;
        if (!resource) throw Failure(RTD_CLOSED, std::string("the ") + T::kName + " was disposed or closed; it cannot be used any more");
        return *resource;
    }
    template <class T>
    T* find(uint64_t handle) {
        const auto found = resources_.find(handle);
        return found == resources_.end() ? nullptr : dynamic_cast<T*>(found->second.get());
    }

    // Tells the garbage collector how many bytes an index holds now.
    void reportBytes(napi_env env, Index& index);

    // What a call in progress and its caller tell each other, from any thread.
    struct Signals {
        std::atomic<bool> stop = false;
        std::atomic<double> progress = 0;  // 0..1
    };
    using SharedSignals = std::shared_ptr<Signals>;
    // Calls in progress by the number their caller gave them; 0: none, not to be found again.
    void enter(uint64_t task, SharedSignals signals);
    void leave(uint64_t task, const SharedSignals& signals);
    void cancel(uint64_t task);
    double progressOf(uint64_t task) const;  // 0 where no such call is in progress

    void setErrorClass(const Napi::Function& errorClass);
    // A new RtdError; null, perhaps with an exception pending, where JavaScript may not run any more.
    napi_value error(napi_env env, const Failure& failure) const;

    void close();  // frees everything, more than once without harm

  private:
    uint64_t lastHandle_ = 0;
    std::unordered_map<uint64_t, std::unique_ptr<Resource>> resources_;
    std::unordered_multimap<uint64_t, SharedSignals> tasks_;
    napi_ref errorClass_ = nullptr;  // given up with the environment
};

}  // namespace rtd::napi
