// Every error of the C interface: its status, what its message names, and that nothing was changed.
#include <cmath>
#include <cstdlib>
#include <limits>
#include <thread>

#include "case.h"
#include "core/memory.h"
#include "harness.h"
#include "index/entries.h"

namespace {

// The status, and a message that holds every one of the words.
void checkError(rtd_status status, rtd_status want, std::initializer_list<const char*> words) {
    const std::string message = rtd_last_error();
    if (status != want) throw test::Failure(std::string("returned ") + rtd_status_name(status) + ", not " + rtd_status_name(want) + ": " + message);
    for (const char* word : words)
        if (message.find(word) == std::string::npos) throw test::Failure("no \"" + std::string(word) + "\" in: " + message);
}
#define CHECK_ERROR(call, want, ...) checkError((call), (want), {__VA_ARGS__})

class Environment {
  public:
    Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
    ~Environment() { unsetenv(name_); }

  private:
    const char* name_;
};

// A good search-and-fuse call that each test spoils in one way.
struct Call {
    Call() : index(indexOptions(4, RTD_L2, RTD_F32, 2, "serial", 1)) {
        const rtd_matrix matrix = matrixOf(keys, 4);
        const int32_t tokens[] = {1, 2, 9};
        CHECK_OK(rtd_index_add(index, &matrix, tokens, nullptr, nullptr));
    }
    rtd_status search() { return rtd_search(index, &queries, rows.data(), rowCount, &options, &hits); }
    rtd_status fuse() { return rtd_search_and_fuse(index, &queries, &logits, rows.data(), rowCount, &options, &hits, nullptr); }

    TestIndex index;
    std::vector<float> keys = {1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9}, queryValues = {1, 2, 3, 4, 5, 6, 7, 8},
                       logitValues = std::vector<float>(20, 0.5f);
    std::vector<rtd_row_options> rows = {rowOptions(2, 0.5f, 1), rowOptions(2, 0.5f, 1)};
    size_t rowCount = 2;
    rtd_matrix queries = matrixOf(queryValues, 4);
    rtd_mutable_matrix logits = mutableMatrixOf(logitValues, 10);
    std::vector<uint32_t> ids = std::vector<uint32_t>(8, 77);
    rtd_hits hits = {ids.data(), nullptr, nullptr, nullptr, 2};
    rtd_call_options options = {sizeof(rtd_call_options), 1, nullptr, nullptr, RTD_MEMORY_HOST, nullptr, nullptr, nullptr};
};

// Both calls fail alike and write nothing.
template <typename Spoil>
void checkSpoilt(rtd_status want, std::initializer_list<const char*> words, Spoil spoil) {
    Call call;
    spoil(call);
    checkError(call.search(), want, words);
    checkError(call.fuse(), want, words);
    CHECK_SAME_BITS(call.ids, std::vector<uint32_t>(8, 77));
    CHECK_SAME_BITS(call.logitValues, std::vector<float>(20, 0.5f));
}

template <typename Spoil>
void checkFuseSpoilt(rtd_status want, std::initializer_list<const char*> words, Spoil spoil) {
    Call call;
    spoil(call);
    checkError(call.fuse(), want, words);
    CHECK_SAME_BITS(call.ids, std::vector<uint32_t>(8, 77));
    CHECK_SAME_BITS(call.logitValues, std::vector<float>(20, 0.5f));
}

TEST("the good call is good") {
    Call call;
    CHECK_OK(call.search());
    CHECK_OK(call.fuse());
    CHECK_SAME_BITS(call.ids, (std::vector<uint32_t>{0, 1, 0, 1, 1, 2, 1, 2}));
}

TEST("errors of creating an index") {
    rtd_index* index = nullptr;
    rtd_index_options o = indexOptions(4);
    CHECK_ERROR(rtd_index_create(nullptr, &index), RTD_INVALID_ARGUMENT, "options is NULL");
    CHECK_ERROR(rtd_index_create(&o, nullptr), RTD_INVALID_ARGUMENT, "index is NULL");
    o = indexOptions(0);
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_INVALID_ARGUMENT, "dim is 0", "1..65536");
    o = indexOptions(65537);
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_INVALID_ARGUMENT, "dim is 65537");
    o = indexOptions(10, RTD_L2, RTD_F32, 3);
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_INVALID_ARGUMENT, "dim is 10", "heads is 3", "multiple");
    o = indexOptions(4, RTD_L2, RTD_F32, 1, nullptr, 257);
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_INVALID_ARGUMENT, "threads is 257", "0..256");
    o = indexOptions(4);
    const uint32_t wrong = 3;
    std::memcpy(&o.metric, &wrong, sizeof wrong);
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_INVALID_ARGUMENT, "metric is 3", "RTD_DOT");
    o = indexOptions(4);
    std::memcpy(&o.dtype, &wrong, sizeof wrong);
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_INVALID_ARGUMENT, "dtype is 3", "RTD_BF16");
    o = indexOptions(4);
    o.struct_size = 0;
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_INVALID_ARGUMENT, "struct_size is 0", "sizeof");
    o.struct_size = 1u << 20;
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_INVALID_ARGUMENT, "struct_size is 1048576");
    struct {
        rtd_index_options known = indexOptions(4);
        uint64_t later = 0;
    } newer;
    newer.known.struct_size = sizeof newer;
    CHECK_OK(rtd_index_create(&newer.known, &index));
    rtd_index_release(index);
    newer.later = 1;
    CHECK_ERROR(rtd_index_create(&newer.known, &index), RTD_UNSUPPORTED, "does not know");
}

