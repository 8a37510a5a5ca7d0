// One call, done now or off the event loop. Made on raw napi_create_async_work, since wrappers throw in the completion, which aborts some runtimes
// when a worker thread is terminated with work pending.
#pragma once
#include <napi.h>

#include <memory>

#include "napi/results.h"
#include "rtd.h"

namespace rtd::napi {

class Job {
  public:
    virtual ~Job() = default;  // on the JavaScript thread

    // The work: on any thread, touching nothing but what the job owns.
    virtual rtd_status execute(const rtd_call_options& call) = 0;

    // On the JavaScript thread, once, after execute returned RTD_OK: what the caller gets. Must not throw; problems go to `results`.
    virtual napi_value finish(Results& results) = 0;
};

// Runs the job here and returns its result; throws a Failure.
Napi::Value runNow(Napi::Env env, Job& job, uint32_t threads);

// Queues the job and returns a promise. `task` is the number under which cancel() finds it, 0 if it cannot be cancelled.
Napi::Value runLater(Napi::Env env, const char* name, std::unique_ptr<Job> job, uint32_t threads, uint64_t task);

}  // namespace rtd::napi
