// What only a real file system can show: paths, links, permissions, full disks, locks between processes.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cstdlib>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/pages.h"
#include "index/handle.h"
#include "index/search.h"
#include "store/fixture.h"

namespace rtd::store {
namespace {

namespace fs = std::filesystem;

FileSystem& disk() { return posixFileSystem(); }
std::unique_ptr<Store> create(const std::string& path) { return Store::create(disk(), path, smallConfig(), "{}", "{}"); }
std::unique_ptr<Store> open(const std::string& path, bool writable = false) {
    return Store::open(disk(), path, {.writable = writable, .threads = 1});
}

void makeStore(const std::string& path) {
    const auto store = create(path);
    Batch(1, 5, 6).appendTo(*store);
    store->seal({});
    const uint32_t id = 2;
    store->remove(&id, 1);
}

void checkMentions(const std::string& message, const std::string& what) {
    if (message.find(what) == std::string::npos) test::fail(__FILE__, __LINE__, "does not mention " + what + ": " + message);
}

TEST("disk: where a store can be created") {
    const TemporaryDirectory directory;
    makeStore(directory / "store");
    CHECK_STATUS(create(directory / "store"), RTD_EXISTS);
    open(directory / "store");

    fs::create_directory(directory / "empty");
    makeStore(directory / "empty");
    makeStore(directory / "slash/");

    fs::create_directory(directory / "full");
    writeFile(directory / "full/notes.txt", "mine");
    CHECK_STATUS(create(directory / "full"), RTD_EXISTS);
    CHECK(!fs::exists(directory / "full/lock"));

    writeFile(directory / "file", "");
    CHECK_STATUS(create(directory / "file"), RTD_EXISTS);
    CHECK_STATUS(create(directory / "no/such"), RTD_NOT_FOUND);
    CHECK_STATUS(create(directory / std::string(300, 'x')), RTD_INVALID_ARGUMENT);
    CHECK_STATUS(create(""), RTD_NOT_FOUND);

    // Where an earlier attempt was interrupted.
    fs::create_directory(directory / "interrupted");
    writeFile(directory / "interrupted/lock", "");
    writeFile(directory / "interrupted/manifest.json.tmp", "{\"for");
    makeStore(directory / "interrupted");
    CHECK(!fs::exists(directory / "interrupted/manifest.json.tmp"));
    CHECK_STATUS(Store::create(disk(), directory / "bad", smallConfig(0), "{}", "{}"), RTD_INVALID_ARGUMENT);
    CHECK(!fs::exists(directory / "bad"));
}

TEST("disk: a store that is there already is called one, whatever the order of its files") {
    const TemporaryDirectory directory;
    makeStore(directory / "s");
    std::string message;
    CHECK_EQUAL(statusOf([&] { create(directory / "s"); }, &message), RTD_EXISTS);
    checkMentions(message, "a store is there already");
}

TEST("disk: where no store is") {
    const TemporaryDirectory directory;
    for (const bool writable : {false, true}) {
        CHECK_STATUS(open(directory / "none", writable), RTD_NOT_FOUND);
        CHECK_STATUS(open(directory.path(), writable), RTD_NOT_FOUND);
    }
    CHECK(fs::is_empty(directory.path()));
    writeFile(directory / "file", "");
    CHECK_STATUS(open(directory / "file"), RTD_BAD_FORMAT);
}

TEST("disk: a store can be moved, also while it is open, and reached through a link") {
    const TemporaryDirectory directory;
    makeStore(directory / "a");
    const std::string content = contentOf(disk(), directory / "a");
    const auto writer = open(directory / "a", true);
    fs::rename(directory / "a", directory / "b");
    fs::create_directory(directory / "a");
    Batch(2, 4, 6).appendTo(*writer);
    writer->seal({});
    CHECK(fs::is_empty(directory / "a"));
    CHECK_EQUAL(contentOf(disk(), directory / "b"), contentOf(*writer));
    fs::create_directory_symlink("b", directory / "link");
    CHECK_EQUAL(contentOf(disk(), directory / "link"), contentOf(*writer));
}

// The system forgets what it has read of a store's files.
void dropPages(const std::string& path) {
    for (const auto& entry : fs::directory_iterator(path)) {
        const int fd = ::open(entry.path().c_str(), O_RDONLY);
        CHECK(fd >= 0);
        ::fdatasync(fd);
        ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        ::close(fd);
    }
}

std::vector<uint64_t> keysOfHits(const Store& store, const std::vector<float>& queries, rtd_search_counts& counts) {
    SearchRow row;
    row.k = 20;
    Call call;
    call.counts = &counts;
    const size_t rows = queries.size() / store.index()->config().dim;
    const HitLists hits = search(*store.index(), store.index()->snapshot(), queries.data(), std::vector<SearchRow>(rows, row), call);
    std::vector<uint64_t> keys;
    for (size_t r = 0; r < rows; ++r) keys.insert(keys.end(), hits.row(r).begin(), hits.row(r).end());
    return keys;
}

TEST("disk: of keys that are not in memory a cascade reads the survivors alone, and finds the same") {
    constexpr uint32_t kDim = 256, kEntries = 8000;
    const TemporaryDirectory directory;
    IndexConfig config = smallConfig(kDim, Dtype::f32);
    config.cascade = CascadeUse::always;
    {
        const auto store = Store::create(disk(), directory / "s", config, "{}", "{}");
        Batch batch(1, kEntries, kDim);
        for (size_t i = 0; i < batch.keys.size(); ++i) batch.keys[i] /= static_cast<float>(1 + i % kDim);  // near keys are told by few numbers
        batch.appendTo(*store);
        store->seal({});
    }
    const auto openAs = [&](CascadeUse cascade) {
        return Store::open(disk(), directory / "s", {.writable = false, .skipChecksums = true, .threads = 1, .cascade = cascade});
    };
    dropPages(directory / "s");
    const auto reader = openAs(CascadeUse::always);
    const Snapshot snapshot = reader->index()->snapshot();
    const auto residentKeys = [&] {
        uint32_t resident = 0;
        for (uint32_t id = 0; id < kEntries; id += 4) resident += isResident(static_cast<const float*>(snapshot.partOf(id).keys) + size_t{id} * kDim);
        return resident;
    };
    // Not where files live in memory, nor where the system is not told which pages are wanted.
    const bool isDropped = residentKeys() < kEntries / 4 / 10 && !std::getenv("RTD_READS_AHEAD");
    std::vector<float> queries(2 * kDim, 0.0f);
    queries[0] = 0.3f;
    queries[kDim + 1] = -0.2f;
    rtd_search_counts counts{}, all{};
    const std::vector<uint64_t> found = keysOfHits(*reader, queries, counts);
    CHECK_EQUAL(counts.scanned, 0u);
    if (isDropped) CHECK(residentKeys() < kEntries / 4 / 4);
    CHECK(found == keysOfHits(*openAs(CascadeUse::off), queries, all));
    CHECK_EQUAL(all.scanned, 2u * kEntries);
}

TEST("disk: a token that changes in the file of an open store does no harm") {
    const TemporaryDirectory directory;
    const std::string path = directory / "s";
    {
        const auto store = Store::create(disk(), path, smallConfig(), "{}", "{}");
        Batch(1, 40, 6).appendTo(*store);
        store->seal({});
    }
    for (const bool skipChecksums : {false, true}) {
        const auto store = Store::open(disk(), path, {.skipChecksums = skipChecksums, .threads = 1});
        const std::string before = contentOf(*store), file = path + "/" + readManifest(store->manifestText()).segments[0].name,
                          content = readFile(file);
        const std::vector<int32_t> tokens = Batch(1, 40, 6).tokens, wild(tokens.size(), 0x7ffffff0);
        const size_t at = content.find(std::string(reinterpret_cast<const char*>(tokens.data()), 4 * tokens.size()));
        CHECK(at != std::string::npos);
        const auto overwrite = [&](const std::vector<int32_t>& with) {
            std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
            out.seekp(static_cast<std::streamoff>(at));
            out.write(reinterpret_cast<const char*>(with.data()), static_cast<std::streamsize>(4 * with.size()));
            CHECK(out.flush().good());
        };
        overwrite(wild);
        rtd_index handle(store->index());
        const Batch queries(5, 2, 6);
        const rtd_matrix matrix = queries.matrix();
        rtd_row_options row{};
        row.struct_size = sizeof row;
        row.k = 40;
        row.reference_weight = 0.5f;
        row.temperature = 1;
        std::vector<float> logits(2 * 1000, 1.0f);
        const rtd_mutable_matrix logitMatrix{logits.data(), 2, 1000, 0, RTD_F32};
        CHECK_EQUAL(rtd_search_and_fuse(&handle, &matrix, &logitMatrix, &row, 1, nullptr, nullptr, nullptr), RTD_OK);
        CHECK_EQUAL(contentOf(*store), before);
        CHECK_STATUS(Store::open(disk(), path, {.threads = 1}), RTD_CHECKSUM);
        overwrite(tokens);
    }
}

TEST("disk: links, pipes and directories in place of files") {
    for (const std::string name : {"manifest.json", "segment-000001.safetensors", "removed-000001.safetensors"}) {
        const TemporaryDirectory directory;
        makeStore(directory / "s");
        const std::string file = directory / "s/" + name;
        fs::rename(file, directory / "moved");
        const auto check = [&] {
            std::string message;
            CHECK_EQUAL(statusOf([&] { open(directory / "s"); }, &message), RTD_BAD_FORMAT);
            checkMentions(message, file);
            fs::remove(file);
        };
        fs::create_symlink(directory / "moved", file);
        check();
        CHECK_EQUAL(::mkfifo(file.c_str(), 0600), 0);
        check();
        fs::create_directory(file);
        check();
        fs::rename(directory / "moved", file);
        open(directory / "s");
    }
}

// What is to be written must not go through a link that somebody left there.
TEST("disk: a link in place of a temporary file or of the lock") {
    const TemporaryDirectory directory;
    makeStore(directory / "s");
    writeFile(directory / "precious", "precious");
    fs::create_symlink(directory / "precious", directory / "s/manifest.json.tmp");
    {
        const auto store = open(directory / "s", true);
        fs::create_symlink(directory / "precious", directory / "s/segment-000002.safetensors.tmp");
        Batch(2, 4, 6).appendTo(*store);
        store->seal({});
        CHECK_EQUAL(contentOf(disk(), directory / "s"), contentOf(*store));
    }
    CHECK_EQUAL(readFile(directory / "precious"), "precious");
    fs::remove(directory / "s/lock");
    fs::create_symlink(directory / "precious", directory / "s/lock");
    CHECK_STATUS(open(directory / "s", true), RTD_BAD_FORMAT);
}

TEST("disk: a manifest of a gigabyte") {
    const TemporaryDirectory directory;
    makeStore(directory / "s");
    fs::resize_file(directory / "s/manifest.json", size_t{1} << 30);
    CHECK_STATUS(open(directory / "s"), RTD_BAD_FORMAT);
}

TEST("disk: other files in the directory are left alone") {
    const TemporaryDirectory directory;
    makeStore(directory / "s");
    const std::vector<std::string> foreign = {"notes.txt", "segment-1.safetensors", "segment-000001.safetensors.bak", "x.tmp",
                                              "derivation-000001.safetensors"};
    for (const auto& name : foreign) writeFile(directory / "s/" + name, "mine");
    const std::vector<std::string> leftovers = {"segment-000007.safetensors", "removed-000009.safetensors.tmp", "manifest.json.tmp"};
    for (const auto& name : leftovers) writeFile(directory / "s/" + name, "left over");
    open(directory / "s");
    for (const auto& name : leftovers) CHECK(fs::exists(directory / "s/" + name));  // a reader changes nothing
    open(directory / "s", true);
    for (const auto& name : foreign) CHECK_EQUAL(readFile(directory / "s/" + name), "mine");
    for (const auto& name : leftovers) CHECK(!fs::exists(directory / "s/" + name));
}

// As an ordinary user, whoever runs the tests.
int asNobody(const std::function<void()>& body) {
    return inChild([&] {
        constexpr uid_t kNobody = 65534;
        if (::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) return 98;
        body();
        return 0;
    });
}

TEST("disk: without permission") {
    const TemporaryDirectory directory;
    fs::permissions(directory.path(), fs::perms(0755));
    makeStore(directory / "s");
    const std::string content = contentOf(disk(), directory / "s"), segment = directory / "s/segment-000001.safetensors";
    // An ordinary user who runs the tests owns the files; what is tested is then what the modes say of the owner.
    const auto withMode = [&](const std::string& path, unsigned mode, const std::function<void()>& body) {
        const auto before = fs::status(path).permissions();
        fs::permissions(path, fs::perms(mode));
        const int status = asNobody(body);
        fs::permissions(path, before);
        CHECK_EQUAL(status, 0);
    };
    const auto refused = [](const std::function<void()>& body, const std::string& path) {
        std::string message;
        CHECK_EQUAL(statusOf(body, &message), RTD_PERMISSION);
        checkMentions(message, path);
    };
    withMode(directory.path(), 0555, [&] { refused([&] { create(directory / "new"); }, directory / "new"); });
    withMode(directory / "s", 0555, [&] {
        CHECK_EQUAL(contentOf(disk(), directory / "s"), content);
        if (::access((directory / "s/lock").c_str(), W_OK) != 0) refused([&] { open(directory / "s", true); }, directory / "s/lock");
    });
    withMode(directory / "s", 0000, [&] { refused([&] { open(directory / "s"); }, directory / "s"); });
    withMode(segment, 0000, [&] { refused([&] { open(directory / "s"); }, segment); });
    CHECK_EQUAL(contentOf(disk(), directory / "s"), content);
}

TEST("disk: permission lost while writing, and given back") {
    const TemporaryDirectory directory;
    fs::permissions(directory.path(), fs::perms(0777));
    CHECK_EQUAL(asNobody([&] {
                    const auto store = create(directory / "s");
                    Batch(1, 5, 6).appendTo(*store);
                    const std::string before = contentOf(*store);
                    fs::permissions(directory / "s", fs::perms(0555));
                    CHECK_STATUS(store->seal({}), RTD_PERMISSION);
                    CHECK_EQUAL(contentOf(*store), before);
                    fs::permissions(directory / "s", fs::perms(0755));
                    store->seal({});
                    CHECK_EQUAL(contentOf(disk(), directory / "s"), contentOf(*store));
                }),
                0);
}

// Seals a store under limits that let less and less be written, then without one.
void checkNoSpace(const std::string& path, const std::function<void(uint64_t bytes)>& limit, const std::function<void()>& unlimited) {
    const auto store = create(path);
    int failures = 0;
    for (uint32_t round = 0; round < 12; ++round) {
        Batch(round, 400, 6).appendTo(*store);
        const std::string before = contentOf(*store), onDisk = contentOf(disk(), path);
        limit(round * 1000);
        const rtd_status status = statusOf([&] { store->seal({}); });
        unlimited();
        if (status != RTD_OK) {
            ++failures;
            CHECK_EQUAL(status, RTD_NO_SPACE);
            CHECK_EQUAL(contentOf(*store), before);
            CHECK_EQUAL(contentOf(disk(), path), onDisk);
            store->seal({});
        }
        CHECK_EQUAL(contentOf(disk(), path), contentOf(*store));
    }
    CHECK(failures >= 3);
}

TEST("disk: the process may not write more") {
    const TemporaryDirectory directory;
    CHECK_EQUAL(inChild([&] {
                    std::signal(SIGXFSZ, SIG_IGN);  // as Node does not: but then the signal comes first, whatever a library does
                    rlimit whole;
                    ::getrlimit(RLIMIT_FSIZE, &whole);
                    const auto set = [&](rlim_t bytes) {
                        const rlimit now{bytes, whole.rlim_max};
                        CHECK_EQUAL(::setrlimit(RLIMIT_FSIZE, &now), 0);
                    };
                    checkNoSpace(directory / "s", set, [&] { set(whole.rlim_cur); });
                    return 0;
                }),
                0);
}

// A file system of its own that is really full. It takes the right to mount one; without it the test above and the fake disk stand alone.
TEST("disk: a disk that is full") {
    const TemporaryDirectory directory;
    if (::mount("none", directory.path().c_str(), "tmpfs", 0, "size=1m") != 0) return;
    const int status = inChild([&] {
        const auto fill = [&](uint64_t left) {
            // All but `left` bytes, as near as pages go.
            const uint64_t room = fs::space(directory.path()).available;
            if (room > left) writeFile(directory / "ballast", std::string(room - left, 'x'));
        };
        checkNoSpace(directory / "s", fill, [&] { fs::remove(directory / "ballast"); });
        fill(0);
        CHECK_STATUS(create(directory / "t"), RTD_NO_SPACE);
        fs::remove(directory / "ballast");
        makeStore(directory / "t");
        return 0;
    });
    ::umount(directory.path().c_str());
    CHECK_EQUAL(status, 0);
}

TEST("disk: a second writer is refused, in this process and in another; readers are not") {
    const TemporaryDirectory directory;
    makeStore(directory / "s");
    const auto writer = open(directory / "s", true);
    const auto check = [&] {
        std::string message;
        CHECK_EQUAL(statusOf([&] { open(directory / "s", true); }, &message), RTD_LOCKED);
        checkMentions(message, directory / "s");
        CHECK_EQUAL(contentOf(disk(), directory / "s"), contentOf(*writer));
    };
    check();
    CHECK_EQUAL(inChild([&] {
                    check();
                    return 0;
                }),
                0);
    CHECK_STATUS(create(directory / "s"), RTD_EXISTS);
    writer->close();
    open(directory / "s", true);
}

TEST("disk: the lock of a writer that was killed is free") {
    const TemporaryDirectory directory;
    makeStore(directory / "s");
    CHECK_EQUAL(inChild([&] {
                    const auto writer = open(directory / "s", true);
                    Batch(2, 4, 6).appendTo(*writer);
                    ::raise(SIGKILL);
                    return 0;
                }),
                128 + SIGKILL);
    CHECK_EQUAL(open(directory / "s", true)->index()->snapshot().entries, 5);
}

}  // namespace
}  // namespace rtd::store
