// Several threads in a store, several processes on one.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "index/handle.h"
#include "store/fake_file_system.h"
#include "store/fixture.h"

namespace rtd::store {
namespace {

FileSystem& disk() { return posixFileSystem(); }

constexpr uint32_t kBatch = 4, kRounds = 60;

// Round r of the one who writes: four entries whose examples are their ids, sealed; from the second round on the first entry of the round before
// is removed. So a store of r rounds has 4r entries and, for r > 0, r - 1 or r - 2 of them removed (the removal comes after the seal).
void writeRound(Store& store, uint32_t round) {
    Batch batch(round, kBatch, 6);
    for (uint32_t i = 0; i < kBatch; ++i) batch.examples[i] = round * kBatch + i;
    batch.appendTo(store);
    store.seal({});
    const uint32_t id = round ? (round - 1) * kBatch : 0;
    if (round) store.remove(&id, 1);
}

// What a reader finds is the store as it was after some call.
uint32_t checkSnapshot(const Store& store) {
    const Snapshot snapshot = store.index()->snapshot();
    CHECK_EQUAL(snapshot.entries % kBatch, 0);
    const uint32_t rounds = snapshot.entries / kBatch, removed = snapshot.entries - snapshot.live;
    if (rounds > 0) CHECK(removed + 1 == rounds || removed + 2 == rounds);
    for (uint32_t r = 0; r < rounds; ++r) CHECK(snapshot.isLive(r * kBatch) == (r >= removed));
    for (uint32_t id = 0; id < snapshot.entries; ++id) {
        uint32_t example;
        int32_t token;
        store.origins(&id, 1, &example, nullptr);
        store.index()->entriesOf(&id, 1, &token, nullptr, nullptr);
        CHECK_EQUAL(example, id);
        CHECK_EQUAL(token, Batch(id / kBatch, kBatch, 6).tokens[id % kBatch]);
    }
    return rounds;
}

template <typename Body>
pid_t startChild(const Body& body) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child != 0) return child;
    int status = 0;
    try {
        body();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "child: %s\n", error.what());
        status = 1;
    }
    ::_exit(status);
}

int statusOfChild(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}

TEST("processes: readers find whole states while a writer works") {
    const TemporaryDirectory directory;
    Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    const pid_t child = startChild([&] {
        const auto store = Store::open(disk(), directory / "s", {.writable = true, .threads = 1});
        for (uint32_t round = 0; round < kRounds; ++round) writeRound(*store, round);
    });
    uint32_t last = 0;
    int opened = 0, different = 0;
    while (last < kRounds) {
        const auto reader = Store::open(disk(), directory / "s", {.threads = 1});
        const uint32_t rounds = checkSnapshot(*reader);
        CHECK(rounds >= last);
        ++opened;
        different += rounds != last;
        last = rounds;
        reader->verify([](auto&&...) {}, {});
        // What is open keeps its snapshot, whatever was replaced since.
        CHECK_EQUAL(checkSnapshot(*reader), rounds);
        if (::waitpid(child, nullptr, WNOHANG) == child && last < kRounds) {
            CHECK_EQUAL(checkSnapshot(*Store::open(disk(), directory / "s", {.threads = 1})), kRounds);
            break;
        }
    }
    CHECK(opened > 0 && different > 0);
    ::waitpid(child, nullptr, 0);
    CHECK_EQUAL(checkSnapshot(*Store::open(disk(), directory / "s", {.threads = 1})), kRounds);
}

// A writer that replaces the removed file between a reader's look at the manifest and its opening of the file, time and again.
TEST("processes: a reader that is overtaken begins anew") {
    FakeFileSystem files;
    const auto writer = Store::create(files, "s", smallConfig(), "{}", "{}");
    Batch(1, 40, 6).appendTo(*writer);
    writer->seal({});
    uint32_t next = 0;
    writer->remove(&next, 1);
    int overtakes = 0;
    const auto overtake = [&](const std::string& name) {
        if (removedNumber(name) == 0 || overtakes == 0) return;
        --overtakes;
        ++next;
        writer->remove(&next, 1);
    };
    files.beforeOpening(overtake);
    for (int times : {1, 2, 5}) {
        overtakes = times;
        const std::string found = contentOf(files, "s");
        CHECK_EQUAL(found, contentOf(*writer));
        overtakes = times;
        std::vector<std::string> seen;
        writer->verify(
            [&](const std::string& file, rtd_status status, const std::string&) {
                CHECK_EQUAL(status, RTD_OK);
                seen.push_back(file);
            },
            {});
        CHECK_EQUAL(seen.size(), 3 + readManifest(writer->manifestText()).derived.size());
        CHECK_EQUAL(seen[1], readManifest(writer->manifestText()).removed->name);
    }
    CHECK_EQUAL(overtakes, 0);

    // Missing for good is missing: no endless attempts.
    files.beforeOpening(nullptr);
    files.erase("s", readManifest(writer->manifestText()).removed->name);
    CHECK_STATUS(Store::open(files, "s", {.threads = 1}), RTD_NOT_FOUND);
}

