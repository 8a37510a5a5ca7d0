// rtd_store_* as a program in C sees it.
#include <cstring>
#include <string>
#include <vector>

#include "rtd.h"
#include "store/fixture.h"

namespace {

using rtd::store::Batch;
using rtd::store::TemporaryDirectory;

#define CHECK_OK(call)                                                                                            \
    do {                                                                                                          \
        if ((call) != RTD_OK) test::fail(__FILE__, __LINE__, std::string(#call) + " fails: " + rtd_last_error()); \
    } while (false)

rtd_store_options options() {
    rtd_store_options given{};
    given.struct_size = sizeof given;
    given.dim = 6;
    given.dtype = RTD_F16;
    given.threads = 1;
    return given;
}

rtd_store_open_options writable() {
    rtd_store_open_options given{};
    given.struct_size = sizeof given;
    given.writable = 1;
    given.threads = 1;
    return given;
}

rtd_status append(rtd_store* store, const Batch& batch, uint32_t* first = nullptr) {
    const auto matrix = batch.matrix();
    return rtd_store_append(store, &matrix, batch.tokens.data(), batch.namespaces.data(), batch.examples.data(), batch.positions.data(), matrix.rows,
                            first);
}

TEST("abi: a store from creation to reopening") {
    const TemporaryDirectory directory;
    const std::string path = directory / "s";
    auto given = options();
    given.model = "{\"name\":\"m\"}";
    rtd_store* store = nullptr;
    CHECK_OK(rtd_store_create(path.c_str(), &given, &store));
    uint32_t first = 9;
    CHECK_OK(append(store, Batch(1, 5, 6), &first));
    CHECK_EQUAL(first, 0);
    CHECK_OK(append(store, Batch(2, 3, 6), &first));
    CHECK_EQUAL(first, 5);
    CHECK_OK(rtd_store_seal(store, nullptr));
    const uint32_t ids[] = {6, 0};
    CHECK_OK(rtd_store_remove(store, ids, 2));
    CHECK_OK(rtd_store_set_metadata(store, "{\"a\":1}"));
    uint32_t examples[2], positions[2];
    CHECK_OK(rtd_store_origins(store, ids, 2, examples, positions));
    CHECK_EQUAL(examples[0], 2001);
    CHECK_EQUAL(examples[1], 1000);

    rtd_index* index = nullptr;
    CHECK_OK(rtd_store_index(store, &index));
    const auto matrix = Batch(3, 1, 6).matrix();
    const int32_t token = 1;
    CHECK_EQUAL(rtd_index_add(index, &matrix, &token, nullptr, nullptr), RTD_READ_ONLY);
    CHECK_EQUAL(rtd_index_remove(index, ids, 1), RTD_READ_ONLY);
    CHECK_EQUAL(rtd_index_seal(index, nullptr), RTD_READ_ONLY);
    rtd_index_info info{};
    info.struct_size = sizeof info;
    CHECK_OK(rtd_index_get_info(index, &info));
    CHECK_EQUAL(info.entries, 8);
    CHECK_EQUAL(info.live, 6);
    CHECK_EQUAL(info.sealed, 8);

    const char* json = nullptr;
    CHECK_OK(rtd_store_manifest(store, &json));
    CHECK(std::strstr(json, "\"model\":{\"name\":\"m\"}") && std::strstr(json, "\"metadata\":{\"a\":1}"));
    CHECK_EQUAL(std::string(json), rtd::store::readFile(path + "/manifest.json"));

    rtd_index_retain(index);
    CHECK_OK(rtd_store_close(store));
    CHECK_EQUAL(rtd_store_seal(store, nullptr), RTD_CLOSED);
    CHECK_EQUAL(rtd_store_index(store, &index), RTD_CLOSED);
    CHECK_EQUAL(append(store, Batch(1, 1, 6)), RTD_CLOSED);
    rtd_store_release(store);
    CHECK_OK(rtd_index_get_info(index, &info));
    CHECK_EQUAL(info.live, 6);
    rtd_index_release(index);

    CHECK_OK(rtd_store_open(path.c_str(), nullptr, &store));
    CHECK_OK(rtd_store_index(store, &index));
    CHECK_OK(rtd_index_get_info(index, &info));
    CHECK_EQUAL(info.live, 6);
    CHECK_EQUAL(append(store, Batch(1, 1, 6)), RTD_READ_ONLY);
    rtd_store_retain(store);
    rtd_store_release(store);
    CHECK_OK(rtd_store_origins(store, ids, 1, nullptr, positions));
    rtd_store_release(store);
}

TEST("abi: verify reports every file") {
    const TemporaryDirectory directory;
    const std::string path = directory / "s", segment = path + "/segment-000002.safetensors";
    auto given = options();
    given.cascade = RTD_CASCADE_OFF;
    rtd_store* store = nullptr;
    CHECK_OK(rtd_store_create(path.c_str(), &given, &store));
    for (uint32_t i = 0; i < 3; ++i) {
        CHECK_OK(append(store, Batch(i, 3, 6)));
        CHECK_OK(rtd_store_seal(store, nullptr));
    }
    std::vector<std::string> reports;
    const auto report = [](void* context, const char* file, rtd_status status, const char* message) {
        static_cast<std::vector<std::string>*>(context)->push_back(std::string(file) + " " + rtd_status_name(status) + (*message ? " !" : ""));
    };
    CHECK_OK(rtd_store_verify(store, report, &reports, nullptr));
    CHECK_EQUAL(reports.size(), 4);
    CHECK_OK(rtd_store_verify(store, nullptr, nullptr, nullptr));
    std::string bytes = rtd::store::readFile(segment);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    rtd::store::writeFile(segment, bytes);
    reports.clear();
    CHECK_EQUAL(rtd_store_verify(store, report, &reports, nullptr), RTD_CHECKSUM);
    CHECK(std::strstr(rtd_last_error(), segment.c_str()));
    CHECK_EQUAL(reports.size(), 4);
    CHECK_EQUAL(reports[2], "segment-000002.safetensors checksum !");
    rtd_store_release(store);

    rtd::store::writeFile(segment, bytes.substr(0, 100));
    reports.clear();
    CHECK_EQUAL(rtd_store_verify_path(path.c_str(), report, &reports, nullptr), RTD_TRUNCATED);
    CHECK_EQUAL(reports.size(), 4);
    CHECK_EQUAL(reports[2], "segment-000002.safetensors truncated !");
    CHECK_EQUAL(rtd_store_verify_path((path + "/none").c_str(), report, &reports, nullptr), RTD_NOT_FOUND);
    CHECK_EQUAL(rtd_store_verify_path(nullptr, report, &reports, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(reports.size(), 4);
    rtd::store::writeFile(segment, bytes);

    CHECK_EQUAL(rtd_store_open(path.c_str(), nullptr, &store), RTD_CHECKSUM);
    CHECK(std::strstr(rtd_last_error(), segment.c_str()));
    auto unchecked = writable();
    unchecked.skip_checksums = 1;
    CHECK_OK(rtd_store_open(path.c_str(), &unchecked, &store));
    rtd_store_release(store);
}

TEST("abi: arguments that are refused") {
    const TemporaryDirectory directory;
    const std::string path = directory / "s";
    auto given = options();
    rtd_store* store = nullptr;
    rtd_index* index = nullptr;
    CHECK_EQUAL(rtd_store_create(nullptr, &given, &store), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(rtd_store_create(path.c_str(), nullptr, &store), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(rtd_store_create(path.c_str(), &given, nullptr), RTD_INVALID_ARGUMENT);
    for (const auto& change : std::vector<void (*)(rtd_store_options&)>{
             [](rtd_store_options& o) { o.struct_size = 0; }, [](rtd_store_options& o) { o.dim = 0; },
             [](rtd_store_options& o) { o.dim = RTD_MAX_DIM + 1; }, [](rtd_store_options& o) { o.heads = 4; },
             [](rtd_store_options& o) { o.dtype = static_cast<rtd_dtype>(3); }, [](rtd_store_options& o) { o.metric = static_cast<rtd_metric>(3); },
             [](rtd_store_options& o) { o.model = "[]"; }, [](rtd_store_options& o) { o.metadata = "{"; }}) {
        auto bad = options();
        change(bad);
        CHECK_EQUAL(rtd_store_create(path.c_str(), &bad, &store), RTD_INVALID_ARGUMENT);
    }
    auto bad = options();
    bad.backend = "abacus";
    CHECK_EQUAL(rtd_store_create(path.c_str(), &bad, &store), RTD_UNSUPPORTED);
    CHECK_EQUAL(rtd_store_open(path.c_str(), nullptr, &store), RTD_NOT_FOUND);
    CHECK_EQUAL(rtd_store_open(nullptr, nullptr, &store), RTD_INVALID_ARGUMENT);
    CHECK(!store);

    CHECK_OK(rtd_store_create(path.c_str(), &given, &store));
    const Batch batch(1, 2, 6);
    const auto matrix = batch.matrix();
    CHECK_EQUAL(rtd_store_append(store, &matrix, batch.tokens.data(), nullptr, nullptr, nullptr, 3, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(rtd_store_append(store, &matrix, nullptr, nullptr, nullptr, nullptr, 2, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(rtd_store_append(store, nullptr, batch.tokens.data(), nullptr, nullptr, nullptr, 2, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(rtd_store_append(nullptr, &matrix, batch.tokens.data(), nullptr, nullptr, nullptr, 2, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(rtd_store_remove(store, nullptr, 1), RTD_INVALID_ARGUMENT);
    CHECK_OK(rtd_store_remove(store, nullptr, 0));
    CHECK_EQUAL(rtd_store_origins(store, nullptr, 1, nullptr, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(rtd_store_set_metadata(store, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(rtd_store_manifest(store, nullptr), RTD_INVALID_ARGUMENT);
    CHECK_EQUAL(rtd_store_index(store, nullptr), RTD_INVALID_ARGUMENT);
    for (const auto status : {rtd_store_seal(nullptr, nullptr), rtd_store_close(nullptr), rtd_store_index(nullptr, &index),
                              rtd_store_verify(nullptr, nullptr, nullptr, nullptr)})
        CHECK_EQUAL(status, RTD_INVALID_ARGUMENT);
    rtd_store_retain(nullptr);
    rtd_store_release(nullptr);

    // Origins and namespaces that are not given are 0.
    CHECK_OK(rtd_store_append(store, &matrix, batch.tokens.data(), nullptr, nullptr, nullptr, 2, nullptr));
    CHECK_OK(rtd_store_seal(store, nullptr));
    const uint32_t ids[] = {0, 1};
    uint32_t examples[] = {7, 7}, positions[] = {7, 7}, namespaces[] = {7, 7};
    CHECK_OK(rtd_store_origins(store, ids, 2, examples, positions));
    CHECK_OK(rtd_store_index(store, &index));
    CHECK_OK(rtd_index_entries(index, ids, 2, nullptr, namespaces, nullptr));
    for (int i = 0; i < 2; ++i) CHECK(examples[i] == 0 && positions[i] == 0 && namespaces[i] == 0);
    rtd_store_release(store);
}

}  // namespace
