// The kernel on a real device, as a share of what the device reads at best: npm run bench:gpu.
//
// Every point first compares ids, distances and fused logits of its first rows with a CPU back end's, bit for bit. Times are medians by CUDA events, of one launch
// each; "cold" after the L2 cache was swept, "warm" after the same launch. The share is that of the ceiling, the time in which a kernel that does
// nothing else reads the bytes that a call must read: keys and logits.
//
//     bench_gpu [--json FILE] [--gigabytes 1.5] [--repetitions 15] [--quick]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include "ceiling.h"
#include "device_timer.h"
#include "rtd.h"

namespace {

struct Arguments {
    const char* json = nullptr;
    double gigabytes = 1.5;
    int repetitions = 15;
    bool isQuick = false;

    Arguments(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            const auto value = [&] {
                if (i + 1 == argc) throw std::runtime_error(std::string(argv[i]) + " wants a value");
                return argv[++i];
            };
            if (std::strcmp(argv[i], "--json") == 0)
                json = value();
            else if (std::strcmp(argv[i], "--gigabytes") == 0)
                gigabytes = std::atof(value());
            else if (std::strcmp(argv[i], "--repetitions") == 0)
                repetitions = std::atoi(value());
            else if (std::strcmp(argv[i], "--quick") == 0)
                isQuick = true;
            else
                throw std::runtime_error(std::string("unknown argument ") + argv[i]);
        }
        if (!(gigabytes > 0) || repetitions < 1) throw std::runtime_error("--gigabytes and --repetitions must be above 0");
    }
};

void need(rtd_status status) {
    if (status != RTD_OK) throw std::runtime_error(rtd_last_error());
}

constexpr uint32_t kVocabulary = 128256, kMaxRows = RTD_PLAN_MAX_ROWS, kCheckedRows = 3;
constexpr const char* kDtypeNames[] = {"f32", "f16", "bf16"};
size_t bytesOf(rtd_dtype dtype) { return dtype == RTD_F32 ? 4 : 2; }

// Independent numbers, by all processors: a normal distribution is nothing that the speed depends on.
std::vector<float> randomNumbers(size_t count, uint64_t seed) {
    std::vector<float> numbers(count);
    const size_t threads = std::max(1u, std::thread::hardware_concurrency()), each = (count + threads - 1) / threads;
    std::vector<std::thread> pool;
    for (size_t t = 0; t < threads; ++t)
        pool.emplace_back([&, t] {
            std::minstd_rand random(static_cast<uint32_t>(seed * 1000 + t + 1));
            for (size_t i = t * each; i < std::min(count, (t + 1) * each); ++i)
                numbers[i] = static_cast<float>(random()) * (2.0f / 2147483647.0f) - 1.0f;
        });
    for (std::thread& thread : pool) thread.join();
    return numbers;
}

