// The kernel with a thread for each lane, under ThreadSanitizer: it has no data race by the rules of C++. And that races would be seen.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <random>

#include "../harness.h"
#include "kernel_run.h"
#include "primitives.cuh"

namespace {

using namespace rtd::cuda;

struct Words {
    uint64_t data = 0, seen = 0;
    uint32_t flag = 0;
};

// Two blocks of two warps each run the body in a process of its own, which ends as ThreadSanitizer says.
bool races(const std::function<void(Words&)>& body) {
    const pid_t child = fork();
    if (child < 0) throw test::Failure("fork failed");
    if (child == 0) {
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        Words words;
        device.launch({2, 64, 2, 128, 1}, [&] { body(words); });
        exit(0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) throw test::Failure("a process of its own did not come to an end");
    return WEXITSTATUS(status) != 0;
}

void tellNeighbours(auto&& order) {
    auto* shared = reinterpret_cast<uint32_t*>(sharedMemory());
    if (threadIndex() == 1) shared[0] = 5;
    order();
    if (threadIndex() == 2) shared[1] = shared[0];
}

TEST("barriers order shared memory, shuffles do not") {
    CHECK(races([](Words&) { tellNeighbours([] {}); }));
    CHECK(races([](Words&) { tellNeighbours([] { shuffle(1, 0); }); }));
    CHECK(races([](Words&) { tellNeighbours([] { ballot(true); }); }));
    CHECK(!races([](Words&) { tellNeighbours([] { syncWarp(); }); }));
    CHECK(!races([](Words&) { tellNeighbours([] { syncBlock(); }); }));
}

void tellOtherBlock(Words& words, auto&& release, auto&& acquire) {
    if (threadIndex() != 0) return;
    if (device.lane().block->index == 0) {
        storeGlobal(&words.data, uint64_t{5});
        release(&words.flag);
    } else {
        spinUntil([&] { return acquire(&words.flag) == 1; });
        words.seen = loadGlobal(&words.data);
    }
}

TEST("release and acquire order global memory, relaxed atomics do not") {
    const auto release = [](uint32_t* p) { addRelease(p, 1); };
    const auto acquire = [](const uint32_t* p) { return loadAcquire(p); };
    CHECK(!races([&](Words& w) { tellOtherBlock(w, release, acquire); }));
    CHECK(races([&](Words& w) {
        tellOtherBlock(
            w, [](uint32_t* p) { addRelaxed(p, 1); }, acquire);
    }));
    CHECK(races([&](Words& w) { tellOtherBlock(w, release, [](const uint32_t* p) { return loadRelaxed(p); }); }));
}

TEST("an asynchronous copy is one's own until a wait and a barrier") {
    alignas(16) static const uint32_t from[4] = {1, 2, 3, 4};
    const auto copy = [](bool isWaitedFor) {
        auto* shared = reinterpret_cast<uint32_t*>(sharedMemory());
        if (threadIndex() < 8) copyAsync16(shared + 4 * threadIndex(), from, true);
        copyCommit();
        if (isWaitedFor) copyWait<0>();
        syncBlock();
        uint32_t sum = 0;
        for (uint32_t i = 0; i < 32; ++i) sum += shared[i];
        copyWait<0>();
        loadRelaxed(&sum);
    };
    CHECK(!races([&](Words&) { copy(true); }));
    CHECK(races([&](Words&) { copy(false); }));
}

TEST("the kernel has no data race") {
    std::mt19937_64 random(21);
    for (uint64_t i = 0; i < 15; ++i) {
        Shape shape = randomShape(random);
        if (shape.entries > 130) shape.entries = 130;
        if (shape.batch > 5) shape.batch = 5;
        if (shape.k > 33) shape.k = 33;
        if (shape.vocabulary > 300) shape.vocabulary = 1025;
        KernelWay way;
        way.config = i % 5 == 0 ? 1 : i % 2 ? 0 : 2;
        way.seed = i;
        way.grid = 1 + static_cast<uint32_t>(i % 3);
        way.smallestPool = 64;
        way.isPadded = i % 2;
        if (i % 3 == 1) {  // one cut after another, by two blocks
            shape = Shape{};
            shape.kind = Kind::descending;
            shape.entries = 400;
            shape.dim = 3;
            shape.batch = 1 + static_cast<uint32_t>(i % 2);
            shape.k = 4;
        } else {
            way.launches = 2;
        }
        const Case c = makeCase(shape, i, false);
        checkSame(runKernel(c, way), expected(c, RTD_F32));
    }
}

TEST("the kernel that transforms queries has no data race") {
    for (uint64_t i = 0; i < 8; ++i) {
        Shape shape;
        shape.entries = 80;
        shape.dim = i % 2 ? 36 : 33;  // copies take the images, or loads
        shape.batch = 1 + static_cast<uint32_t>(i % 3) * 2;
        shape.k = 5;
        const ThroughCase c = makeThroughCase(shape, i % 3 ? 20 : 0, i, true);
        KernelWay way;
        way.through = &c;
        way.config = i % 2 ? 2 : static_cast<uint32_t>(i / 2 % 2);
        way.seed = i;
        way.grid = 3;
        way.launches = 2;
        way.seeds = i % 2 ? Seeds::near : Seeds::none;
        way.sifting = static_cast<Sifting>(i / 2 % 3);
        checkSame(runKernel(c.searched, way), expected(c.searched, RTD_F32));
    }
}

TEST("the kernel that sifts has no data race") {
    for (uint64_t i = 0; i < 8; ++i) {
        Shape shape;
        shape.entries = 120;
        shape.dim = i / 2 % 2 ? 300 : 140;  // levels 1 and 3; and 2
        shape.batch = 1 + static_cast<uint32_t>(i % 2) * 4;
        shape.k = 5;
        shape.metric = i % 3 ? RTD_L2 : RTD_DOT;
        KernelWay way;
        way.config = i % 2 ? 2 : static_cast<uint32_t>(i / 2 % 2);
        way.seed = i;
        way.grid = 2;
        way.launches = 2;
        way.sifting = i % 4 == 3 ? Sifting::levels : Sifting::tensors;
        way.giveUpPercent = i == 5 ? 0 : 1000;
        const Case c = makeCase(shape, i, false);
        checkSame(runKernel(c, way), expected(c, RTD_F32));
    }
}

}  // namespace
