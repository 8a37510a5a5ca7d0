// The space a store is searched in: changed and back, on disk and in memory, with nothing lost of the keys as they were appended.
#include <algorithm>

#include "index/search.h"
#include "store/fake_file_system.h"
#include "store/fixture.h"

namespace rtd::store {
namespace {

constexpr char kPath[] = "s";

std::unique_ptr<Store> create(FileSystem& files, Dtype dtype = Dtype::f16) { return Store::create(files, kPath, smallConfig(6, dtype), "{}", "{}"); }

std::unique_ptr<Store> openStore(FileSystem& files, bool writable = false, bool skipChecksums = false) {
    return Store::open(files, kPath, {.writable = writable, .skipChecksums = skipChecksums, .threads = 1});
}

std::vector<std::string> namesOf(FakeFileSystem& files, const std::string& prefix) {
    std::vector<std::string> names;
    for (const std::string& name : files.names(kPath))
        if (name.starts_with(prefix)) names.push_back(name);
    return names;
}

std::vector<uint64_t> hitsOf(const Index& index, const float* queries, uint32_t count, uint32_t k) {
    SearchRow row;
    row.k = k;
    const HitLists lists = search(index, index.snapshot(), queries, std::vector<SearchRow>(count, row), {});
    std::vector<uint64_t> hits;
    for (uint32_t r = 0; r < count * index.config().heads; ++r) hits.insert(hits.end(), lists.row(r).begin(), lists.row(r).end());
    return hits;
}

// What a store should find: an index without a transform, over keys that went through it one at a time beforehand.
void checkAgainstImages(const Store& store, const Transform& transform) {
    const auto index = store.index();
    const uint32_t entries = index->snapshot().entries;
    std::vector<uint32_t> ids(entries);
    for (uint32_t id = 0; id < entries; ++id) ids[id] = id;
    std::vector<float> keys(size_t{entries} * 6), images(size_t{entries} * transform.outputDim());
    store.keysOf(ids.data(), entries, keys.data());
    const cpu::Backend& backend = index->backend();
    for (uint32_t id = 0; id < entries; ++id) transform.apply(backend, &keys[size_t{id} * 6], 1, &images[size_t{id} * transform.outputDim()]);

    IndexConfig config = smallConfig(transform.outputDim(), index->config().dtype);
    config.heads = index->config().heads;
    const auto plain = Index::create(config);
    std::vector<int32_t> tokens(entries);
    const rtd_matrix matrix = {images.data(), entries, transform.outputDim(), 0, RTD_F32};
    plain->add(matrix, tokens.data(), nullptr);
    for (uint32_t id = 0; id < entries; ++id)
        if (!index->snapshot().isLive(id)) plain->remove(&id, 1);

    const Batch queries(123, 5, 6);
    std::vector<float> asked(size_t{5} * transform.outputDim());
    transform.apply(backend, queries.keys.data(), 5, asked.data());
    CHECK(hitsOf(*index, asked.data(), 5, 40) == hitsOf(*plain, asked.data(), 5, 40));
}

TEST("space: a store searches the images of its keys, and keeps the keys") {
    for (const Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::bf16}) {
        for (const auto& transform : {smallMatrix(3), smallMatrix(11), smallScale()}) {
            FakeFileSystem files;
            const auto store = create(files, dtype);
            Batch(1, 90, 6).appendTo(*store);
            store->seal({});
            Batch(2, 31, 6).appendTo(*store);  // pending when the space is set
            std::vector<uint32_t> ids(121);
            for (uint32_t id = 0; id < 121; ++id) ids[id] = id;
            store->remove(&ids[5], 1);
            std::vector<float> before(121 * 6), after(121 * 6);
            store->keysOf(ids.data(), 121, before.data());
            const auto old = store->index();
            const auto oldHits = hitsOf(*old, before.data(), 3, 20);

            store->setSpace(0, transform, {});
            CHECK(store->index() != old);
            CHECK_EQUAL(store->index()->config().dim, transform->outputDim());
            CHECK_EQUAL(store->index()->config().givenDim(), 6u);
            CHECK(hitsOf(*old, before.data(), 3, 20) == oldHits);  // whoever has it goes on
            store->keysOf(ids.data(), 121, after.data());
            CHECK(before == after);
            checkAgainstImages(*store, *transform);
            CHECK_EQUAL(contentOf(files, kPath), contentOf(*store));

            Batch(3, 17, 6).appendTo(*store);
            checkAgainstImages(*store, *transform);
            Batch(4, 9, 6).appendTo(*store);
            store->remove(&ids[120], 1);
            store->seal({});
            checkAgainstImages(*store, *transform);
            CHECK_EQUAL(namesOf(files, "transformed-").size(), 3u);
            CHECK_EQUAL(contentOf(files, kPath), contentOf(*store));
            CHECK_EQUAL(contentOf(files, kPath, true), contentOf(*store));
            store->verify([](const std::string&, rtd_status, const std::string&) {}, {});

            store->setSpace(0, nullptr, {});
            CHECK(namesOf(files, "transform").empty());
            CHECK_EQUAL(store->index()->config().dim, 6u);
            CHECK_EQUAL(contentOf(files, kPath), contentOf(*store));
        }
    }
}

TEST("space: heads go with a scale, not with a matrix; what is refused changes nothing") {
    FakeFileSystem files;
    const auto store = create(files);
    Batch(1, 30, 6).appendTo(*store);
    store->setSpace(3, smallScale(), {});
    CHECK_EQUAL(store->index()->config().heads, 3u);
    checkAgainstImages(*store, *smallScale());
    const std::string content = contentOf(*store);
    const auto names = files.names(kPath);
    CHECK_STATUS(store->setSpace(2, smallMatrix(4), {}), RTD_INVALID_ARGUMENT);
    CHECK_STATUS(store->setSpace(4, smallScale(), {}), RTD_INVALID_ARGUMENT);  // 6 dimensions
    CHECK_STATUS(store->setSpace(1, Transform::make(RTD_TRANSFORM_SCALE, 5, std::vector<float>(5), std::vector<float>(5)), {}), RTD_INVALID_ARGUMENT);
    std::vector<float> large(6, 1e6f);
    CHECK_STATUS(store->setSpace(1, Transform::make(RTD_TRANSFORM_SCALE, 6, std::vector<float>(6), large), {}), RTD_NOT_FINITE);  // beyond float16
    CHECK_EQUAL(contentOf(*store), content);
    CHECK_EQUAL(contentOf(files, kPath), content);
    CHECK(files.names(kPath) == names);
    CHECK_STATUS(openStore(files)->setSpace(1, nullptr, {}), RTD_READ_ONLY);
}

TEST("space: transformed keys that are missing or damaged are made anew; a transform that is, is an error") {
    FakeFileSystem files;
    std::string content;
    {
        const auto store = create(files);
        for (uint32_t i = 0; i < 3; ++i) {
            Batch(i, 20 + i, 6).appendTo(*store);
            store->seal({});
        }
        store->setSpace(1, smallMatrix(4), {});
        content = contentOf(*store);
    }
    const std::string name = namesOf(files, "transformed-")[1], whole = files.content(kPath, name);
    for (size_t at = 0; at <= whole.size(); at += 3) {
        std::string damaged = whole.substr(0, at);
        if (at % 2 == 0 && at < whole.size()) {
            damaged = whole;
            damaged[at] = static_cast<char>(damaged[at] ^ 64);
        }
        if (damaged == whole) continue;
        files.setContent(kPath, name, damaged);
        CHECK_EQUAL(contentOf(files, kPath), content);
        openStore(files, false, true);  // believed without its checksum: other hits, and no more than that
    }
    files.erase(kPath, name);
    CHECK_EQUAL(contentOf(files, kPath), content);
    {
        const auto writer = openStore(files, true);
        writer->seal({});
        CHECK_EQUAL(namesOf(files, "transformed-").size(), 3u);
        CHECK_EQUAL(contentOf(*writer), content);
    }
    CHECK_EQUAL(contentOf(files, kPath), content);
    openStore(files)->verify([](const std::string&, rtd_status, const std::string&) {}, {});

    const std::string transform = namesOf(files, "transform-").front(), numbers = files.content(kPath, transform);
    for (size_t at = 0; at < numbers.size(); ++at) {
        std::string damaged = numbers;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        files.setContent(kPath, transform, damaged);
        const rtd_status status = statusOf([&] { openStore(files); });
        CHECK(status == RTD_CHECKSUM || status == RTD_BAD_FORMAT);  // a header that makes no sense is found first
        files.setContent(kPath, transform, numbers.substr(0, at));
        CHECK_STATUS(openStore(files), RTD_TRUNCATED);
    }
    files.erase(kPath, transform);
    CHECK_STATUS(openStore(files), RTD_NOT_FOUND);
}

TEST("space: manifests with forged transforms are refused") {
    FakeFileSystem files;
    const auto store = create(files);
    Batch(1, 20, 6).appendTo(*store);
    store->setSpace(1, smallMatrix(4), {});
    const Manifest good = readManifest(files.content(kPath, kManifestName));
    const auto refuse = [&](const auto& change) {
        Manifest bad = good;
        change(bad);
        CHECK_STATUS(readManifest(writeManifest(bad)), RTD_BAD_FORMAT);
    };
    refuse([](Manifest& m) { m.transform->name = "transform-1.safetensors"; });
    refuse([](Manifest& m) { m.transform->name = "../transform-000001.safetensors"; });
    refuse([](Manifest& m) { m.transform->entries = 0; });
    refuse([](Manifest& m) { m.transform->entries = 70000; });
    refuse([](Manifest& m) { m.transform->isMatrix = false; });  // makes 4 dimensions of 6
    refuse([](Manifest& m) { m.heads = 2; });
    refuse([](Manifest& m) { m.transformed[0].entries = 19; });
    refuse([](Manifest& m) { m.transformed[0].first = 1; });
    refuse([](Manifest& m) { m.transformed.push_back(m.transformed[0]); });
    refuse([](Manifest& m) { m.transformed[0].name = "derived-000002.safetensors"; });

    // Numbers that are not finite, with a right checksum.
    const std::string name = good.transform->name;
    std::string bytes = files.content(kPath, name);
    const float infinite = std::numeric_limits<float>::infinity();
    std::memcpy(&bytes[bytes.size() - 4], &infinite, 4);
    Manifest forged = good;
    forged.transform->checksum = checksumOf(bytes);
    files.setContent(kPath, name, bytes);
    files.setContent(kPath, kManifestName, writeManifest(forged));
    CHECK_STATUS(openStore(files), RTD_BAD_FORMAT);
}

TEST("space: where there is room for the entries alone, memory serves; the next seal writes the transformed keys") {
    for (uint64_t at = 1; at < 200; ++at) {
        FakeFileSystem files;
        const auto store = create(files);
        Batch(1, 40, 6).appendTo(*store);
        store->setSpace(1, smallMatrix(5), {});
        Batch(2, 40, 6).appendTo(*store);
        files.setFault({at, Fault::once, RTD_NO_SPACE});
        const rtd_status status = statusOf([&] { store->seal({}); });
        const auto& operations = files.operations();
        const bool isReached = operations.size() >= at, isDerived = isReached && operations[at - 1].find("transformed-") != std::string::npos;
        files.setFault({});
        if (isDerived) {
            CHECK_EQUAL(status, RTD_OK);
            CHECK_EQUAL(contentOf(files, kPath), contentOf(*store));
            checkAgainstImages(*store, *smallMatrix(5));
        }
        store->seal({});
        CHECK_EQUAL(namesOf(files, "transformed-").size(), 2u);
        CHECK_EQUAL(contentOf(files, kPath), contentOf(*store));
        if (!isReached) return;
    }
    CHECK(false);
}

}  // namespace
}  // namespace rtd::store
