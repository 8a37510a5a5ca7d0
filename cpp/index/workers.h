// The threads of one index. They sleep between calls; a call hands them a body to run, once each, and takes part itself.
#pragma once
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace rtd {

// A call divides its work by tickets, so any number of threads that come to help is enough, also none:
//   - workers that are slow to wake find the job closed and go back to sleep; nobody waits for them;
//   - one call at a time has the workers; a concurrent one runs on its caller's thread alone.
class WorkerPool {
  public:
    static constexpr uint32_t kMaxThreads = 256;

    WorkerPool() = default;
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // Runs body on the calling thread and on up to threads - 1 workers, and returns when all that began it have left it. body takes tickets
    // until there are none. Rethrows what the first one to fail threw; the others should see a flag of the caller's.
    void run(uint32_t threads, const std::function<void()>& body);

    // While it lives, workers that have nothing to do are awake for up to `kAwake`: for calls that hand them many small jobs, one soon after another.
    class Attention {
      public:
        // Wakes those that sleep. threads: of the call; alone it wakes nobody.
        Attention(WorkerPool& pool, uint32_t threads);
        ~Attention();
        Attention(const Attention&) = delete;
        Attention& operator=(const Attention&) = delete;

      private:
        WorkerPool* pool_;  // null where there is nobody to wake
    };

    // The threads worth waking for some work: one more for every `share` of it.
    static uint32_t threadsFor(size_t work, size_t share, uint32_t threads) {
        return static_cast<uint32_t>(std::min<size_t>(threads, 1 + work / share));
    }

    // A number from RTD_THREADS, else the processors this process may use. RTD_INVALID_ARGUMENT for another value of RTD_THREADS.
    static uint32_t defaultThreads();

  private:
    void work();
    void spinForJob(uint64_t seen) const;
    void runBody();

    std::atomic<bool> isTaken_ = false;  // by the call that has the workers
    std::mutex mutex_;                   // guards all below
    std::condition_variable jobOpened_, workersLeft_;
    std::vector<std::thread> threads_;
    const std::function<void()>* body_ = nullptr;
    std::atomic<uint64_t> generation_ = 0;  // counts jobs; written under the mutex, watched without
    uint32_t wanted_ = 0;                   // workers that may still join the open job; 0: closed
    uint32_t running_ = 0;
    std::atomic<uint32_t> attended_ = 0;  // calls that pay attention; raised under the mutex
    uint64_t summons_ = 0;                // counts those
    std::exception_ptr failure_;
    bool ending_ = false;
};

}  // namespace rtd