TEST("processes: two writers take turns and lose nothing") {
    const TemporaryDirectory directory;
    Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    const auto work = [&] {
        for (uint32_t done = 0; done < 20;) {
            const rtd_status status = statusOf([&] {
                const auto store = Store::open(disk(), directory / "s", {.writable = true, .threads = 1});
                writeRound(*store, store->index()->snapshot().entries / kBatch);
            });
            if (status == RTD_OK) {
                ++done;
            } else {
                CHECK_EQUAL(status, RTD_LOCKED);
                ::usleep(200);
            }
        }
    };
    const pid_t first = startChild(work), second = startChild(work);
    CHECK_EQUAL(statusOfChild(first), 0);
    CHECK_EQUAL(statusOfChild(second), 0);
    CHECK_EQUAL(checkSnapshot(*Store::open(disk(), directory / "s", {.threads = 1})), 40);
}

TEST("threads: searches, origins and verification go on while others write") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    std::atomic<bool> done = false;
    std::atomic<int> searches = 0;
    std::string failure;
    std::mutex failureMutex;
    const auto guarded = [&](const auto& body) {
        return std::thread([&, body] {
            try {
                body();
            } catch (const std::exception& error) {
                const std::lock_guard lock(failureMutex);
                failure = error.what();
                done = true;
            }
        });
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
        threads.push_back(guarded([&] {
            rtd_index handle(store->index());
            const Batch queries(5, 2, 6);
            const auto matrix = queries.matrix();
            rtd_row_options row{};
            row.struct_size = sizeof row;
            row.k = 16;
            std::vector<uint32_t> ids(32), counts(2), examples(32);
            std::vector<int32_t> tokens(32);
            const rtd_hits hits{ids.data(), nullptr, tokens.data(), counts.data(), 16};
            while (!done) {
                CHECK_EQUAL(rtd_search(&handle, &matrix, &row, 1, nullptr, &hits), RTD_OK);
                for (uint32_t q = 0; q < 2; ++q) {
                    store->origins(ids.data() + 16 * q, counts[q], examples.data(), nullptr);
                    for (uint32_t i = 0; i < counts[q]; ++i) CHECK_EQUAL(examples[i], ids[16 * q + i]);
                }
                ++searches;
            }
        }));
    }
    threads.push_back(guarded([&] {
        while (!done) {
            store->verify([](const std::string& file, rtd_status status,
                             const std::string& message) { CHECK_EQUAL(file + message + statusName(status), file + "ok"); },
                          {});
            readManifest(store->manifestText());
        }
    }));
    threads.push_back(guarded([&] {
        for (int i = 0; !done; ++i) store->setMetadata("{\"i\":" + std::to_string(i) + "}");
    }));
    for (uint32_t round = 0; round < kRounds && !done; ++round) writeRound(*store, round);
    while (!done && searches < 4) std::this_thread::yield();
    done = true;
    for (auto& thread : threads) thread.join();
    CHECK_EQUAL(failure, "");
    CHECK_EQUAL(checkSnapshot(*store), kRounds);
    CHECK_EQUAL(contentOf(disk(), directory / "s"), contentOf(*store));
}

