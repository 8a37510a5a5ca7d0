// A store on a real file system: what is put in comes out, by every way and after every reopening.
#include "store/store.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include "store/checksum.h"
#include "store/fixture.h"

namespace rtd::store {
namespace {

FileSystem& disk() { return posixFileSystem(); }

std::unique_ptr<Store> reopen(const std::string& path, bool writable = false) {
    return Store::open(disk(), path, {.writable = writable, .threads = 1});
}

TEST("store: entries come back with every bit, for each dtype, metric and number of heads") {
    for (Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::bf16}) {
        for (Metric metric : {Metric::l2, Metric::l2sq, Metric::dot}) {
            for (uint32_t heads : {1u, 3u}) {
                const TemporaryDirectory directory;
                IndexConfig config = smallConfig(9, dtype);
                config.metric = metric;
                config.heads = heads;
                const auto store = Store::create(disk(), directory / "s", config, "{\"file\":\"m\"}", "{}");
                std::string before;
                // Odd numbers of entries, so that no column is aligned by luck.
                for (uint32_t count : {1u, 7u, 200u, 33u}) {
                    CHECK_EQUAL(Batch(count, count, 9).appendTo(*store), store->index()->snapshot().sealed);
                    store->seal({});
                    before = contentOf(*store);
                    CHECK_EQUAL(contentOf(disk(), directory / "s"), before);
                    CHECK_EQUAL(contentOf(disk(), directory / "s", true), before);
                }
                store->close();
                const auto again = reopen(directory / "s", true);
                CHECK_EQUAL(contentOf(*again), before);
                CHECK_EQUAL(again->index()->config().heads, heads);
                CHECK(again->index()->config().metric == metric);
                CHECK(again->index()->config().dtype == dtype);
            }
        }
    }
}

// The index in memory is the oracle: a store with many segments, removals and reopenings in between must hold the same.
TEST("store: many segments hold what one index holds") {
    const TemporaryDirectory directory;
    const auto whole = Store::create(disk(), directory / "whole", smallConfig(), "{}", "{}");
    auto cut = Store::create(disk(), directory / "cut", smallConfig(), "{}", "{}");
    for (uint32_t i = 0; i < 20; ++i) {
        const Batch batch(i, i * 3 % 17, 6);
        batch.appendTo(*whole);
        batch.appendTo(*cut);
        if (i % 3 == 2) {
            // One of the sealed, one of the pending, both of them.
            const uint32_t last = cut->index()->snapshot().entries - 1;
            const uint32_t ids[] = {last, i / 3};
            whole->remove(ids, 2);
            cut->remove(ids, 2);
        }
        if (i % 2 || i % 5 == 4) cut->seal({});
        if (i % 5 == 4) {
            cut->close();
            cut = reopen(directory / "cut", true);
            whole->seal({});
        }
    }
    whole->seal({});
    cut->seal({});
    CHECK_EQUAL(contentOf(*cut), contentOf(*whole));
    CHECK_EQUAL(contentOf(disk(), directory / "cut"), contentOf(*whole));
}

TEST("store: appended entries are found at once, and gone unless sealed") {
    const TemporaryDirectory directory;
    auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    Batch(1, 10, 6).appendTo(*store);
    store->seal({});
    const std::string sealed = contentOf(*store);
    Batch(2, 5, 6).appendTo(*store);
    CHECK_EQUAL(store->index()->snapshot().entries, 15);
    CHECK(contentOf(*store) != sealed);
    CHECK_EQUAL(contentOf(disk(), directory / "s"), sealed);
    store->close();
    CHECK_EQUAL(contentOf(disk(), directory / "s"), sealed);
}

TEST("store: removal is durable at once for sealed entries, with the seal for pending ones") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    Batch(1, 10, 6).appendTo(*store);
    store->seal({});
    Batch(2, 5, 6).appendTo(*store);
    const uint32_t ids[] = {12, 3, 9};
    store->remove(ids, 3);
    const auto isLive = [](const Store& of, uint32_t id) { return of.index()->snapshot().isLive(id); };
    for (uint32_t id : ids) CHECK(!isLive(*store, id));
    CHECK_EQUAL(reopen(directory / "s")->index()->snapshot().live, 8);
    store->seal({});
    const auto again = reopen(directory / "s");
    CHECK_EQUAL(again->index()->snapshot().live, 12);
    for (uint32_t id : ids) CHECK(!isLive(*again, id));