TEST("errors of choosing a back end") {
    rtd_index* index = nullptr;
    rtd_index_options o = indexOptions(4, RTD_L2, RTD_F32, 1, "quantum");
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_UNSUPPORTED, "\"quantum\"", "usable", "serial");
    o.backend = "cuda";
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_UNSUPPORTED, "\"cuda\"", "serial");
    const rtd_backend_info* list;
    size_t count, defaults = 0;
    CHECK_OK(rtd_backends(&list, &count));
    for (size_t i = 0; i < count; ++i) {
        CHECK(list[i].reason[0] != 0);
        defaults += static_cast<size_t>(list[i].is_default);
        o.backend = list[i].name;
        if (list[i].usable) {
            const TestIndex usable(o);
            continue;
        }
        CHECK_ERROR(rtd_index_create(&o, &index), RTD_UNSUPPORTED, list[i].name, list[i].reason);
    }
    CHECK_EQUAL(defaults, 1u);
    CHECK_ERROR(rtd_backends(nullptr, &count), RTD_INVALID_ARGUMENT, "list");
    CHECK_ERROR(rtd_backends(&list, nullptr), RTD_INVALID_ARGUMENT, "count");

    const Environment wrong("RTD_BACKEND", "fastest");
    o.backend = nullptr;
    CHECK_ERROR(rtd_index_create(&o, &index), RTD_UNSUPPORTED, "\"fastest\"", "RTD_BACKEND");
    o.backend = "serial";
    const TestIndex named(o);  // an explicit name wins
    const Environment serial("RTD_BACKEND", "serial");
    o.backend = "auto";
    const TestIndex chosen(o);
    rtd_index_info info{};
    info.struct_size = sizeof info;
    CHECK_OK(rtd_index_get_info(chosen, &info));
    CHECK_EQUAL(std::string(info.backend), "serial");
}

TEST("RTD_THREADS is the number of threads, or an error") {
    rtd_index* index = nullptr;
    const rtd_index_options o = indexOptions(4);
    for (const char* text : {"0", "257", "many", "3 "}) {
        const Environment threads("RTD_THREADS", text);
        CHECK_ERROR(rtd_index_create(&o, &index), RTD_INVALID_ARGUMENT, "RTD_THREADS", text);
    }
    const Environment threads("RTD_THREADS", "7");
    const TestIndex seven(o);
    rtd_index_info info{};
    info.struct_size = sizeof info;
    CHECK_OK(rtd_index_get_info(seven, &info));
    CHECK_EQUAL(info.threads, 7u);
}

