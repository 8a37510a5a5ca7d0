// Cascades on disk: made by a seal, found again, and never needed. A store whose derived files are missing or damaged is whole.
#include <cstring>
#include <limits>

#include "index/search.h"
#include "store/fake_file_system.h"
#include "store/fixture.h"

namespace rtd::store {
namespace {

constexpr char kPath[] = "s";

IndexConfig cascading(uint32_t dim = 6, uint32_t heads = 1) {
    IndexConfig config = smallConfig(dim, Dtype::f32);
    config.cascade = CascadeUse::always;
    config.heads = heads;
    return config;
}

void sealBatches(Store& store, uint32_t from, uint32_t to, uint32_t count, uint32_t dim = 6) {
    for (uint32_t i = from; i < to; ++i) {
        Batch(i, count, dim).appendTo(store);
        store.seal({});
    }
}

std::unique_ptr<Store> openStore(FileSystem& files, bool writable = false, bool skipChecksums = false, CascadeUse cascade = CascadeUse::always) {
    return Store::open(files, kPath, {.writable = writable, .skipChecksums = skipChecksums, .threads = 1, .cascade = cascade});
}

std::vector<std::string> derivedNames(FakeFileSystem& files) {
    std::vector<std::string> names;
    for (const std::string& name : files.names(kPath))
        if (name.starts_with("derived-")) names.push_back(name);
    return names;
}

TEST("derived: a seal writes the cascade, and who opens the store has it") {
    for (const uint32_t heads : {1u, 3u}) {
        FakeFileSystem files;
        const auto writer = Store::create(files, kPath, cascading(300, heads), "{}", "{}");
        sealBatches(*writer, 0, 1, 700, 300);
        CHECK_EQUAL(writer->index()->snapshot().cascaded(), 700u);
        CHECK_EQUAL(derivedNames(files).size(), 1u);
        const auto reader = openStore(files);
        CHECK_EQUAL(reader->index()->snapshot().cascaded(), 700u);
        CHECK_EQUAL(contentOf(*reader), contentOf(*writer));
        const auto scanning = openStore(files, false, false, CascadeUse::off);
        CHECK_EQUAL(scanning->index()->snapshot().cascaded(), 0u);
        CHECK_EQUAL(contentOf(*reader), contentOf(*scanning));

        // The levels on disk are those in memory: the searches read as much.
        const Batch queries(9, 4, 300);
        uint64_t looked[2];
        for (const auto* store : {&writer, &reader}) {
            rtd_search_counts counts{};
            Call call;
            call.counts = &counts;
            search(*(*store)->index(), (*store)->index()->snapshot(), queries.keys.data(),
                   std::vector<SearchRow>(4,
                                          [] {
                                              SearchRow row;
                                              row.k = 5;
                                              return row;
                                          }()),
                   call);
            CHECK_EQUAL(counts.scanned, 0u);
            looked[store == &reader] = counts.level2 * 1000003 + counts.level3 * 1009 + counts.exact;
        }
        CHECK_EQUAL(looked[0], looked[1]);
    }
}

TEST("derived: few files, however often it is sealed") {
    FakeFileSystem files;
    const auto store = Store::create(files, kPath, cascading(), "{}", "{}");
    for (uint32_t i = 0; i < 60; ++i) {
        sealBatches(*store, i, i + 1, 3 + i % 4);
        CHECK(derivedNames(files).size() <= 8);
        CHECK_EQUAL(store->index()->snapshot().cascaded(), store->index()->snapshot().entries);
    }
    CHECK_EQUAL(contentOf(files, kPath), contentOf(*store));
    CHECK_EQUAL(openStore(files)->index()->snapshot().cascaded(), store->index()->snapshot().entries);
}

TEST("derived: missing, cut or changed anywhere, it is passed over; the next seal makes it anew") {
    FakeFileSystem files;
    std::string content, name;
    {
        const auto store = Store::create(files, kPath, cascading(), "{}", "{}");
        sealBatches(*store, 0, 1, 70);
        content = contentOf(*store);
        name = derivedNames(files).front();
    }
    const std::string whole = files.content(kPath, name);
    const auto check = [&](const std::string& damaged) {
        files.setContent(kPath, name, damaged);
        const auto reader = openStore(files);
        CHECK_EQUAL(reader->index()->snapshot().cascaded(), 0u);
        CHECK_EQUAL(contentOf(*reader), content);
        contentOf(*openStore(files, false, true));  // believed without its checksum it may give other hits, and no more than that
    };
    for (size_t length = 0; length < whole.size(); length += 1 + length / 40) check(whole.substr(0, length));
    check(whole + '\0');
    for (size_t at = 0; at < whole.size(); at += 1 + at / 40)
        for (const int bit : {0, 7}) {
            std::string damaged = whole;
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
            check(damaged);
        }
    for (const bool isMissing : {false, true}) {
        files.setContent(kPath, name, whole.substr(0, whole.size() / 2));
        if (isMissing) files.erase(kPath, name);
        std::string message;
        const auto damagedStore = openStore(files);
        const rtd_status status = statusOf([&] { damagedStore->verify([](const std::string&, rtd_status, const std::string&) {}, {}); }, &message);
        CHECK_EQUAL(status, isMissing ? RTD_NOT_FOUND : RTD_TRUNCATED);
        CHECK(message.find(name) != std::string::npos);
        {
            const auto writer = openStore(files, true);
            CHECK_EQUAL(writer->index()->snapshot().cascaded(), 0u);
            writer->seal({});
            CHECK_EQUAL(writer->index()->snapshot().cascaded(), 70u);
        }
        CHECK_EQUAL(derivedNames(files).size(), 1u);
        CHECK(derivedNames(files).front() != name);
        name = derivedNames(files).front();
        const auto reader = openStore(files);
        CHECK_EQUAL(reader->index()->snapshot().cascaded(), 70u);
        CHECK_EQUAL(contentOf(*reader), content);
        reader->verify([](const std::string&, rtd_status, const std::string&) {}, {});
    }
}

// What a right checksum cannot vouch for: every number in the file is hostile until checked.
TEST("derived: forged outliers and scales are refused") {
    FakeFileSystem files;
    const auto store = Store::create(files, kPath, cascading(), "{}", "{}");
    sealBatches(*store, 0, 1, 400);
    const std::string content = contentOf(*store), name = derivedNames(files).front(), whole = files.content(kPath, name);
    uint64_t headerBytes;
    std::memcpy(&headerBytes, whole.data(), sizeof headerBytes);
    const std::string header = whole.substr(8, headerBytes);
    const auto offsetOf = [&](const std::string& tensor) {
        const size_t at = header.find("\"" + tensor + "\""), from = header.find("data_offsets\":[", at) + 15;
        return 8 + headerBytes + std::stoull(header.substr(from));
    };
    const auto forged = [&](const std::string& tensor, size_t place, auto value) {
        std::string bytes = whole;
        std::memcpy(&bytes[offsetOf(tensor) + place], &value, sizeof value);
        Manifest manifest = readManifest(files.content(kPath, kManifestName));
        manifest.derived.front().checksum = checksumOf(bytes);
        files.setContent(kPath, name, bytes);
        files.setContent(kPath, kManifestName, writeManifest(manifest));
        const auto reader = openStore(files);
        CHECK_EQUAL(reader->index()->snapshot().cascaded(), 0u);
        CHECK_EQUAL(contentOf(*reader), content);
    };
    forged("outlier_count", 0, uint32_t{3});
    forged("outlier_count", 0, uint32_t{0xffffffff});
    uint32_t outliers;
    std::memcpy(&outliers, &whole[offsetOf("outlier_count")], sizeof outliers);
    CHECK(outliers >= 2);
    const size_t last = 4 * (outliers - 1);
    forged("outliers", last, uint32_t{400});  // ascending still, but no entry
    forged("outliers", last, uint32_t{0xffffffff});
    forged("outliers", last, uint32_t{0});  // an entry, but not ascending
    for (size_t i = 0; i < 7; ++i) {
        forged("scales", 8 * i, std::numeric_limits<double>::infinity());
        forged("scales", 8 * i, -1.0);
    }
    forged("scales", 8, 0.0);
    forged("mean", 4, std::numeric_limits<float>::quiet_NaN());
    forged("basis", 2, uint16_t{0x7c00});
}

TEST("derived: where there is room for the entries alone, a seal succeeds; the next one writes the cascade") {
    for (uint64_t at = 1; at < 200; ++at) {
        FakeFileSystem files;
        const auto store = Store::create(files, kPath, cascading(), "{}", "{}");
        Batch(1, 100, 6).appendTo(*store);
        files.setFault({at, Fault::once, RTD_NO_SPACE});
        const rtd_status status = statusOf([&] { store->seal({}); });
        const auto& operations = files.operations();
        const bool isReached = operations.size() >= at, isDerived = isReached && operations[at - 1].find("derived-") != std::string::npos;
        files.setFault({});
        if (isDerived) {
            CHECK_EQUAL(status, RTD_OK);
            CHECK_EQUAL(store->index()->snapshot().cascaded(), 100u);
            CHECK_EQUAL(contentOf(files, kPath), contentOf(*store));
        }
        if (status != RTD_OK) store->seal({});
        Batch(2, 100, 6).appendTo(*store);
        store->seal({});
        CHECK_EQUAL(openStore(files)->index()->snapshot().cascaded(), 200u);
        CHECK_EQUAL(contentOf(files, kPath), contentOf(*store));
        if (!isReached) return;
    }
    CHECK(false);
}

TEST("derived: a seal without cascades leaves those on disk alone") {
    FakeFileSystem files;
    sealBatches(*Store::create(files, kPath, cascading(), "{}", "{}"), 0, 1, 50);
    {
        const auto writer = openStore(files, true, false, CascadeUse::off);
        Batch(1, 50, 6).appendTo(*writer);
        writer->seal({});
        CHECK_EQUAL(writer->index()->snapshot().cascaded(), 0u);
    }
    CHECK_EQUAL(openStore(files)->index()->snapshot().cascaded(), 50u);
}

}  // namespace
}  // namespace rtd::store