    for (const std::vector<uint32_t>& bad : {std::vector<uint32_t>{15}, {3}, {4, 4}, {4, RTD_NO_ID}}) {
        const std::string before = contentOf(*store);
        CHECK_STATUS(store->remove(bad.data(), bad.size()), RTD_UNKNOWN_ID);
        CHECK_EQUAL(contentOf(*store), before);
        CHECK_EQUAL(contentOf(disk(), directory / "s"), before);
    }
}

TEST("store: the default temperature is kept") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    CHECK_EQUAL(store->index()->snapshot().temperature, 0.0f);
    store->seal({});
    CHECK(readManifest(store->manifestText()).temperature == 0);
    Batch(1, 300, 6).appendTo(*store);
    store->seal({});
    const float temperature = store->index()->snapshot().temperature;
    CHECK(temperature > 0);
    CHECK_EQUAL(reopen(directory / "s")->index()->snapshot().temperature, temperature);
    CHECK_EQUAL(readManifest(store->manifestText()).temperature, temperature);
    // Removing most entries changes it with the next seal, which has nothing else to write.
    std::vector<uint32_t> ids(290);
    std::iota(ids.begin(), ids.end(), 0);
    store->remove(ids.data(), ids.size());
    CHECK_EQUAL(store->index()->snapshot().temperature, temperature);
    store->seal({});
    CHECK(store->index()->snapshot().temperature != temperature);
    CHECK_EQUAL(reopen(directory / "s")->index()->snapshot().temperature, store->index()->snapshot().temperature);
    const std::string text = store->manifestText();
    store->seal({});
    CHECK_EQUAL(store->manifestText(), text);  // nothing pending: nothing written
}

TEST("store: model and metadata are kept verbatim") {
    const TemporaryDirectory directory;
    const std::string model = "{ \"file\" : \"\\u00e4\", \"x\":[1, 2.50,\n{}] }", metadata = "{\"checksum\":\"\u20ac\"}";
    const auto store = Store::create(disk(), directory / "s", smallConfig(), model, metadata);
    CHECK_EQUAL(readManifest(reopen(directory / "s")->manifestText()).model, model);
    CHECK_EQUAL(readManifest(store->manifestText()).metadata, metadata);
    store->setMetadata("{\"b\":2}");
    CHECK_EQUAL(readManifest(reopen(directory / "s")->manifestText()).metadata, "{\"b\":2}");
    CHECK_EQUAL(readManifest(store->manifestText()).model, model);
    for (const char* bad : {"", "[]", "1", "{", "{}{}", "{\"a\":1,\"a\":1}", "{\"\xFF\":1}"}) {
        CHECK_STATUS(store->setMetadata(bad), RTD_INVALID_ARGUMENT);
        CHECK_STATUS(Store::create(disk(), directory / "t", smallConfig(), bad, "{}"), RTD_INVALID_ARGUMENT);
        CHECK_STATUS(Store::create(disk(), directory / "t", smallConfig(), "{}", bad), RTD_INVALID_ARGUMENT);
    }
    CHECK_EQUAL(readManifest(reopen(directory / "s")->manifestText()).metadata, "{\"b\":2}");
    const std::string huge = "{\"a\":\"" + std::string(kMaxManifestBytes, 'x') + "\"}";
    CHECK_STATUS(store->setMetadata(huge), RTD_INVALID_ARGUMENT);
    CHECK_STATUS(Store::create(disk(), directory / "t", smallConfig(), huge, "{}"), RTD_INVALID_ARGUMENT);
    CHECK_STATUS(reopen(directory / "t"), RTD_NOT_FOUND);
}

