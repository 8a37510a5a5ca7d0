// Every access to shared memory is within it and reads what was written. Compiled, as the kernel here, to tell each load and store to its shadow.
#include <random>
#include <string>

#include "../harness.h"
#include "kernel_run.h"
#include "primitives.cuh"

namespace {

using namespace rtd::cuda;

constexpr uint32_t kWords = 64;

// One warp, of which lane 0 runs the body on shared memory of kWords words.
template <typename Body>
std::string report(Body body) {
    rtd::emulation::Launch launch = {1, 32, 1, kWords * 4, 1};
    launch.isShadowed = true;
    return device.launch(launch, [&] {
        auto* shared = reinterpret_cast<uint32_t*>(sharedMemory());
        if (threadIndex() == 0) body(shared);
    });
}

const std::string kBeyond = "an access beyond shared memory",
                  kUnwritten = "a read of shared memory that has not been written, or not been waited for";

TEST("the shadow sees accesses beyond shared memory") {
    uint32_t seen = 0;
    CHECK_EQUAL(report([&](uint32_t* shared) { shared[kWords - 1] = 1, seen = shared[kWords - 1]; }), "");
    CHECK_EQUAL(report([&](uint32_t* shared) { shared[kWords] = 1; }), kBeyond);
    CHECK_EQUAL(report([&](uint32_t* shared) { seen = shared[kWords + 5]; }), kBeyond);
    CHECK_EQUAL(report([&](uint32_t* shared) { seen = *(shared - 1); }), kBeyond);
    CHECK_EQUAL(report([&](uint32_t* shared) { *reinterpret_cast<uint64_t*>(shared + kWords - 1) = 1; }), kBeyond);
}

TEST("the shadow sees reads of what was not written") {
    uint64_t seen = 0;
    CHECK_EQUAL(report([&](uint32_t* shared) { seen = shared[3]; }), kUnwritten);
    CHECK_EQUAL(report([&](uint32_t* shared) { shared[2] = 1, seen = *reinterpret_cast<uint64_t*>(shared + 2); }), kUnwritten);
    CHECK_EQUAL(report([&](uint32_t* shared) { shared[2] = shared[3] = 1, seen = *reinterpret_cast<uint64_t*>(shared + 2); }), "");
    CHECK_EQUAL(report([&](uint32_t* shared) { addShared(shared, 1); }), kUnwritten);
    CHECK_EQUAL(report([&](uint32_t* shared) { *shared = 0, addShared(shared, 1); }), "");
}

TEST("the shadow sees reads of copies that were not waited for") {
    alignas(16) const uint32_t from[4] = {1, 2, 3, 4};
    uint32_t seen = 0;
    CHECK_EQUAL(report([&](uint32_t* shared) {
                    copyAsync16(shared, from, true);
                    copyCommit();
                    copyWait<0>();
                    seen = shared[3];
                }),
                "");
    CHECK_EQUAL(seen, 4);
    CHECK_EQUAL(report([&](uint32_t* shared) {
                    copyAsync16(shared, from, true);
                    copyCommit();
                    copyAsync16(shared + 4, from, true);
                    copyCommit();
                    copyWait<1>();
                    seen = shared[4];
                }),
                kUnwritten);
    CHECK_EQUAL(report([&](uint32_t* shared) { copyAsync16(shared + kWords, from, true); }), "a copy beyond shared memory");
}

TEST("the kernel reads what was written and stays within shared memory") {
    std::mt19937_64 random(11);
    KernelCost cost;
    for (uint64_t i = 0; i < 120; ++i) {
        Shape shape = randomShape(random);
        if (shape.entries > 1000) shape.entries = 300;
        if (shape.batch > 20) shape.batch = 17;
        if (random() % 3 == 0) shape.dim = shape.heads * (random() % 2 ? 256 : 140);  // levels of a cascade
        Case c = makeCase(shape, i, false);
        KernelWay way;
        ThroughCase through;
        if (i % 3 == 0) {
            through = makeThroughCase(shape, randomInputs(random, shape), i, false);
            c = through.searched;
            way.through = &through;
        }
        way.config = static_cast<uint32_t>(random() % (random() % 4 ? kSmallConfigCount : kKernelConfigCount));
        way.seed = random();
        way.grid = 1 + static_cast<uint32_t>(random() % 3);
        way.resident = way.grid;
        way.smallestPool = 64;
        way.seeds = static_cast<Seeds>(random() % 3);
        way.mergeParts = 1 + static_cast<uint32_t>(random() % 4);
        way.isPadded = random() % 2;
        way.launches = 2;
        if (random() % 2) {
            way.sifting = random() % 2 ? Sifting::levels : Sifting::tensors;
            way.shareKeys = 32 << random() % 3;
            way.giveUpPercent = random() % 3 ? 1000 : 20;
        }
        way.isShadowed = true;
        checkSame(runKernel(c, way, &cost), expected(c, RTD_F32));
    }
    CHECK(cost.checked > 10'000'000);
}

}  // namespace
