// Devices that fail in turn at each call, and indexes that come and go.
#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "../core/case.h"
#include "../harness.h"
#include "core/status.h"
#include "cpu/dispatch.h"
#include "emulation/emulated_device.h"
#include "gpu/device_index.h"

namespace {

using namespace rtd::gpu;
using rtd::cuda::KernelEntry;

uint32_t callsUntilFault = 0;  // 0: no fault
size_t allocations = 0;        // that were not released
size_t launches = 0, waits = 0, copies = 0;

// The emulated device; one call fails, before it has done anything but soil what a launch that is cut short may leave behind.
class FaultyDevice : public Device {
  public:
    explicit FaultyDevice(std::unique_ptr<Device> device) : device_(std::move(device)) {}
    std::unique_ptr<Device> onStream(void* stream) const override { return std::make_unique<FaultyDevice>(device_->onStream(stream)); }
    const char* name() const override { return device_->name(); }
    rtd::cuda::KernelTable kernels() const override { return device_->kernels(); }
    void* allocate(size_t bytes, const char* what) override {
        step();
        void* memory = device_->allocate(bytes, what);
        allocations += memory != nullptr;
        return memory;
    }
    void release(void* memory) noexcept override {
        allocations -= memory != nullptr;
        device_->release(memory);
    }
    bool reaches(const void* pointer) const override { return device_->reaches(pointer); }
    void zero(void* to, size_t bytes) override { step(), ++copies, device_->zero(to, bytes); }
    void upload(void* to, const void* from, size_t bytes) override { step(), ++copies, device_->upload(to, from, bytes); }
    void download(void* to, const void* from, size_t bytes) override { step(), ++copies, device_->download(to, from, bytes); }
    void copy(void* to, const void* from, size_t bytes) override { step(), ++copies, device_->copy(to, from, bytes); }
    unsigned blocks(const KernelEntry& kernel, size_t sharedBytes) override {
        step();
        return device_->blocks(kernel, sharedBytes);
    }
    void launch(const KernelEntry& kernel, unsigned grid, size_t sharedBytes, const rtd::cuda::SearchFuseArgs& args) override {
        if (callsUntilFault == 1) std::memset(args.workspace.control, 0xd7, sizeof *args.workspace.control);
        step();
        ++launches;
        device_->launch(kernel, grid, sharedBytes, args);
    }
    void synchronize() override { step(), ++waits, device_->synchronize(); }

  private:
    static void step() {
        if (callsUntilFault > 0 && --callsUntilFault == 0) rtd::fail(RTD_INTERNAL, "the device was told to fail");
    }

