// Indexes and plans give back all that they take of the device's memory.
#include <cuda_runtime_api.h>

#include "../core/case.h"
#include "../cuda/tested_backend.h"
#include "../harness.h"
#include "gpu/device_number.h"

namespace {

size_t freeBytes() {
    size_t free = 0, all = 0;
    CHECK(cudaMemGetInfo(&free, &all) == cudaSuccess);
    return free;
}

TEST("10,000 indexes and their plans leave the device's memory as it was") {
    Shape shape;
    shape.entries = 40;
    shape.dim = 3;
    shape.batch = 1;
    shape.vocabulary = 10;
    const Case c = makeCase(shape, 1, true);
    rtd_plan_options options{};
    options.struct_size = sizeof options;
    options.max_rows = 1;
    options.max_k = shape.k;
    options.vocabulary = shape.vocabulary;
    CHECK(cudaSetDevice(rtd::gpu::deviceNumber()) == cudaSuccess);
    const auto comeAndGo = [&] {
        const TestIndex index(indexOptions(shape.dim, RTD_L2, RTD_F32, 1, testedBackend()));
        fillIndex(index, c);
        run(index, c, {testedBackend()});
        rtd_plan* plan = nullptr;
        CHECK_OK(rtd_plan_create(index, &options, &plan));
        rtd_plan_release(plan);
    };
    for (int i = 0; i < 100; ++i) comeAndGo();  // after which the runtime takes no more for itself
    const size_t before = freeBytes();
    for (int i = 0; i < 10'000; ++i) comeAndGo();
    constexpr size_t kChunk = size_t{2} << 20;  // of which the device gives memory out, to other programs too; a loss every time is 512 bytes or more
    CHECK(freeBytes() + kChunk >= before);
}

}  // namespace