TEST("errors of adding") {
    const TestIndex index(indexOptions(2, RTD_L2, RTD_F16));
    std::vector<float> values = {1, 2, 3, 4};
    const int32_t tokens[] = {1, 2};
    rtd_matrix keys = matrixOf(values, 2);
    CHECK_ERROR(rtd_index_add(nullptr, &keys, tokens, nullptr, nullptr), RTD_INVALID_ARGUMENT, "index is NULL");
    CHECK_ERROR(rtd_index_add(index, nullptr, tokens, nullptr, nullptr), RTD_INVALID_ARGUMENT, "keys is NULL");
    CHECK_ERROR(rtd_index_add(index, &keys, nullptr, nullptr, nullptr), RTD_INVALID_ARGUMENT, "tokens is NULL");
    for (const float bad : {NAN, INFINITY, 65520.0f, -1e30f}) {
        values[3] = bad;
        CHECK_ERROR(rtd_index_add(index, &keys, tokens, nullptr, nullptr), RTD_NOT_FINITE, "key 1", "dimension 1", "f16");
    }
    values[3] = 65519;
    CHECK_OK(rtd_index_add(index, &keys, tokens, nullptr, nullptr));
    const int32_t negative[] = {0, -5};
    CHECK_ERROR(rtd_index_add(index, &keys, negative, nullptr, nullptr), RTD_TOKEN_RANGE, "token 1 is -5");
    keys.columns = 3;
    CHECK_ERROR(rtd_index_add(index, &keys, tokens, nullptr, nullptr), RTD_INVALID_ARGUMENT, "3 columns", "dim 2");
    keys = {nullptr, 2, 2, 0, RTD_F32};
    CHECK_ERROR(rtd_index_add(index, &keys, tokens, nullptr, nullptr), RTD_INVALID_ARGUMENT, "data is NULL", "2 rows");
    keys = {reinterpret_cast<const char*>(values.data()) + 1, 1, 2, 0, RTD_F16};
    CHECK_ERROR(rtd_index_add(index, &keys, tokens, nullptr, nullptr), RTD_INVALID_ARGUMENT, "aligned", "2 bytes");
    keys = {values.data(), SIZE_MAX / 4, 2, 0, RTD_F32};
    CHECK_ERROR(rtd_index_add(index, &keys, tokens, nullptr, nullptr), RTD_INVALID_ARGUMENT, "memory");
    keys = {values.data(), 2, 2, SIZE_MAX / 2, RTD_F32};
    CHECK_ERROR(rtd_index_add(index, &keys, tokens, nullptr, nullptr), RTD_INVALID_ARGUMENT, "memory");
    keys = {values.data(), size_t{1} << 33, 2, 0, RTD_F16};
    CHECK_ERROR(rtd_index_add(index, &keys, tokens, nullptr, nullptr), RTD_INVALID_ARGUMENT, "8589934592 entries", "at most 4294967295");
    keys = {nullptr, 0, 2, 0, RTD_F32};
    CHECK_OK(rtd_index_add(index, &keys, nullptr, nullptr, nullptr));
}

TEST("errors of ids") {
    Call call;
    const uint32_t unknown[] = {1, 3}, once[] = {1, 1};
    int32_t tokens[2];
    float keys[8];
    CHECK_ERROR(rtd_index_remove(call.index, unknown, 2), RTD_UNKNOWN_ID, "id 3", "never given", "3");
    CHECK_ERROR(rtd_index_remove(call.index, once, 2), RTD_UNKNOWN_ID, "id 1", "twice");
    CHECK_OK(rtd_index_remove(call.index, once, 1));
    CHECK_ERROR(rtd_index_remove(call.index, once, 1), RTD_UNKNOWN_ID, "id 1", "removed already");
    CHECK_ERROR(rtd_index_remove(call.index, nullptr, 1), RTD_INVALID_ARGUMENT, "ids is NULL");
    CHECK_ERROR(rtd_index_entries(call.index, unknown, 2, tokens, nullptr, nullptr), RTD_UNKNOWN_ID, "id 3");
    CHECK_ERROR(rtd_index_entries(call.index, nullptr, 2, tokens, nullptr, nullptr), RTD_INVALID_ARGUMENT, "ids is NULL");
    CHECK_ERROR(rtd_index_keys(call.index, unknown, 2, keys), RTD_UNKNOWN_ID, "id 3");
    CHECK_ERROR(rtd_index_keys(call.index, unknown, 1, nullptr), RTD_INVALID_ARGUMENT, "keys is NULL");
}