template <typename T>
class DeviceArray {
  public:
    explicit DeviceArray(size_t count) : count_(count) { check(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc"); }
    explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { *this = values; }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;
    ~DeviceArray() { cudaFree(data_); }
    DeviceArray& operator=(const std::vector<T>& values) {
        check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
        check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // streams of their own do not wait for it
        return *this;
    }
    std::vector<T> read() const {
        std::vector<T> values(count_);
        check(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
        return values;
    }
    T* data() const { return data_; }

  private:
    size_t count_;
    T* data_ = nullptr;
};

struct Index {
    Index(const char* backend, uint32_t dim, rtd_dtype dtype, const std::vector<float>& keys) {
        rtd_index_options options{};
        options.struct_size = sizeof options;
        options.dim = dim;
        options.metric = RTD_L2;
        options.dtype = dtype;
        options.backend = backend;
        need(rtd_index_create(&options, &handle));
        const size_t entries = keys.size() / dim;
        std::vector<int32_t> tokens(entries);
        for (size_t i = 0; i < entries; ++i) tokens[i] = static_cast<int32_t>(i * 7919 % kVocabulary);
        const rtd_matrix matrix = {keys.data(), entries, dim, 0, RTD_F32};
        need(rtd_index_add(handle, &matrix, tokens.data(), nullptr, nullptr));
    }
    Index(const Index&) = delete;
    Index& operator=(const Index&) = delete;
    ~Index() { rtd_index_release(handle); }
    rtd_index* handle = nullptr;
};

rtd_row_options rowOptions(uint32_t k) {
    rtd_row_options row{};
    row.struct_size = sizeof row;
    row.k = k;
    row.reference_weight = 0.5f;
    row.temperature = 1;
    return row;
}

// One index on the device, and all calls on it.
class Series {
  public:
    Series(const Arguments& arguments, std::FILE* json, uint32_t entries, uint32_t dim, rtd_dtype dtype)
        : arguments_(arguments),
          json_(json),
          entries_(entries),
          dim_(dim),
          dtype_(dtype),
          keys_(randomNumbers(size_t{entries} * dim, 1)),
          hostQueries_(randomNumbers(size_t{kMaxRows} * dim, 2)),
          hostLogits_(randomNumbers(size_t{kMaxRows} * kVocabulary, 3)),
          index_("cuda", dim, dtype, keys_),
          queries_(hostQueries_),
          logits_(hostLogits_),
          ids_(size_t{kMaxRows} * RTD_MAX_K),
          distances_(size_t{kMaxRows} * RTD_MAX_K),
          statuses_(kMaxRows),
          ceilingMemory_((size_t{entries} * dim * bytesOf(dtype) + size_t{kMaxRows} * kVocabulary * 4) / 16 * 16),
          sink_(1) {
        int device = 0;
        check(cudaGetDevice(&device), "cudaGetDevice");
        check(cudaGetDeviceProperties(&properties_, device), "cudaGetDeviceProperties");
        check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
        timer_ = std::make_unique<DeviceTimer>(stream_, static_cast<size_t>(properties_.l2CacheSize));
    }
    Series(const Series&) = delete;
    Series& operator=(const Series&) = delete;
    ~Series() {
        timer_.reset();
        cudaStreamDestroy(stream_);
    }

    void measure(uint32_t batch, uint32_t k) {
        rtd_plan_options options{};
        options.struct_size = sizeof options;
        options.max_rows = batch;
        options.max_k = k;
        options.vocabulary = kVocabulary;
        options.stream = stream_;
        rtd_plan* made = nullptr;
        need(rtd_plan_create(index_.handle, &options, &made));
        const std::unique_ptr<rtd_plan, void (*)(rtd_plan*)> plan(made, rtd_plan_release);
        const rtd_row_options row = rowOptions(k);
        need(rtd_plan_set_rows(plan.get(), &row, 1));
        const rtd_matrix queries = {queries_.data(), batch, dim_, 0, RTD_F32};
        const rtd_mutable_matrix logits = {logits_.data(), batch, kVocabulary, 0, RTD_F32};
        const rtd_hits hits = {ids_.data(), distances_.data(), nullptr, nullptr, k};
        const auto launch = [&] { need(rtd_plan_enqueue(plan.get(), &queries, &logits, &hits, statuses_.data())); };

        logits_ = hostLogits_;
        launch();
        check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
        checkAnswer(std::min(batch, kCheckedRows), k);
        const double cold = timer_->median(true, arguments_.repetitions, launch), warm = timer_->median(false, arguments_.repetitions, launch);
        const size_t bytes = (size_t{entries_} * dim_ * bytesOf(dtype_) + size_t{batch} * kVocabulary * 4) / 16 * 16;
        const double coldCeiling = ceiling(bytes, true), warmCeiling = ceiling(bytes, false);
        std::printf("%8u x %5u %-4s  B %2u  k %4u   cold %8.4f ms, %5.1f%% of the ceiling   warm %8.4f ms, %5.1f%%   (%.0f GB/s)\n", entries_, dim_,
                    kDtypeNames[dtype_], batch, k, cold, 100 * coldCeiling / cold, warm, 100 * warmCeiling / warm,
                    static_cast<double>(bytes) / cold / 1e6);
        std::fflush(stdout);
        if (json_)
            std::fprintf(json_,
                         "%s\n  {\"entries\":%u,\"dim\":%u,\"dtype\":\"%s\",\"batch\":%u,\"k\":%u,\"bytes\":%zu,\"coldMs\":%.6f,\"warmMs\":%.6f,"
                         "\"coldCeilingMs\":%.6f,\"warmCeilingMs\":%.6f}",
                         std::exchange(separator, ","), entries_, dim_, kDtypeNames[dtype_], batch, k, bytes, cold, warm, coldCeiling, warmCeiling);
    }

  private:
    // The fastest of some grids.
    double ceiling(size_t bytes, bool cold) {
        double best = INFINITY;
        for (const int each : {1, 2, 4}) {
            const auto blocks = static_cast<unsigned>(each * properties_.multiProcessorCount);
            best = std::min(best, timer_->median(cold, arguments_.repetitions,
                                                 [&] { launchReadAll(ceilingMemory_.data(), bytes, blocks, sink_.data(), stream_); }));
        }
        return best;
    }

    // Against the CPU, which keeps its answers for the k's to come.
    void checkAnswer(uint32_t rows, uint32_t k) {
        if (!cpu_) cpu_ = std::make_unique<Index>(cpuBackend(), dim_, dtype_, keys_);
        std::vector<uint32_t> ids(size_t{rows} * k);
        std::vector<float> distances(size_t{rows} * k),
            logits(hostLogits_.begin(), hostLogits_.begin() + static_cast<ptrdiff_t>(size_t{rows} * kVocabulary));
        const rtd_row_options row = rowOptions(k);
        const rtd_matrix queries = {hostQueries_.data(), rows, dim_, 0, RTD_F32};
        const rtd_mutable_matrix matrix = {logits.data(), rows, kVocabulary, 0, RTD_F32};
        const rtd_hits hits = {ids.data(), distances.data(), nullptr, nullptr, k};
        need(rtd_search_and_fuse(cpu_->handle, &queries, &matrix, &row, 1, nullptr, &hits, nullptr));
        const auto same = [](const auto& device, const auto& host, const char* what) {
            if (std::memcmp(device.data(), host.data(), host.size() * sizeof host[0]) != 0)
                throw std::runtime_error(std::string("the device's ") + what + " are not the CPU's");
        };
        same(ids_.read(), ids, "ids");
        same(distances_.read(), distances, "distances");
        same(logits_.read(), logits, "logits");
    }

    // "auto" would be the device.
    static const char* cpuBackend() {
        const rtd_backend_info* list = nullptr;
        size_t count = 0;
        need(rtd_backends(&list, &count));
        for (size_t i = 0; i < count; ++i)
            if (list[i].usable && std::strncmp(list[i].name, "cuda", 4) != 0) return list[i].name;
        throw std::runtime_error("no CPU back end");
    }

    const Arguments& arguments_;
    std::FILE* json_;
    uint32_t entries_, dim_;
    rtd_dtype dtype_;
    std::vector<float> keys_, hostQueries_, hostLogits_;
    Index index_;
    std::unique_ptr<Index> cpu_;
    DeviceArray<float> queries_, logits_;
    DeviceArray<uint32_t> ids_;
    DeviceArray<float> distances_;
    DeviceArray<rtd_row_status> statuses_;
    DeviceArray<char> ceilingMemory_;
    DeviceArray<unsigned> sink_;
    cudaDeviceProp properties_{};
    cudaStream_t stream_ = nullptr;
    std::unique_ptr<DeviceTimer> timer_;
    static inline const char* separator = "";
};

// Clocks move: what they were is part of the result.
void printClocks() {
    std::fflush(stdout);
    const char* query =
        "nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,clocks_event_reasons.active,temperature.gpu,power.draw "
        "--format=csv";
    if (std::system(query) != 0) std::printf("(no nvidia-smi: the state of the clocks is not known)\n");
}

void run(const Arguments& arguments) {
    if (const char* device = std::getenv("RTD_CUDA_DEVICE")) check(cudaSetDevice(std::atoi(device)), "cudaSetDevice");
    const rtd_backend_info* list = nullptr;
    size_t count = 0;
    need(rtd_backends(&list, &count));
    for (size_t i = 0; i < count; ++i)
        if (std::strcmp(list[i].name, "cuda") == 0 && !list[i].usable) throw std::runtime_error(std::string("no usable GPU: ") + list[i].reason);
    printClocks();
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> json(arguments.json ? std::fopen(arguments.json, "w") : nullptr, std::fclose);
    if (arguments.json && !json) throw std::runtime_error(std::string("cannot write ") + arguments.json);
    if (json) std::fprintf(json.get(), "[");
    for (const uint32_t entries : {2000u, 10000u}) {  // latency, not bandwidth
        Series series(arguments, json.get(), entries, 576, RTD_F32);
        for (const uint32_t batch : {1u, 8u}) series.measure(batch, 32);
    }
    for (const uint32_t dim : {576u, 2048u, 4096u, 8192u})
        for (const rtd_dtype dtype : {RTD_F32, RTD_F16, RTD_BF16}) {
            if (arguments.isQuick && (dim % 4096 != 0 || dtype == RTD_BF16)) continue;
            Series series(arguments, json.get(), static_cast<uint32_t>(arguments.gigabytes * 1e9 / static_cast<double>(dim * bytesOf(dtype))), dim,
                          dtype);
            for (const uint32_t batch : {1u, 2u, 4u, 8u, 16u, 32u, 64u})
                for (const uint32_t k : {1u, 64u, 1024u, 2048u})
                    if (!arguments.isQuick || k == 64) series.measure(batch, k);
        }
    if (json) std::fprintf(json.get(), "\n]\n");
    printClocks();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        setenv("RTD_CUDA_LIBRARY", RTD_BUILT_MODULE, 0);
        run(Arguments(argc, argv));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_gpu: %s\n", error.what());
        return 1;
    }
}
