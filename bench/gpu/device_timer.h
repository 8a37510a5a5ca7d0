// What CUDA events say of work on a stream.
#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

inline void check(cudaError_t error, const char* call) {
    if (error != cudaSuccess) throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(error));
}

class DeviceTimer {
  public:
    // cold: the L2 cache is swept before every repetition, by writing more than it holds.
    DeviceTimer(cudaStream_t stream, size_t l2Bytes) : stream_(stream), sweepBytes_(4 * l2Bytes) {
        check(cudaMalloc(&sweep_, sweepBytes_), "cudaMalloc of the sweep");
        check(cudaEventCreate(&begin_), "cudaEventCreate");
        check(cudaEventCreate(&end_), "cudaEventCreate");
    }
    DeviceTimer(const DeviceTimer&) = delete;
    DeviceTimer& operator=(const DeviceTimer&) = delete;
    ~DeviceTimer() {
        cudaEventDestroy(begin_);
        cudaEventDestroy(end_);
        cudaFree(sweep_);
    }

    // The median of the repetitions, in milliseconds; one before them is not counted.
    template <typename Work>
    double median(bool cold, int repetitions, const Work& work) {
        std::vector<float> times;
        for (int i = -1; i < repetitions; ++i) {
            // Either keeps the device busy while the host enqueues what is timed.
            if (cold)
                check(cudaMemsetAsync(sweep_, i & 0xff, sweepBytes_, stream_), "cudaMemsetAsync");
            else
                work();
            check(cudaEventRecord(begin_, stream_), "cudaEventRecord");
            work();
            check(cudaEventRecord(end_, stream_), "cudaEventRecord");
            check(cudaEventSynchronize(end_), "cudaEventSynchronize");
            float milliseconds = 0;
            check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
            if (i >= 0) times.push_back(milliseconds);
        }
        std::sort(times.begin(), times.end());
        return static_cast<double>(times[times.size() / 2]);
    }

  private:
    cudaStream_t stream_;
    size_t sweepBytes_;
    void* sweep_ = nullptr;
    cudaEvent_t begin_ = nullptr, end_ = nullptr;
};