    std::unique_ptr<Device> device_;
};

const char* faultyBackend() {
    static const rtd::cpu::Backend backend = [] {
        rtd::cpu::Backend b = rtd::cpu::serialBackend;
        b.name = "faulty";
        b.open = [](const rtd::IndexConfig& config) -> std::unique_ptr<OffloadedIndex> {
            return std::make_unique<DeviceIndex>(std::make_unique<FaultyDevice>(rtd::emulation::createEmulatedDevice()), config);
        };
        rtd::cpu::addBackend(b, "an emulated device that fails");
        return b;
    }();
    return backend.name;
}

// One call of search and fusion: its status, and in `logits` what became of them.
rtd_status fuse(const rtd_index* index, const Case& c, std::vector<float>& logits) {
    const rtd_matrix queries = matrixOf(c.queries, c.shape.dim);
    const rtd_mutable_matrix matrix = mutableMatrixOf(logits, c.shape.vocabulary);
    return rtd_search_and_fuse(index, &queries, &matrix, c.rows.data(), c.rows.size(), nullptr, nullptr, nullptr);
}

TEST("wherever the device fails, nothing is changed and the next call is right") {
    Shape shape;
    shape.batch = 66;  // two launches
    Case c = makeCase(shape, 3, false);
    const Answer want = expected(c, RTD_F32);
    uint32_t faults = 0;
    for (uint32_t at = 1;; ++at) {
        const TestIndex index(indexOptions(shape.dim, shape.metric, shape.dtype, shape.heads, faultyBackend()));
        fillIndex(index, c);
        std::vector<float> logits = c.logits;
        callsUntilFault = at;
        const rtd_status status = fuse(index, c, logits);
        const bool wasFault = callsUntilFault == 0;
        callsUntilFault = 0;
        if (!wasFault) {
            CHECK_EQUAL(status, RTD_OK);
            break;
        }
        ++faults;
        CHECK_EQUAL(status, RTD_INTERNAL);
        CHECK_EQUAL(std::string(rtd_last_error()), "the device was told to fail");
        CHECK_SAME_BITS(logits, c.logits);
        checkSame(run(index, c, {faultyBackend()}), want);
    }
    CHECK(faults > 30);
    CHECK_EQUAL(allocations, 0);
}

// A plan made, told its rows and run once: its statuses, and in `logits` what became of them.
std::vector<rtd_status> runPlan(rtd_index* index, const Case& c, std::vector<float>& logits) {
    rtd_plan_options options{};
    options.struct_size = sizeof options;
    options.max_rows = c.shape.batch;
    options.max_k = c.shape.k;
    options.vocabulary = c.shape.vocabulary;
    rtd_plan* plan = nullptr;
    std::vector<rtd_status> statuses = {rtd_plan_create(index, &options, &plan)};
    if (!plan) return statuses;
    const rtd_matrix queries = matrixOf(c.queries, c.shape.dim);
    const rtd_mutable_matrix matrix = mutableMatrixOf(logits, c.shape.vocabulary);
    const auto retried = [&](auto call) {
        statuses.push_back(call());
        if (statuses.back() != RTD_OK) CHECK_OK(call());
    };
    retried([&] { return rtd_plan_set_rows(plan, c.rows.data(), c.rows.size()); });
    retried([&] { return rtd_plan_refresh(plan); });
    retried([&] { return rtd_plan_enqueue(plan, &queries, &matrix, nullptr, nullptr); });
    rtd_plan_release(plan);
    return statuses;
}

TEST("wherever the device fails, a plan is not made, or is as it was and right when it is called again") {
    const Case c = makeCase(Shape{}, 3, true);
    const Answer want = expected(c, RTD_F32);
    uint32_t faults = 0;
    for (uint32_t at = 1;; ++at) {
        const TestIndex index(indexOptions(c.shape.dim, c.shape.metric, c.shape.dtype, c.shape.heads, faultyBackend()));
        fillIndex(index, c);
        std::vector<float> logits = c.logits;
        callsUntilFault = at;
        const std::vector<rtd_status> statuses = runPlan(index, c, logits);
        const bool wasFault = callsUntilFault == 0;
        callsUntilFault = 0;
        const auto failed = std::count(statuses.begin(), statuses.end(), RTD_INTERNAL);
        if (statuses.size() == 1)
            CHECK_EQUAL(statuses[0], RTD_INTERNAL);
        else
            CHECK_SAME_BITS(logits, want.logits);
        if (!wasFault) {
            CHECK_EQUAL(failed, 0);
            break;
        }
        ++faults;
    }
    CHECK(faults > 15);
    CHECK_EQUAL(allocations, 0);
}

TEST("enqueueing is one launch: nothing is allocated, copied or waited for") {
    const Case c = makeCase(Shape{}, 3, true);
    const TestIndex index(indexOptions(c.shape.dim, c.shape.metric, c.shape.dtype, c.shape.heads, faultyBackend()));
    fillIndex(index, c);
    rtd_plan_options options{};
    options.struct_size = sizeof options;
    options.max_rows = 64;
    options.max_k = 64;
    options.vocabulary = c.shape.vocabulary;
    rtd_plan* plan = nullptr;
    CHECK_OK(rtd_plan_create(index, &options, &plan));
    CHECK_OK(rtd_plan_set_rows(plan, c.rows.data(), 1));
    std::vector<float> logits = c.logits;
    const rtd_matrix queries = matrixOf(c.queries, c.shape.dim);
    const rtd_mutable_matrix matrix = mutableMatrixOf(logits, c.shape.vocabulary);
    const size_t copiesBefore = copies, waitsBefore = waits, launchesBefore = launches, allocationsBefore = allocations;
    for (int i = 0; i < 3; ++i) CHECK_OK(rtd_plan_enqueue(plan, &queries, &matrix, nullptr, nullptr));
    CHECK_EQUAL(launches, launchesBefore + 3);
    CHECK_EQUAL(copies, copiesBefore);
    CHECK_EQUAL(waits, waitsBefore);
    CHECK_EQUAL(allocations, allocationsBefore);
    rtd_plan_release(plan);
}

#if defined(__SANITIZE_ADDRESS__)
constexpr int kCycles = 1000;  // each takes ten times as long, and a leak is found at the end all the same
#else
constexpr int kCycles = 10000;
#endif

TEST("thousands of indexes that came and went leave nothing behind") {
    Shape shape;
    shape.entries = 2;
    shape.dim = 4;
    shape.batch = 1;
    shape.vocabulary = 4;
    const Case c = makeCase(shape, 1, true);
    const auto cycle = [&](const char* backend) {
        const TestIndex index(indexOptions(shape.dim, shape.metric, shape.dtype, shape.heads, backend));
        fillIndex(index, c);
        std::vector<float> logits = c.logits;
        CHECK_EQUAL(fuse(index, c, logits), RTD_OK);
    };
    for (const char* backend : {"cuda", faultyBackend()}) {
        for (int i = 0; i < 50; ++i) cycle(backend);
        const size_t before = mallinfo2().uordblks;
        for (int i = 0; i < kCycles; ++i) cycle(backend);
        const size_t after = mallinfo2().uordblks;
        CHECK(after < before + kCycles);  // a byte for each
        CHECK_EQUAL(allocations, 0);
    }
}

}  // namespace
