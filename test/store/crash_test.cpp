// The promise of the store: a crash or a failure at any moment leaves the state before the call or the one after it.
//
// One history of calls is run on a fake disk. Each of its operations (every write, sync, rename, ...) becomes, in turn, the last one before a
// loss of power, or one that fails; what is then found is compared with what an undisturbed run has before and after that call.
#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "store/fake_file_system.h"
#include "store/fixture.h"

namespace rtd::store {
namespace {

constexpr char kPath[] = "s";

struct Step {
    const char* name;
    std::function<void(Store&)> run;
};

void append(Store& store, uint32_t seed, uint32_t count) { Batch(seed, count, 6).appendTo(store); }
void remove(Store& store, const std::vector<uint32_t>& ids) { store.remove(ids.data(), ids.size()); }

// The step that makes the store comes before these.
const std::vector<Step>& history() {
    static const std::vector<Step> steps = {
        {"append", [](Store& s) { append(s, 1, 5); }},
        {"first seal", [](Store& s) { s.seal({}); }},
        {"append", [](Store& s) { append(s, 2, 12); }},
        {"remove pending",
         [](Store& s) {
             remove(s, {7, 8});
         }},
        {"remove sealed", [](Store& s) { remove(s, {2}); }},
        {"seal with removed", [](Store& s) { s.seal({}); }},
        {"metadata", [](Store& s) { s.setMetadata("{\"a\":1}"); }},
        {"append", [](Store& s) { append(s, 3, 3); }},
        {"remove both",
         [](Store& s) {
             remove(s, {0, 17});
         }},
        {"last seal", [](Store& s) { s.seal({}); }},
        {"append", [](Store& s) { append(s, 4, 2); }},
        {"seal", [](Store& s) { s.seal({}); }},
        {"space of a matrix", [](Store& s) { s.setSpace(1, smallMatrix(3), {}); }},
        {"append", [](Store& s) { append(s, 5, 4); }},
        {"remove one", [](Store& s) { remove(s, {1}); }},
        {"seal transformed", [](Store& s) { s.seal({}); }},
        {"space of two heads", [](Store& s) { s.setSpace(2, smallScale(), {}); }},
        {"space as at first", [](Store& s) { s.setSpace(1, nullptr, {}); }},
    };
    return steps;
}

std::unique_ptr<Store> create(FileSystem& files) { return Store::create(files, kPath, smallConfig(), "{\"m\":0}", "{}"); }

// The content on disk and in memory after creating (0) and after each step (i + 1) of an undisturbed run, and its operations.
struct Run {
    std::vector<std::string> durable, inMemory;
    std::vector<std::vector<std::string>> operations;
};

const Run& undisturbed() {
    static const Run run = [] {
        Run made;
        FakeFileSystem files;
        std::unique_ptr<Store> store;
        for (size_t i = 0; i <= history().size(); ++i) {
            files.setFault({});
            if (i == 0) {
                store = create(files);
            } else {
                history()[i - 1].run(*store);
            }
            made.operations.push_back(files.operations());
            made.durable.push_back(contentOf(files, kPath));
            made.inMemory.push_back(contentOf(*store));
        }
        return made;
    }();
    return run;
}

// A fake disk on which the first `steps` calls have been made (0: none, 1: the store was created, ...).
std::unique_ptr<Store> runUpTo(FakeFileSystem& files, size_t steps) {
    std::unique_ptr<Store> store;
    for (size_t i = 0; i < steps; ++i) {
        if (i == 0) {
            store = create(files);
        } else {
            history()[i - 1].run(*store);
        }
    }
    return store;
}

// Call number `step`; the status it ends with.
rtd_status runStep(FakeFileSystem& files, std::unique_ptr<Store>& store, size_t step) {
    return statusOf([&] {
        if (step == 0) {
            store = create(files);
        } else {
            history()[step - 1].run(*store);
        }
    });
}

std::string nameOf(size_t step) { return step == 0 ? "create" : history()[step - 1].name; }

// Nothing lies in the directory but what the manifest names.
void checkNoLeftovers(FakeFileSystem& files, const Store& store) {
    const Manifest manifest = readManifest(store.manifestText());
    for (const auto& name : files.names(kPath)) {
        bool named = name == kManifestName || name == "lock" || (manifest.removed && name == manifest.removed->name);
        for (const auto& segment : manifest.segments) named |= name == segment.name;
        for (const auto& derived : manifest.derived) named |= name == derived.name;
        for (const auto& transformed : manifest.transformed) named |= name == transformed.name;
        named |= manifest.transform && name == manifest.transform->name;
        if (!named) test::fail(__FILE__, __LINE__, "left over: " + name);
    }
}

#ifdef __SANITIZE_THREAD__
constexpr int kRandomLucks = 1;  // all this happens in one thread, and the sanitizer's shadow memory grows with every disk
#else
constexpr int kRandomLucks = 6;
#endif

// Another luck at every call, the same in every run.
std::vector<CrashLuck> lucks() {
    static uint64_t seed = 0;
    std::vector<CrashLuck> all = {{CrashLuck::lose}, {CrashLuck::keep}};
    for (int i = 0; i < kRandomLucks; ++i) all.push_back({CrashLuck::random, ++seed});
    return all;
}

// A writer takes over after a crash: the same content, everything tidied up, and work goes on.
void checkTakeOver(FakeFileSystem& files, const std::string& content) {
    if (content == "none") {
        create(files);
        return;
    }
    const auto store = Store::open(files, kPath, {.writable = true, .threads = 1});
    CHECK_EQUAL(contentOf(*store), content);
    checkNoLeftovers(files, *store);
    const uint32_t entries = store->index()->snapshot().entries;
    append(*store, 9, 4);
    store->seal({});
    CHECK_EQUAL(store->index()->snapshot().entries, entries + 4);
    CHECK_EQUAL(contentOf(files, kPath), contentOf(*store));
}

template <typename Body>
void named(const std::string& where, const Body& body) {
    try {
        body();
    } catch (const test::Failure& failure) { throw test::Failure(where + ": " + failure.text); } catch (const Error& error) {
        throw test::Failure(where + ": threw " + error.message);
    }
}

// Calls body(step, n, where) for every operation n of every step.
template <typename Body>
int atEveryOperation(const Body& body) {
    int visited = 0;
    for (size_t step = 0; step <= history().size(); ++step) {
        const auto& operations = undisturbed().operations[step];
        for (size_t n = 1; n <= operations.size(); ++n, ++visited) {
            const std::string where = nameOf(step) + ", operation " + std::to_string(n) + " (" + operations[n - 1] + ")";
            named(where, [&] { body(step, n, where); });
        }
    }
    return visited;
}

TEST("crash: the history has all the operations that format.md names") {
    std::map<std::string, int> seen;
    for (const auto& operations : undisturbed().operations)
        for (const auto& operation : operations) ++seen[operation];
    for (const char* name :
         {"make directory", "lock lock", "create manifest.json.tmp", "write manifest.json.tmp", "sync manifest.json.tmp", "rename to manifest.json",
          "sync directory", "create segment-000001.safetensors.tmp", "sync segment-000002.safetensors.tmp", "rename to segment-000003.safetensors",
          "rename to removed-000001.safetensors", "remove removed-000001.safetensors"})
        if (!seen[name]) test::fail(__FILE__, __LINE__, std::string("never happens: ") + name);
    // Their numbers depend on whether there are cascades.
    for (const std::string begin : {"rename to transform-", "rename to transformed-", "remove transform-", "remove transformed-"})
        if (std::none_of(seen.begin(), seen.end(), [&](const auto& operation) { return operation.first.starts_with(begin); }))
            test::fail(__FILE__, __LINE__, "never happens: " + begin);
}

TEST("crash: before or after, at every operation and whatever the disk did with what was not synced") {
    const Run& run = undisturbed();
    int afters = 0;
    const int visited = atEveryOperation([&](size_t step, size_t n, const std::string&) {
        for (const CrashLuck& luck : lucks()) {
            FakeFileSystem files;
            auto store = runUpTo(files, step);
            files.setFault({n, Fault::crash, RTD_IO});
            const rtd_status status = runStep(files, store, step);
            store.reset();
            files.restart(luck);
            const std::string before = step == 0 ? "none" : run.durable[step - 1], after = run.durable[step];
            // makeDirectory itself may not have come about.
            std::string found = "none";
            if (statusOf([&] { files.openDirectory(kPath); }) == RTD_OK) found = contentOf(files, kPath);
            if (status == RTD_OK || found != before) CHECK_EQUAL(found, after);
            afters += found == after && before != after;
            checkTakeOver(files, found);
        }
    });
    CHECK(visited > 80);
    CHECK(afters > 5);
}

TEST("crash: nothing that was acknowledged is lost, whatever follows") {
    const Run& run = undisturbed();
    for (size_t step = 0; step <= history().size(); ++step) {
        for (const CrashLuck& luck : lucks()) {
            FakeFileSystem files;
            runUpTo(files, step + 1).reset();
            files.restart(luck);
            CHECK_EQUAL(contentOf(files, kPath), run.durable[step]);
        }
    }
}

TEST("crash: a second crash, during the recovery from the first") {
    const Run& run = undisturbed();
    int recoveries = 0;
    atEveryOperation([&](size_t step, size_t n, const std::string&) {
        if (step == 0 || (test::kIsSlow && n % 5 != step % 5)) return;
        // The process dies, the machine goes on: the next writer sees all, synced or not, and tidies up. Then the power fails.
        FakeFileSystem died;
        auto store = runUpTo(died, step);
        died.setFault({n, Fault::crash, RTD_IO});
        runStep(died, store, step);
        store.reset();
        died.kill();
        for (const CrashLuck& luck : lucks()) {
            for (uint64_t m = 1;; ++m, ++recoveries) {
                FakeFileSystem files(died);
                files.setFault({m, Fault::crash, RTD_IO});
                const rtd_status opened = statusOf([&] { Store::open(files, kPath, {.writable = true, .threads = 1}); });
                const bool finished = files.operations().size() < m;
                files.restart(luck);
                const std::string found = contentOf(files, kPath);
                if (found != run.durable[step - 1]) CHECK_EQUAL(found, run.durable[step]);
                if (finished) {
                    CHECK_EQUAL(opened, RTD_OK);
                    break;
                }
            }
        }
    });
    CHECK(recoveries > (test::kIsSlow ? 80 : 400));
}

// A failing operation: the call says so, nothing has changed, and once the reason is gone the same call succeeds.
void checkFailures(Fault::Kind kind, rtd_status status) {
    const Run& run = undisturbed();
    int failures = 0;
    atEveryOperation([&](size_t step, size_t n, const std::string&) {
        FakeFileSystem files;
        auto store = runUpTo(files, step);
        files.setFault({n, kind, status});
        const rtd_status got = runStep(files, store, step);
        files.setFault({});
        if (got == RTD_OK) {  // only tidying up may fail without a word
            CHECK_EQUAL(contentOf(*store), run.inMemory[step]);
            CHECK_EQUAL(contentOf(files, kPath), run.durable[step]);
            return;
        }
        ++failures;
        CHECK_EQUAL(got, status);
        if (step > 0) {
            CHECK_EQUAL(contentOf(*store), run.inMemory[step - 1]);
            const std::string found = contentOf(files, kPath);
            if (found != run.durable[step - 1]) CHECK_EQUAL(found, run.durable[step]);
        }
        CHECK_EQUAL(runStep(files, store, step), RTD_OK);
        CHECK_EQUAL(contentOf(*store), run.inMemory[step]);
        CHECK_EQUAL(contentOf(files, kPath), run.durable[step]);
        for (size_t later = step + 1; later <= history().size(); ++later) CHECK_EQUAL(runStep(files, store, later), RTD_OK);
        CHECK_EQUAL(contentOf(files, kPath), run.durable.back());
        // Files that could not be removed are the next writer's.
        store.reset();
        checkTakeOver(files, run.durable.back());
    });
    CHECK(failures > 60);
}

TEST("failure: input/output error at every operation") { checkFailures(Fault::once, RTD_IO); }
TEST("failure: permission refused at every operation") { checkFailures(Fault::once, RTD_PERMISSION); }
TEST("failure: no space at every operation") { checkFailures(Fault::once, RTD_NO_SPACE); }
TEST("failure: the disk is full from every operation on, until there is room") { checkFailures(Fault::full, RTD_NO_SPACE); }

TEST("failure: a crash after a failure, without a second try") {
    const Run& run = undisturbed();
    atEveryOperation([&](size_t step, size_t n, const std::string&) {
        for (const CrashLuck& luck : lucks()) {
            FakeFileSystem files;
            auto store = runUpTo(files, step);
            files.setFault({n, Fault::once, RTD_NO_SPACE});
            const rtd_status got = runStep(files, store, step);
            store.reset();
            files.restart(luck);
            const std::string before = step == 0 ? "none" : run.durable[step - 1];
            std::string found = "none";
            if (statusOf([&] { files.openDirectory(kPath); }) == RTD_OK) found = contentOf(files, kPath);
            if (got == RTD_OK || found != before) CHECK_EQUAL(found, run.durable[step]);
            checkTakeOver(files, found);
        }
    });
}

TEST("failure: the room of a segment that could not be committed is given back at once") {
    // Where the manifest may have appeared its files stay; everywhere else nothing does.
    const auto& operations = undisturbed().operations[6];
    for (size_t n = 1; n <= operations.size(); ++n) {
        FakeFileSystem files;
        const auto store = runUpTo(files, 6);
        const auto before = files.names(kPath);
        files.setFault({n, Fault::full, RTD_NO_SPACE});
        if (statusOf([&] { store->seal({}); }) == RTD_OK) continue;
        const bool visible = std::count(operations.begin(), operations.begin() + static_cast<ptrdiff_t>(n), "rename to manifest.json") > 0;
        if (!visible) CHECK(files.names(kPath) == before);
        for (const auto& name : files.names(kPath)) CHECK(!name.ends_with(".tmp"));
    }
}

TEST("failure: opening fails cleanly at every operation") {
    for (const bool writable : {false, true}) {
        for (uint64_t n = 1;; ++n) {
            FakeFileSystem files;
            runUpTo(files, history().size() + 1).reset();
            files.setFault({n, Fault::once, RTD_IO});
            const rtd_status status = statusOf([&] { Store::open(files, kPath, {.writable = writable, .threads = 1}); });
            const bool reached = files.operations().size() >= n;
            const bool needed = reached && files.operations()[n - 1].find("derived-") == std::string::npos;  // a cascade is not
            files.setFault({});
            if (reached) CHECK_EQUAL(status, needed ? RTD_IO : RTD_OK);
            CHECK_EQUAL(contentOf(*Store::open(files, kPath, {.writable = writable, .threads = 1})), undisturbed().durable.back());
            if (!reached) break;
        }
    }
}

}  // namespace
}  // namespace rtd::store