TEST("errors of queries") {
    checkSpoilt(RTD_NOT_FINITE, {"query 1", "dimension 3"}, [](Call& c) { c.queryValues[7] = NAN; });
    checkSpoilt(RTD_NOT_FINITE, {"query 0", "inf"}, [](Call& c) { c.queryValues[0] = INFINITY; });
    checkSpoilt(RTD_INVALID_ARGUMENT, {"2 columns", "dim 4"}, [](Call& c) { c.queries.columns = 2; });
    checkSpoilt(RTD_INVALID_ARGUMENT, {"bf16"}, [](Call& c) { c.queries.dtype = RTD_BF16; });
    checkSpoilt(RTD_INVALID_ARGUMENT, {"queries", "NULL"}, [](Call& c) { c.queries.data = nullptr; });
    checkSpoilt(RTD_INVALID_ARGUMENT, {"queries", "memory"}, [](Call& c) { c.queries.rows = SIZE_MAX / 3; });
    checkSpoilt(RTD_INVALID_ARGUMENT, {"at most 2147483648"}, [](Call& c) { c.queries.rows = size_t{1} << 40, c.rowCount = 1; });
}

TEST("errors of row options") {
    const auto row = [](auto change) { return [=](Call& c) { change(c.rows[1]); }; };
    checkSpoilt(RTD_INVALID_ARGUMENT, {"options 1", "k is 0", "1..2048"}, row([](auto& r) { r.k = 0; }));
    checkSpoilt(RTD_INVALID_ARGUMENT, {"k is 2049"}, row([](auto& r) { r.k = 2049; }));
    checkSpoilt(RTD_INVALID_ARGUMENT, {"max_distance is NaN"}, row([](auto& r) { r.flags = RTD_ROW_MAX_DISTANCE, r.max_distance = NAN; }));
    checkSpoilt(RTD_INVALID_ARGUMENT, {"flags is 0x10"}, row([](auto& r) { r.flags = 16; }));
    checkSpoilt(RTD_INVALID_ARGUMENT, {"namespaces is NULL", "is 3"}, row([](auto& r) { r.namespace_count = 3; }));
    static const uint32_t namespaces[65] = {};
    checkSpoilt(RTD_INVALID_ARGUMENT, {"seeds is NULL"}, row([](auto& r) { r.seed_count = 1; }));
    checkSpoilt(RTD_INVALID_ARGUMENT, {"seed_count is 2049", "at most 2048"}, row([](auto& r) { r.seed_count = 2049; }));
    checkSpoilt(RTD_INVALID_ARGUMENT, {"65 namespaces", "at most 64"}, row([](auto& r) { r.namespaces = namespaces, r.namespace_count = 65; }));
    checkSpoilt(RTD_INVALID_ARGUMENT, {"options 1", "struct_size is 4"}, row([](auto& r) { r.struct_size = 4; }));
    checkSpoilt(RTD_INVALID_ARGUMENT, {"struct_size is 0"}, [](Call& c) { c.rows[0].struct_size = 0; });
    checkSpoilt(RTD_INVALID_ARGUMENT, {"3 row options for 2 rows"}, [](Call& c) { c.rowCount = 3; });
    checkSpoilt(RTD_INVALID_ARGUMENT, {"room for 1", "row 0", "k = 2"}, [](Call& c) { c.hits.capacity = 1; });
    checkFuseSpoilt(RTD_INVALID_ARGUMENT, {"reference_weight is 1.5", "0..1"}, row([](auto& r) { r.reference_weight = 1.5f; }));
    checkFuseSpoilt(RTD_INVALID_ARGUMENT, {"reference_weight is -"}, row([](auto& r) { r.reference_weight = -1e-9f; }));
    checkFuseSpoilt(RTD_INVALID_ARGUMENT, {"reference_weight is"}, row([](auto& r) { r.reference_weight = NAN; }));
    for (const float t : {-1.0f, NAN, INFINITY}) checkFuseSpoilt(RTD_INVALID_ARGUMENT, {"temperature is"}, row([=](auto& r) { r.temperature = t; }));
    checkFuseSpoilt(RTD_NO_TEMPERATURE, {"row 1", "seal"}, row([](auto& r) { r.temperature = 0; }));
}

