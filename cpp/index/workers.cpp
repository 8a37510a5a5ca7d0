#include "index/workers.h"

#include <chrono>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "core/status.h"

namespace rtd {
namespace {

// A decode loop calls every few milliseconds: spinning until then would take a processor from the model. This much only covers the calls
// that follow each other at once, such as the selection after a scan; and, within one call, what its own thread does between two jobs.
constexpr auto kSpinTime = std::chrono::microseconds(20), kAwake = std::chrono::microseconds(300);

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

}  // namespace

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
        ++generation_;
    }
    jobOpened_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

uint32_t WorkerPool::defaultThreads() {
    if (const char* text = std::getenv("RTD_THREADS"); text && *text) {
        char* end;
        const long threads = std::strtol(text, &end, 10);
        if (*end || threads < 1 || threads > kMaxThreads)
            fail(RTD_INVALID_ARGUMENT, "the environment's RTD_THREADS is \"%s\"; give 1..%u", text, kMaxThreads);
        return static_cast<uint32_t>(threads);
    }
    const uint32_t processors = std::thread::hardware_concurrency();
    return processors == 0 ? 1 : processors < kMaxThreads ? processors : kMaxThreads;
}

void WorkerPool::runBody() {
    try {
        (*body_)();
    } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
    }
}

void WorkerPool::run(uint32_t threads, const std::function<void()>& body) {
    if (threads <= 1 || isTaken_.exchange(true, std::memory_order_acquire)) {
        body();
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        try {
            // A thread begins with its creator's floating-point environment: that of guard().
            while (threads_.size() + 1 < threads) threads_.emplace_back([this] { work(); });
        } catch (const std::system_error&) {
            // The system gives no more threads: those there are do the work.
        }
        body_ = &body;
        failure_ = nullptr;
        wanted_ = threads - 1;
        ++generation_;
    }
    jobOpened_.notify_all();
    runBody();
    std::unique_lock lock(mutex_);
    wanted_ = 0;
    workersLeft_.wait(lock, [&] { return running_ == 0; });
    isTaken_.store(false, std::memory_order_release);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

WorkerPool::Attention::Attention(WorkerPool& pool, uint32_t threads) : pool_(threads > 1 ? &pool : nullptr) {
    if (!pool_) return;
    {
        const std::lock_guard lock(pool.mutex_);
        ++pool.attended_;
        ++pool.summons_;
    }
    pool.jobOpened_.notify_all();
}

WorkerPool::Attention::~Attention() {
    if (pool_) --pool_->attended_;
}

void WorkerPool::spinForJob(uint64_t seen) const {
    const auto begin = std::chrono::steady_clock::now();
    do {
        for (int i = 0; i < 32; ++i) {
            if (generation_.load(std::memory_order_relaxed) != seen) return;
            pause();
        }
    } while (std::chrono::steady_clock::now() < begin + (attended_.load(std::memory_order_relaxed) ? kAwake : kSpinTime));
}

void WorkerPool::work() {
    uint64_t seen = 0, summonsSeen = 0;
    for (;;) {
        spinForJob(seen);
        {
            std::unique_lock lock(mutex_);
            jobOpened_.wait(lock, [&] { return generation_ != seen || (summons_ != summonsSeen && attended_ > 0); });
            summonsSeen = summons_;
            if (generation_ == seen) continue;
            seen = generation_;
            if (ending_) return;
            if (wanted_ == 0) continue;
            --wanted_;
            ++running_;
        }
        runBody();
        bool isLast;
        {
            const std::lock_guard lock(mutex_);
            isLast = --running_ == 0;
        }
        if (isLast) workersLeft_.notify_one();
    }
}

}  // namespace rtd