TEST("threads: the space is changed while others append, search and read keys, and nothing is lost") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    Batch(0, 30, 6).appendTo(*store);
    std::atomic<bool> isDone = false;
    std::string failures[2];
    const auto guarded = [&](std::string& failure, const auto& body) {
        return std::thread([&failure, body] {
            try {
                body();
            } catch (const std::exception& error) { failure = error.what(); }
        });
    };
    uint32_t appended = 30;
    std::atomic<uint32_t> most = 200;  // an appender without end makes spaces that take ever longer, on a slow machine without end
    std::thread appender = guarded(failures[0], [&] {
        for (uint32_t seed = 1; !isDone; ++seed) {
            while (appended >= most && !isDone) std::this_thread::yield();
            CHECK_EQUAL(Batch(seed, seed % 5 + 1, 6).appendTo(*store), appended);
            appended += seed % 5 + 1;
            std::this_thread::yield();
        }
    });
    std::thread reader = guarded(failures[1], [&] {
        const Batch first(0, 30, 6);
        while (!isDone) {
            const auto index = store->index();
            const Batch queries(5, 1, 6);
            rtd_index handle(index);
            const auto matrix = queries.matrix();
            rtd_row_options row{};
            row.struct_size = sizeof row;
            row.k = 8;
            std::vector<uint32_t> ids(size_t{8} * index->config().heads);
            const rtd_hits hits{ids.data(), nullptr, nullptr, nullptr, 8};
            CHECK_EQUAL(rtd_search(&handle, &matrix, &row, 1, nullptr, &hits), RTD_OK);
            std::vector<float> keys(30 * 6);
            std::vector<uint32_t> wanted(30);
            for (uint32_t id = 0; id < 30; ++id) wanted[id] = id;
            store->keysOf(wanted.data(), 30, keys.data());
            CHECK(keys == first.keys);
        }
    });
    for (int round = 0; round < 4; ++round) {
        store->setSpace(1, smallMatrix(4), {});
        store->seal({});
        store->setSpace(3, smallScale(), {});
        store->setSpace(1, nullptr, {});
        most += 200;
    }
    isDone = true;
    appender.join();
    reader.join();
    CHECK_EQUAL(failures[0] + failures[1], "");
    store->setSpace(1, smallMatrix(4), {});
    CHECK_EQUAL(store->index()->snapshot().entries, appended);
    CHECK_EQUAL(contentOf(disk(), directory / "s"), contentOf(*store));
}

TEST("threads: entries appended during a seal are pending, and durable with the next") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    Batch(1, 40, 6).appendTo(*store);
    // The seal stands still until the others are done: it would hang here if they waited for it.
    struct Meeting {
        std::atomic<bool> hasBegun = false, isDone = false;
    } meeting;
    const auto wait = [](void* context) {
        auto& m = *static_cast<Meeting*>(context);
        m.hasBegun = true;
        while (!m.isDone) std::this_thread::yield();
        return 0;
    };
    std::thread appender([&] {
        while (!meeting.hasBegun) std::this_thread::yield();
        Batch(2, 3, 6).appendTo(*store);
        Batch(3, 30, 6).appendTo(*store);
        meeting.isDone = true;
    });
    store->seal({.threads = 1, .shouldStop = wait, .context = &meeting});
    appender.join();
    CHECK_EQUAL(store->index()->snapshot().sealed, 40);
    CHECK_EQUAL(store->index()->snapshot().entries, 73);

    // The same content as without a meeting, on disk too.
    const auto separately = Store::create(disk(), directory / "t", smallConfig(), "{}", "{}");
    Batch(1, 40, 6).appendTo(*separately);
    separately->seal({});
    CHECK_EQUAL(contentOf(disk(), directory / "s"), contentOf(*separately));
    Batch(2, 3, 6).appendTo(*separately);
    Batch(3, 30, 6).appendTo(*separately);
    CHECK_EQUAL(contentOf(*store), contentOf(*separately));
    store->seal({});
    separately->seal({});
    CHECK_EQUAL(contentOf(*store), contentOf(*separately));
    CHECK_EQUAL(contentOf(disk(), directory / "s"), contentOf(*store));
}

TEST("threads: closing while others call") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    writeRound(*store, 0);
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            const uint32_t id = 0;
            uint32_t example;
            while (statusOf([&] {
                       if (t == 0) store->origins(&id, 1, &example, nullptr);
                       if (t == 1) Batch(1, 1, 6).appendTo(*store);
                       if (t == 2) store->verify([](auto&&...) {}, {});
                   }) != RTD_CLOSED) {}
        });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    store->close();
    for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace rtd::store