TEST("errors of logits and calls") {
    checkFuseSpoilt(RTD_TOKEN_RANGE, {"token 9", "9 columns"}, [](Call& c) { c.logits.columns = 9; });
    checkFuseSpoilt(RTD_INVALID_ARGUMENT, {"logits has 1 rows, not 2"}, [](Call& c) { c.logits.rows = 1; });
    checkFuseSpoilt(RTD_INVALID_ARGUMENT, {"logits cannot be bf16"}, [](Call& c) { c.logits.dtype = RTD_BF16; });
    checkFuseSpoilt(RTD_INVALID_ARGUMENT, {"row_stride is 9", "overlap"}, [](Call& c) { c.logits.row_stride = 9; });
    checkFuseSpoilt(RTD_INVALID_ARGUMENT, {"logits", "NULL"}, [](Call& c) { c.logits.data = nullptr; });
    checkSpoilt(RTD_INVALID_ARGUMENT, {"threads is 257"}, [](Call& c) { c.options.threads = 257; });
    checkSpoilt(RTD_INVALID_ARGUMENT, {"struct_size is 1"}, [](Call& c) { c.options.struct_size = 1; });
    checkSpoilt(RTD_CANCELLED, {"should_stop"}, [](Call& c) { c.options.should_stop = [](void*) { return 1; }; });
    Call call;
    CHECK_ERROR(rtd_search(call.index, nullptr, call.rows.data(), 2, nullptr, &call.hits), RTD_INVALID_ARGUMENT, "queries is NULL");
    CHECK_ERROR(rtd_search(call.index, &call.queries, nullptr, 2, nullptr, &call.hits), RTD_INVALID_ARGUMENT, "rows is NULL");
    CHECK_ERROR(rtd_search(call.index, &call.queries, call.rows.data(), 2, nullptr, nullptr), RTD_INVALID_ARGUMENT, "hits is NULL");
    CHECK_ERROR(rtd_search_and_fuse(call.index, &call.queries, nullptr, call.rows.data(), 2, nullptr, nullptr, nullptr), RTD_INVALID_ARGUMENT,
                "logits is NULL");
    CHECK_ERROR(rtd_index_get_info(call.index, nullptr), RTD_INVALID_ARGUMENT, "info is NULL");
}

TEST("a row that is skipped may hold anything") {
    Call call;
    call.rows[1] = {sizeof(rtd_row_options),
                    0,
                    -5,
                    NAN,
                    NAN,
                    RTD_ROW_SKIP | RTD_ROW_MAX_DISTANCE,
                    nullptr,
                    99,
                    7,
                    nullptr,
                    1 << 20,
                    nullptr,
                    nullptr,
                    5,
                    nullptr};
    call.queryValues[4] = NAN;
    CHECK_OK(call.fuse());
    CHECK_EQUAL(call.ids[4], RTD_NO_ID);
    CHECK_EQUAL(call.logitValues[19], 0.5f);
    CHECK(call.logitValues[1] != 0.5f);
}

TEST("an empty index needs no temperature") {
    const TestIndex index(indexOptions(2));
    std::vector<float> query = {1, 2}, logits = {1, 2, 3};
    const rtd_matrix queries = matrixOf(query, 2);
    const rtd_mutable_matrix matrix = mutableMatrixOf(logits, 3);
    const rtd_row_options row = rowOptions(1, 1);
    rtd_row_status status;
    CHECK_OK(rtd_search_and_fuse(index, &queries, &matrix, &row, 1, nullptr, nullptr, &status));
    CHECK_EQUAL(status, RTD_ROW_UNCHANGED);
}

