#include "napi/async_work.h"

#include <atomic>
#include <new>
#include <string>

#include "napi/environment.h"

namespace rtd::napi {
namespace {

rtd_call_options callOptions(uint32_t threads, Environment::Signals* signals) {
    rtd_call_options call{};
    call.struct_size = sizeof call;
    call.threads = threads;
    if (signals) {
        call.should_stop = [](void* of) { return static_cast<Environment::Signals*>(of)->stop.load(std::memory_order_relaxed) ? 1 : 0; };
        call.on_progress = [](void* of, double share) { static_cast<Environment::Signals*>(of)->progress = share; };
        call.context = signals;
    }
    return call;
}

Failure failureOf(const std::exception& error) {
    if (const auto* failure = dynamic_cast<const Failure*>(&error)) return *failure;
    if (dynamic_cast<const std::bad_alloc*>(&error)) return Failure(RTD_OUT_OF_MEMORY, "out of memory");
    return Failure(RTD_INTERNAL, error.what());
}

class Work {
  public:
    Work(std::shared_ptr<Environment> environment, std::unique_ptr<Job> job, uint32_t threads, uint64_t task)
        : environment_(std::move(environment)),
          job_(std::move(job)),
          threads_(threads),
          task_(task),
          signals_(std::make_shared<Environment::Signals>()) {}

    static napi_value queue(std::unique_ptr<Work> work, napi_env env, const char* name);

  private:
    static void execute(napi_env, void* data) { static_cast<Work*>(data)->run(); }
    static void complete(napi_env env, napi_status status, void* data);

    void run() noexcept;
    bool settle(napi_env env) noexcept;
    void dispose(napi_env env) noexcept;

    std::shared_ptr<Environment> environment_;
    std::unique_ptr<Job> job_;
    uint32_t threads_;
    uint64_t task_;
    Environment::SharedSignals signals_;
    napi_async_work handle_ = nullptr;
    napi_deferred deferred_ = nullptr;
    Failure failure_{RTD_OK, ""};
};

napi_value Work::queue(std::unique_ptr<Work> work, napi_env env, const char* name) {
    napi_value promise = nullptr;
    napi_value resource = nullptr;
    const bool queued = napi_create_promise(env, &work->deferred_, &promise) == napi_ok &&
                        napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource) == napi_ok &&
                        napi_create_async_work(env, nullptr, resource, execute, complete, work.get(), &work->handle_) == napi_ok;
    if (queued) work->environment_->enter(work->task_, work->signals_);
    if (!queued || napi_queue_async_work(env, work->handle_) != napi_ok) {
        work->failure_ = Failure(RTD_INTERNAL, std::string(name) + ": the runtime did not accept asynchronous work");
        if (!work->deferred_) throw work->failure_;
        work->settle(env);
        work->dispose(env);
        return promise;
    }
    work.release();  // now complete()'s
    return promise;
}

void Work::run() noexcept {
    try {
        const rtd_status status = signals_->stop ? RTD_CANCELLED : job_->execute(callOptions(threads_, signals_.get()));
        if (status != RTD_OK) failure_ = Failure(status, status == RTD_CANCELLED ? "the call was cancelled" : rtd_last_error());
    } catch (const std::exception& error) {
        failure_.status = RTD_INTERNAL;
        try {
            failure_ = failureOf(error);
        } catch (...) {  // no memory for the message: the status says enough
        }
    }
}

void Work::complete(napi_env env, napi_status status, void* data) {
    const std::unique_ptr<Work> work(static_cast<Work*>(data));
    if (status != napi_ok && work->failure_.status == RTD_OK) work->failure_ = Failure(RTD_CANCELLED, "the call was cancelled");
    // Node waits for all work before it runs the cleanup hooks of a terminated worker: what is left should not take long.
    if (!work->settle(env)) work->environment_->close();
    work->dispose(env);
}

// Whether the promise was settled. Where it cannot be, the environment is ending, and there is nobody left to tell.
bool Work::settle(napi_env env) noexcept {
    Results results(env);
    napi_value value = nullptr;
    if (failure_.status == RTD_OK) {
        value = job_->finish(results);
        if (!results.ok()) failure_ = results.failure();
    }
    if (failure_.status == RTD_OK) return napi_resolve_deferred(env, deferred_, value) == napi_ok;
    bool pending = false;
    napi_value error = nullptr;
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending) napi_get_and_clear_last_exception(env, &error);
    if (!error) error = environment_->error(env, failure_);
    return error && napi_reject_deferred(env, deferred_, error) == napi_ok;
}

void Work::dispose(napi_env env) noexcept {
    environment_->leave(task_, signals_);
    if (handle_) napi_delete_async_work(env, handle_);
}

}  // namespace

Napi::Value runNow(Napi::Env env, Job& job, uint32_t threads) {
    Results results(env);
    napi_value value = nullptr;
    const rtd_status status = job.execute(callOptions(threads, nullptr));
    const Failure failure(status, status == RTD_OK ? "" : rtd_last_error());
    if (status == RTD_OK) value = job.finish(results);
    if (status != RTD_OK) throw failure;
    if (!results.ok()) throw results.failure();
    return Napi::Value(env, value);
}

Napi::Value runLater(Napi::Env env, const char* name, std::unique_ptr<Job> job, uint32_t threads, uint64_t task) {
    auto work = std::make_unique<Work>(Environment::of(env).shared_from_this(), std::move(job), threads, task);
    return Napi::Value(env, Work::queue(std::move(work), env, name));
}

}  // namespace rtd::napi