TEST("store: an append that is refused changes nothing") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    Batch(1, 3, 6).appendTo(*store);
    const std::string before = contentOf(*store);
    Batch bad(2, 3, 6);
    bad.keys[7] = std::numeric_limits<float>::quiet_NaN();
    CHECK_STATUS(bad.appendTo(*store), RTD_NOT_FINITE);
    bad = Batch(2, 3, 6);
    bad.tokens[2] = -1;
    CHECK_STATUS(bad.appendTo(*store), RTD_TOKEN_RANGE);
    CHECK_STATUS(Batch(2, 3, 5).appendTo(*store), RTD_INVALID_ARGUMENT);
    const rtd_matrix endless{nullptr, size_t{1} << 40, 0, 0, RTD_F32}, tooMany{bad.keys.data(), size_t{1} << 33, 6, 0, RTD_F32};
    CHECK_STATUS(store->append(endless, nullptr, nullptr, nullptr, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_STATUS(store->append(tooMany, nullptr, nullptr, nullptr, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(contentOf(*store), before);
    CHECK_EQUAL(Batch(4, 3, 6).appendTo(*store), 3);
    const uint32_t id = 3;
    uint32_t example, position;
    store->origins(&id, 1, &example, &position);
    CHECK_EQUAL(example, 4000);
    CHECK_EQUAL(position, Batch(4, 3, 6).positions[0]);
    store->seal({});
    CHECK_EQUAL(contentOf(disk(), directory / "s"), contentOf(*store));
}

TEST("store: a store that is closed or read-only says so, and its index lives on") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    Batch(1, 5, 6).appendTo(*store);
    store->seal({});
    const auto reader = reopen(directory / "s");
    const uint32_t id = 0;
    CHECK_STATUS(Batch(1, 1, 6).appendTo(*reader), RTD_READ_ONLY);
    CHECK_STATUS(reader->seal({}), RTD_READ_ONLY);
    CHECK_STATUS(reader->remove(&id, 1), RTD_READ_ONLY);
    CHECK_STATUS(reader->setMetadata("{}"), RTD_READ_ONLY);

    const auto index = store->index();
    store->close();
    store->close();
    CHECK_STATUS(Batch(1, 1, 6).appendTo(*store), RTD_CLOSED);
    CHECK_STATUS(store->seal({}), RTD_CLOSED);
    CHECK_STATUS(store->remove(&id, 1), RTD_CLOSED);
    CHECK_STATUS(store->setMetadata("{}"), RTD_CLOSED);
    CHECK_STATUS(store->index(), RTD_CLOSED);
    CHECK_STATUS(store->manifestText(), RTD_CLOSED);
    CHECK_STATUS(store->origins(&id, 1, nullptr, nullptr), RTD_CLOSED);
    CHECK_STATUS(store->verify([](auto&&...) {}, {}), RTD_CLOSED);
    std::vector<float> key(6);
    index->keysOf(&id, 1, key.data());
    CHECK_EQUAL(key[0], Batch(1, 5, 6).keys[0]);
}

TEST("store: origins of unknown ids") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    store->origins(nullptr, 0, nullptr, nullptr);
    Batch(1, 5, 6).appendTo(*store);
    store->seal({});
    const Batch pending(2, 5, 6);
    pending.appendTo(*store);
    const uint32_t ids[] = {9, 0, 5}, unknown[] = {0, 10};
    uint32_t examples[3], positions[3];
    store->origins(ids, 3, examples, positions);
    CHECK_EQUAL(examples[0], 2004);
    CHECK_EQUAL(examples[1], 1000);
    CHECK_EQUAL(examples[2], 2000);
    CHECK_EQUAL(positions[0], pending.positions[4]);
    CHECK_STATUS(store->origins(unknown, 2, examples, positions), RTD_UNKNOWN_ID);
}

TEST("store: cancelling a seal leaves everything as it was") {
    const TemporaryDirectory directory;
    const auto store = Store::create(disk(), directory / "s", smallConfig(), "{}", "{}");
    Batch(1, 500, 6).appendTo(*store);
    const std::string before = contentOf(*store);
    int asked = 0;
    const auto stopAt = [](void* context) { return --*static_cast<int*>(context) == 0 ? 1 : 0; };
    for (int stop = 1; stop < 10000; ++stop) {
        asked = stop;
        const rtd_status status = statusOf([&] { store->seal({.shouldStop = stopAt, .context = &asked}); });
        if (status == RTD_OK) {
            CHECK(stop > 5);  // it did ask on the way
            CHECK_EQUAL(contentOf(disk(), directory / "s"), contentOf(*store));
            return;
        }
        CHECK_EQUAL(status, RTD_CANCELLED);
        CHECK_EQUAL(contentOf(*store), before);
    }
    CHECK(false);
}

}  // namespace
}  // namespace rtd::store
