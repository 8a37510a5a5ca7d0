// The back end "cuda-emulated".
#include <string>

#include "../core/through.h"
#include "../harness.h"
#include "emulation/device.h"
#include "emulation/emulated_device.h"
#include "tested_backend.h"

const char* testedBackend() {
    rtd::emulation::registerEmulatedBackend();
    return "cuda-emulated";
}

std::unique_ptr<rtd::gpu::Device> testedDevice() { return rtd::emulation::createEmulatedDevice(); }

namespace {

TEST("it is known by its name and is never the default") {
    const std::string name = testedBackend();
    const rtd_backend_info* list;
    size_t count;
    CHECK_OK(rtd_backends(&list, &count));
    bool isFound = false;
    for (size_t i = 0; i < count; ++i)
        if (list[i].name == name) {
            isFound = true;
            CHECK_EQUAL(list[i].usable, 1);
            CHECK_EQUAL(list[i].is_default, 0);
        }
    CHECK(isFound);
}

TEST("a call is one launch, a transform and a cascade included") {
    for (const uint32_t inputs : {0u, 9u}) {
        Shape shape;
        shape.batch = 17;
        const ThroughCase c = makeThroughCase(shape, inputs, 1, true);
        const rtd_transform transform = c.through.view();
        rtd_index_options options = indexOptions(c.through.inputs, shape.metric, shape.dtype, 1, testedBackend());
        options.transform = &transform;
        options.cascade = RTD_CASCADE_ALWAYS;
        const TestIndex index(options);
        fillIndex(index, c.given);
        for (const bool isSealed : {false, true}) {
            if (isSealed) CHECK_OK(rtd_index_seal(index, nullptr));
            const uint64_t before = rtd::emulation::device.count.launches;
            checkSame(run(index, c.given, {testedBackend()}), expected(c.searched, RTD_F32));
            CHECK_EQUAL(rtd::emulation::device.count.launches - before, 1);
        }
    }
}

TEST("memory that the device does not reach, and streams that it has not, are refused") {
    const TestIndex index(indexOptions(4, RTD_L2, RTD_F32, 1, testedBackend()));
    uint32_t far[16] = {};
    const rtd::emulation::Elsewhere elsewhere(far, sizeof far);
    float here[4] = {};
    int reaches = 7;
    CHECK_OK(rtd_index_reaches(index, here, &reaches));
    CHECK_EQUAL(reaches, 1);
    CHECK_OK(rtd_index_reaches(index, &far[15], &reaches));
    CHECK_EQUAL(reaches, 0);

    const auto refused = [](rtd_status status, const char* part) {
        CHECK_EQUAL(status, RTD_INVALID_ARGUMENT);
        CHECK(std::string(rtd_last_error()).starts_with(part));
    };
    const rtd_matrix good = {here, 1, 4, 0, RTD_F32}, bad = {far, 1, 4, 0, RTD_F32};
    const rtd_mutable_matrix goodLogits = {here, 1, 4, 0, RTD_F32}, badLogits = {far, 1, 4, 0, RTD_F32};
    const rtd_row_options row = rowOptions(1, 0.5f, 1);
    rtd_call_options call{};
    call.struct_size = sizeof call;
    call.memory = RTD_MEMORY_DEVICE;
    refused(rtd_search_and_fuse(index, &bad, &goodLogits, &row, 1, &call, nullptr, nullptr), "queries: ");
    refused(rtd_search_and_fuse(index, &good, &badLogits, &row, 1, &call, nullptr, nullptr), "logits: ");

    rtd_plan_options options{};
    options.struct_size = sizeof options;
    options.max_rows = options.max_k = 1;
    options.vocabulary = 4;
    options.stream = here;
    rtd_plan* plan = nullptr;
    refused(rtd_plan_create(index, &options, &plan), "the stream is ");
    options.stream = nullptr;
    CHECK_OK(rtd_plan_create(index, &options, &plan));
    CHECK_OK(rtd_plan_set_rows(plan, &row, 1));
    refused(rtd_plan_enqueue(plan, &bad, &goodLogits, nullptr, nullptr), "queries: ");
    refused(rtd_plan_enqueue(plan, &good, &badLogits, nullptr, nullptr), "logits: ");
    refused(rtd_plan_enqueue(plan, &good, &goodLogits, nullptr, reinterpret_cast<rtd_row_status*>(far)), "statuses: ");
    const rtd_hits hits = {nullptr, reinterpret_cast<float*>(far), nullptr, nullptr, 1};
    refused(rtd_plan_enqueue(plan, &good, &goodLogits, &hits, nullptr), "hits.distances: ");
    rtd_plan_release(plan);
}

}  // namespace