TEST("errors of fusing foreign hits") {
    float distances[] = {1, 2};
    int32_t tokens[] = {0, 1};
    uint32_t counts[] = {2};
    std::vector<float> values = {1, 2, 3};
    rtd_mutable_matrix logits = mutableMatrixOf(values, 3);
    rtd_row_options row = rowOptions(0, 0.5f, 1);
    rtd_hits hits = {nullptr, distances, tokens, counts, 2};
    const auto fuse = [&] { return rtd_fuse(&hits, 1, &logits, &row, 1, nullptr); };
    CHECK_ERROR(rtd_fuse(nullptr, 1, &logits, &row, 1, nullptr), RTD_INVALID_ARGUMENT, "hits is NULL");
    CHECK_ERROR(rtd_fuse(&hits, 1, nullptr, &row, 1, nullptr), RTD_INVALID_ARGUMENT, "logits is NULL");
    CHECK_ERROR(rtd_fuse(&hits, 1, &logits, nullptr, 1, nullptr), RTD_INVALID_ARGUMENT, "rows is NULL");
    row.temperature = 0;
    CHECK_ERROR(fuse(), RTD_NO_TEMPERATURE, "row 0");
    row.temperature = 1;
    counts[0] = 3;
    CHECK_ERROR(fuse(), RTD_INVALID_ARGUMENT, "counts 3", "capacity is 2");
    counts[0] = 2;
    distances[1] = NAN;
    CHECK_ERROR(fuse(), RTD_NOT_FINITE, "hit 1 of row 0");
    counts[0] = 1;
    CHECK_OK(fuse());  // what is not counted is not looked at
    counts[0] = 2;
    distances[1] = 2;
    for (const int32_t bad : {-1, 3}) {
        tokens[0] = bad;
        CHECK_ERROR(fuse(), RTD_TOKEN_RANGE, "hit 0 of row 0", "3 columns");
    }
    tokens[0] = 0;
    for (int i = 0; i < 3; ++i) {
        hits = {nullptr, i == 0 ? nullptr : distances, i == 1 ? nullptr : tokens, i == 2 ? nullptr : counts, 2};
        CHECK_ERROR(fuse(), RTD_INVALID_ARGUMENT, i == 0 ? "hits.distances" : i == 1 ? "hits.tokens" : "hits.counts");
    }
}

TEST("errors of log probabilities") {
    std::vector<float> values = {1, 2, 3};
    const rtd_matrix logits = matrixOf(values, 3);
    int32_t token = 3;
    double out;
    CHECK_ERROR(rtd_log_probabilities(&logits, &token, 1, &out), RTD_TOKEN_RANGE, "token 0 of row 0 is 3");
    token = -1;
    CHECK_ERROR(rtd_log_probabilities(&logits, &token, 1, &out), RTD_TOKEN_RANGE, "is -1");
    CHECK_ERROR(rtd_log_probabilities(&logits, nullptr, 1, &out), RTD_INVALID_ARGUMENT, "tokens is NULL");
    CHECK_ERROR(rtd_log_probabilities(&logits, &token, 1, nullptr), RTD_INVALID_ARGUMENT, "out is NULL");
    CHECK_ERROR(rtd_log_probabilities(nullptr, &token, 1, &out), RTD_INVALID_ARGUMENT, "logits is NULL");
}

TEST("memory that cannot be had names its bytes") {
    try {
        rtd::allocate<float>(size_t{1} << 50, "hits");
        CHECK(false);
    } catch (const rtd::Error& error) {
        CHECK_EQUAL(error.status, RTD_OUT_OF_MEMORY);
        CHECK_EQUAL(error.message, "no memory for hits: 4503599627370496 bytes");
    }
    try {
        rtd::allocatePart(0xfffffffeu, size_t{1} << 18);
        CHECK(false);
    } catch (const rtd::Error& error) {
        CHECK_EQUAL(error.status, RTD_OUT_OF_MEMORY);
        CHECK(error.message.find("4294967294 more entries") != std::string::npos);
    }
}

TEST("the last error belongs to its thread and outlives a success") {
    CHECK_EQUAL(rtd_index_create(nullptr, nullptr), RTD_INVALID_ARGUMENT);
    const std::string message = rtd_last_error();
    const TestIndex index(indexOptions(1));
    CHECK_EQUAL(std::string(rtd_last_error()), message);
    std::string other = "?";
    std::thread([&] { other = rtd_last_error(); }).join();
    CHECK_EQUAL(other, "");
}

TEST("statuses have names") {
    for (int i = RTD_OK; i <= RTD_INTERNAL; ++i) CHECK(std::string(rtd_status_name(static_cast<rtd_status>(i))) != "unknown");
    CHECK_EQUAL(std::string(rtd_status_name(RTD_OK)), "ok");
    CHECK_EQUAL(std::string(rtd_status_name(RTD_INTERNAL)), "internal");
    CHECK_EQUAL(std::string(rtd_status_name(RTD_CHECKSUM)), "checksum");
    CHECK_EQUAL(std::string(rtd_status_name(static_cast<rtd_status>(31))), "unknown");
    CHECK_EQUAL(rtd_abi_version(), 1u);
}

}  // namespace
