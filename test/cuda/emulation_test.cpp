// The emulated device itself: what its memory allows and what it reports, on the smallest kernels that tell (litmus tests).
#include <functional>
#include <string>

#include "../harness.h"
#include "primitives.cuh"

namespace {

using namespace rtd::cuda;

struct Words {
    uint32_t data = 0, flag = 0, other = 0;
    uint64_t wide = 0;
};

// Two blocks of one warp: lane 0 of the first runs `first`, lane 0 of the second `second`. Returns what the device reports.
using Body = std::function<void(Words&)>;
std::string runPair(uint64_t seed, const Body& first, const Body& second, bool isScratch = false) {
    Words words;
    rtd::emulation::Launch launch = {2, 32, 2, 128, seed};
    if (isScratch) launch.scratch = &words, launch.scratchBytes = sizeof words;
    return device.launch(launch, [&] {
        if (threadIndex() == 0) (device.lane().block->index == 0 ? first : second)(words);
    });
}

// In how many of 200 schedules `isSeen` was set by a body; every one must go without a report.
int countSeen(const Body& first, const std::function<bool(Words&)>& isSeen) {
    int seen = 0;
    for (uint64_t seed = 0; seed < 200; ++seed) {
        bool isHere = false;
        CHECK_EQUAL(runPair(seed, first, [&](Words& w) { isHere = isSeen(w); }), "");
        seen += isHere;
    }
    return seen;
}

// The schedules of 200 in which the device reports a race.
int countRaces(const Body& first, const Body& second) {
    int races = 0;
    for (uint64_t seed = 0; seed < 200; ++seed) {
        const std::string report = runPair(seed, first, second);
        if (!report.empty()) CHECK(report.starts_with("a race"));
        races += !report.empty();
    }
    return races;
}

const Body kPublish = [](Words& w) {
    addRelaxed(&w.data, 1u);
    addRelease(&w.flag, 1u);
};

TEST("what is published by release and acquire is seen, and only then") {
    const auto isMissed = [](auto&& loadFlag) { return [=](Words& w) { return loadFlag(w) == 1 && loadRelaxed(&w.data) == 0; }; };
    CHECK_EQUAL(countSeen(kPublish, isMissed([](Words& w) { return loadAcquire(&w.flag); })), 0);
    CHECK_EQUAL(countSeen(kPublish, isMissed([](Words& w) { return addAcquire(&w.flag, 0); })), 0);
    CHECK(countSeen(kPublish, isMissed([](Words& w) { return loadRelaxed(&w.flag); })) > 0);
    CHECK(countSeen(kPublish, isMissed([](Words& w) { return loadAcquire(&w.flag) ? 1u : addAcquire(&w.other, 1u); })) == 0);
    const Body relaxed = [](Words& w) {
        addRelaxed(&w.data, 1u);
        addRelaxed(&w.flag, 1u);
    };
    CHECK(countSeen(relaxed, isMissed([](Words& w) { return loadAcquire(&w.flag); })) > 0);
}

TEST("a release is carried on by read-modify-writes, of others too, and ends with a store") {
    const auto chained = [](auto&& modify) {
        return [=](Words& w) {
            spinUntil([&] { return loadRelaxed(&w.flag) == 1; });
            modify(w);
            return loadAcquire(&w.flag) == 2 && loadRelaxed(&w.data) == 0;
        };
    };
    CHECK_EQUAL(countSeen(kPublish, chained([](Words& w) { addRelaxed(&w.flag, 1u); })), 0);
    CHECK(countSeen(kPublish, chained([](Words& w) { storeRelease(&w.flag, 2u); })) > 0);
}

TEST("loads of one place never go back") {
    const Body count = [](Words& w) {
        for (int i = 0; i < 5; ++i) addRelaxed(&w.data, 1u);
    };
    int stale = 0;
    for (uint64_t seed = 0; seed < 200; ++seed)
        CHECK_EQUAL(runPair(seed, count,
                            [&](Words& w) {
                                uint32_t last = 0;
                                for (int i = 0; i < 8; ++i) {
                                    const uint32_t now = loadRelaxed(&w.data);
                                    CHECK(now >= last);
                                    stale += now < w.data;
                                    last = now;
                                }
                            }),
                    "");
    CHECK(stale > 0);
}

TEST("accesses that are not atomic race unless they are ordered") {
    const Body write = [](Words& w) {
        storeGlobal(&w.wide, uint64_t{5});
        addRelease(&w.flag, 1u);
    };
    const auto afterwards = [](auto&& loadFlag) {
        return [=](Words& w) {
            spinUntil([&] { return loadFlag(w) == 1; });
            CHECK_EQUAL(loadGlobal(&w.wide), 5);
        };
    };
    CHECK_EQUAL(countRaces(write, afterwards([](Words& w) { return loadAcquire(&w.flag); })), 0);
    CHECK_EQUAL(countRaces(write, afterwards([](Words& w) { return loadRelaxed(&w.flag); })), 200);
    // Reading first and being overwritten is a race as well.
    const Body read = [](Words& w) {
        CHECK_EQUAL(loadGlobal(&w.wide), 0);
        addRelease(&w.flag, 1u);
    };
    const auto overwrite = [](auto&& loadFlag) {
        return [=](Words& w) {
            spinUntil([&] { return loadFlag(w) == 1; });
            storeGlobal(&w.wide, uint64_t{5});
        };
    };
    CHECK_EQUAL(countRaces(read, overwrite([](Words& w) { return loadAcquire(&w.flag); })), 0);
    CHECK_EQUAL(countRaces(read, overwrite([](Words& w) { return loadRelaxed(&w.flag); })), 200);
}

TEST("a relaxed store must not meet a read-modify-write") {
    const auto storeAfter = [](auto&& loadFlag) {
        return [=](Words& w) {
            spinUntil([&] { return loadFlag(w) == 1; });
            storeRelaxed(&w.data, 0u);
        };
    };
    CHECK_EQUAL(countRaces(kPublish, storeAfter([](Words& w) { return loadAcquire(&w.flag); })), 0);
    CHECK_EQUAL(countRaces(kPublish, storeAfter([](Words& w) { return loadRelaxed(&w.flag); })), 200);
    const Body store = [](Words& w) { storeRelaxed(&w.data, 7u); };
    CHECK_EQUAL(countRaces(store, [](Words& w) { addRelaxed(&w.data, 1u); }), 200);
}

TEST("accesses to several words at once must lie on their boundary") {
    alignas(16) uint64_t words[4] = {};
    const auto report = [&](const std::function<void(char*)>& access, size_t offset) {
        return device.launch({1, 32, 1, 128, 1}, [&] {
            if (threadIndex() == 0) access(reinterpret_cast<char*>(words) + offset);
        });
    };
    const std::function<void(char*)> wide[] = {
        [](char* p) { load16(p); },
        [](char* p) { loadShared16(p); },
        [](char* p) { loadGlobal16(reinterpret_cast<uint64_t*>(p)); },
        [](char* p) {
            store4(reinterpret_cast<float*>(p), {1, 2, 3, 4});
        },
        [](char* p) { copyAsync16(sharedMemory(), p, true); },
        [](char* p) {
            float v[4];
            load4(v, reinterpret_cast<float*>(p));
        },
    };
    const std::string kOff = "an access to several words at once off its boundary";
    for (const auto& access : wide) {
        CHECK_EQUAL(report(access, 0), "");
        CHECK_EQUAL(report(access, 8), kOff);
        CHECK_EQUAL(report(access, 16), "");
    }
    const auto load4Halves = [](char* p) {
        float v[4];
        load4(v, reinterpret_cast<Half*>(p));
    };
    CHECK_EQUAL(report(load4Halves, 8), "");
    CHECK_EQUAL(report(load4Halves, 4), kOff);
    CHECK_EQUAL(report([&](char* p) { copyAsync16(sharedMemory() + 8, p, true); }, 0), kOff);
}

TEST("scratch that the launch has not written must not be read") {
    const Body read = [](Words& w) { loadGlobal(&w.wide); };
    const Body writeAndRead = [](Words& w) {
        storeGlobal(&w.wide, uint64_t{5});
        CHECK_EQUAL(loadGlobal(&w.wide), 5);
    };
    const Body nothing = [](Words&) {};
    CHECK_EQUAL(runPair(1, nothing, writeAndRead, true), "");
    CHECK_EQUAL(runPair(1, nothing, read, true), "a read of scratch memory that this launch has not written");
}

}  // namespace
