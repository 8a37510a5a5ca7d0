// Files that were damaged after they were written: each kind of damage has its error, which names the file, and nothing ever crashes.
#include <random>
#include <set>
#include <string>

#include "store/fake_file_system.h"
#include "store/fixture.h"

namespace rtd::store {
namespace {

constexpr char kPath[] = "s", kSegment[] = "segment-000001.safetensors", kRemoved[] = "removed-000001.safetensors";

// Two segments and a removed file.
void makeStore(FileSystem& files, const std::string& path) {
    const auto store = Store::create(files, path, smallConfig(), "{\"m\":[1,2]}", "{\"a\":\"\u00e4\"}");
    for (uint32_t i = 0; i < 2; ++i) {
        Batch(i, 5 + 2 * i, 6).appendTo(*store);
        store->seal({});
    }
    const uint32_t ids[] = {1, 7};
    store->remove(ids, 2);
}

const std::vector<std::string>& fileNames() {
    static const std::vector<std::string> names = {kManifestName, kSegment, "segment-000002.safetensors", kRemoved};
    return names;
}

rtd_status openStatus(FileSystem& files, std::string* message, bool skipChecksums = false) {
    return statusOf([&] { contentOf(*Store::open(files, kPath, {.skipChecksums = skipChecksums, .threads = 1})); }, message);
}

void checkNames(const std::string& message, const std::string& file) {
    if (message.find(std::string(kPath) + "/" + file + ": ") == std::string::npos)
        test::fail(__FILE__, __LINE__, "does not name " + file + ": " + message);
}

// verify reports every file once, and nothing but `bad` as bad.
void checkVerifyNames(const Store& store, const std::string& bad, rtd_status status) {
    std::set<std::string> seen;
    CHECK_STATUS(store.verify(
                     [&](const std::string& file, rtd_status found, const std::string& message) {
                         CHECK(seen.insert(file).second);
                         CHECK_EQUAL(found, file == bad ? status : RTD_OK);
                         CHECK_EQUAL(message.empty(), found == RTD_OK);
                     },
                     {}),
                 status);
    CHECK_EQUAL(seen.size(), fileNames().size());
}

TEST("damage: files cut at every length") {
    FakeFileSystem files;
    makeStore(files, kPath);
    const auto reader = Store::open(files, kPath, {.threads = 1});
    for (const auto& name : fileNames()) {
        const std::string whole = files.content(kPath, name);
        for (size_t length = 0; length < whole.size(); ++length) {
            files.setContent(kPath, name, whole.substr(0, length));
            std::string message;
            for (const bool skip : {false, true}) {
                CHECK_EQUAL(openStatus(files, &message, skip), RTD_TRUNCATED);
                checkNames(message, name);
            }
            if (length % 97 == 0) checkVerifyNames(*reader, name, RTD_TRUNCATED);
        }
        files.setContent(kPath, name, whole + '\0');
        std::string message;
        CHECK(openStatus(files, &message) != RTD_OK);
        checkNames(message, name);
        files.setContent(kPath, name, whole);
        CHECK_EQUAL(openStatus(files, &message), RTD_OK);
    }
}

TEST("damage: every bit of every file flipped") {
    FakeFileSystem files;
    makeStore(files, kPath);
    const auto reader = Store::open(files, kPath, {.threads = 1});
    const std::string content = contentOf(*reader);
    int differ = 0;
    for (const auto& name : fileNames()) {
        const std::string whole = files.content(kPath, name);
        const size_t header = name == kManifestName ? whole.size() : static_cast<size_t>(8 + static_cast<unsigned char>(whole[0]) + 256 * whole[1]);
        for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
            std::string flipped = whole;
            flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
            files.setContent(kPath, name, flipped);
            std::string message;
            const rtd_status status = openStatus(files, &message);
            if (bit / 8 >= header) {
                CHECK_EQUAL(status, RTD_CHECKSUM);
            } else {
                CHECK(status == RTD_CHECKSUM || status == RTD_BAD_FORMAT || status == RTD_TRUNCATED);
            }
            checkNames(message, name);
            if (bit % 101 == 0) checkVerifyNames(*reader, name, status);
            // Unchecked, it may open with other content, as long as it opens or says why not.
            differ += openStatus(files, &message, true) == RTD_OK;
        }
        files.setContent(kPath, name, whole);
    }
    CHECK(differ > 1000);
    CHECK_EQUAL(contentOf(files, kPath), content);
}

TEST("damage: a missing file is named") {
    FakeFileSystem files;
    makeStore(files, kPath);
    const auto reader = Store::open(files, kPath, {.threads = 1});
    for (const auto& name : fileNames()) {
        const std::string whole = files.content(kPath, name);
        files.erase(kPath, name);
        std::string message;
        CHECK_EQUAL(openStatus(files, &message), RTD_NOT_FOUND);
        CHECK(message.find(name) != std::string::npos);
        checkVerifyNames(*reader, name, RTD_NOT_FOUND);
        files.setContent(kPath, name, whole);
    }
}

TEST("damage: segments exchanged") {
    FakeFileSystem files;
    const auto store = Store::create(files, kPath, smallConfig(), "{}", "{}");
    for (uint32_t i = 0; i < 2; ++i) {
        Batch(i, 5, 6).appendTo(*store);
        store->seal({});
    }
    const std::string first = files.content(kPath, kSegment);
    files.setContent(kPath, kSegment, files.content(kPath, "segment-000002.safetensors"));
    files.setContent(kPath, "segment-000002.safetensors", first);
    std::string message;
    CHECK_EQUAL(openStatus(files, &message), RTD_CHECKSUM);
    checkNames(message, kSegment);
}

TEST("damage: a writer's own damaged store can be verified, and a whole one is") {
    FakeFileSystem files;
    makeStore(files, kPath);
    const auto writer = Store::open(files, kPath, {.writable = true, .threads = 1});
    std::vector<std::string> seen;
    writer->verify(
        [&](const std::string& file, rtd_status status, const std::string&) {
            CHECK_EQUAL(status, RTD_OK);
            seen.push_back(file);
        },
        {});
    CHECK_EQUAL(seen.size(), 4);
    int asked = 2;
    const auto stop = [](void* context) { return --*static_cast<int*>(context) < 0 ? 1 : 0; };
    CHECK_STATUS(writer->verify([](auto&&...) {}, {.shouldStop = stop, .context = &asked}), RTD_CANCELLED);
}

// Random damage, with the checksums made right again in half of the rounds so that the checks behind them are reached.
TEST("damage: thousands of random mutations") {
    FakeFileSystem files;
    makeStore(files, kPath);
    std::mt19937_64 random(3);
    const std::string manifestText = files.content(kPath, kManifestName);
    const auto mutate = [&](std::string& text) {
        static const std::vector<std::string> spice = {
            "[",  "]",    "{",       "}",          "0",   "9",   "-", "\"",   ",",    ":",   "e9", "18446744073709551615",
            "..", "null", "\\u0000", "4294967296", "F32", "U32", " ", "keys", "\xFF", "1e-9"};
        for (size_t n = 1 + random() % 3; n-- > 0 && !text.empty();) {
            const size_t at = random() % (text.size() + 1);
            switch (random() % 6) {
                case 0:
                    text.insert(at, spice[random() % spice.size()]);
                    break;
                case 1:
                    text.erase(at, random() % 9);
                    break;
                case 2:
                    text.replace(at, random() % 4, spice[random() % spice.size()]);
                    break;
                case 3:
                    if (at < text.size()) text[at] = static_cast<char>(random());
                    break;
                case 4:
                    if (at < text.size()) text[at] = static_cast<char>(text[at] ^ 1 << random() % 8);
                    break;
                case 5:
                    text.insert(at, text.substr(random() % text.size(), random() % 20));
                    break;
            }
        }
    };
    std::map<rtd_status, int> seen;
    for (int round = 0; round < 6000; ++round) {
        FakeFileSystem damaged(files);
        const std::string name = fileNames()[random() % fileNames().size()];
        std::string text = files.content(kPath, name);
        const bool forge = random() % 2;
        if (name == kManifestName) {
            constexpr size_t kTail = 33;  // ,\n"checksum":"...16..."}\n
            std::string body = text.substr(0, text.size() - kTail);
            mutate(body);
            text = body + ",\n\"checksum\":\"" + (forge ? toHex(checksumOf(body)) : text.substr(text.size() - 19, 16)) + "\"}\n";
        } else {
            // Most of the mutations into the header, which is a small part of the file.
            std::string header = text.substr(0, 400), rest = text.substr(400 < text.size() ? 400 : text.size());
            mutate(random() % 4 ? header : rest);
            text = header + rest;
            if (forge) forgeFile(damaged, kPath, name, text);
        }
        damaged.setContent(kPath, name, text);
        std::string message;
        ++seen[openStatus(damaged, &message, random() % 4 == 0)];
        const rtd_status writable = statusOf([&] { Store::open(damaged, kPath, {.writable = true, .skipChecksums = true, .threads = 1}); });
        ++seen[writable];
    }
    for (rtd_status status : {RTD_OK, RTD_BAD_FORMAT, RTD_TRUNCATED, RTD_CHECKSUM}) CHECK(seen[status] > 100);
    for (const auto& [status, count] : seen)
        CHECK(status == RTD_OK || status == RTD_NOT_FOUND || (status >= RTD_BAD_FORMAT && status <= RTD_CHECKSUM));
}

}  // namespace
}  // namespace rtd::store
