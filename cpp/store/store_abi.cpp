// rtd_store_* of the C interface: nothing but the passage from C to C++.
#include <atomic>
#include <memory>
#include <string>

#include "core/arguments.h"
#include "index/handle.h"
#include "store/files.h"
#include "store/store.h"
#include "store/verify.h"

using rtd::guard;
using rtd::needPointer;

struct rtd_store {
    explicit rtd_store(std::unique_ptr<rtd::store::Store> store_) : store(std::move(store_)), index(new rtd_index(store->index())) {}
    rtd_store(const rtd_store&) = delete;
    rtd_store& operator=(const rtd_store&) = delete;
    ~rtd_store() { dropIndex(); }
    void dropIndex() { rtd_index_release(index.exchange(nullptr)); }
    void renewIndex() { rtd_index_release(index.exchange(new rtd_index(store->index()))); }

    std::unique_ptr<rtd::store::Store> store;
    std::atomic<rtd_index*> index;  // lent by rtd_store_index; null once closed
    std::atomic<size_t> references{1};
};

namespace {

rtd::store::Store& storeOf(rtd_store* handle) { return *needPointer(handle, "store")->store; }

const char* orEmptyObject(const char* json) { return json ? json : "{}"; }

using ReportFunction = void (*)(void* context, const char* file, rtd_status status, const char* message);

rtd::store::Report reportTo(ReportFunction report, void* context) {
    return [=](const std::string& file, rtd_status status, const std::string& message) {
        if (report) report(context, file.c_str(), status, message.c_str());
    };
}

}  // namespace

rtd_status rtd_store_create(const char* path, const rtd_store_options* options, rtd_store** store) {
    return guard([&] {
        needPointer(path, "path");
        needPointer(store, "store");
        const rtd_store_options given = rtd::readOptions(needPointer(options, "options"), "store options");
        rtd::IndexConfig config;
        config.dim = given.dim;
        config.metric = rtd::readMetric(given.metric);
        config.dtype = rtd::readDtype(given.dtype, "store options");
        config.heads = given.heads;
        config.backend = given.backend;
        config.threads = given.threads;
        config.cascade = rtd::readCascade(given.cascade);
        *store = new rtd_store(
            rtd::store::Store::create(rtd::store::posixFileSystem(), path, config, orEmptyObject(given.model), orEmptyObject(given.metadata)));
    });
}

rtd_status rtd_store_open(const char* path, const rtd_store_open_options* options, rtd_store** store) {
    return guard([&] {
        needPointer(path, "path");
        needPointer(store, "store");
        const rtd_store_open_options given = rtd::readOptions(options, "open options");
        *store = new rtd_store(rtd::store::Store::open(rtd::store::posixFileSystem(), path,
                                                       {.writable = given.writable != 0,
                                                        .skipChecksums = given.skip_checksums != 0,
                                                        .backend = given.backend,
                                                        .threads = given.threads,
                                                        .cascade = rtd::readCascade(given.cascade)}));
    });
}

rtd_status rtd_store_close(rtd_store* store) {
    return guard([&] {
        storeOf(store).close();
        store->dropIndex();
    });
}

void rtd_store_retain(rtd_store* store) {
    if (store) store->references.fetch_add(1, std::memory_order_relaxed);
}

void rtd_store_release(rtd_store* store) {
    if (store && store->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete store;
}

rtd_status rtd_store_index(rtd_store* store, rtd_index** index) {
    return guard([&] {
        needPointer(index, "index");
        storeOf(store).index();  // RTD_CLOSED
        rtd_index* const lent = store->index;
        if (!lent) rtd::fail(RTD_CLOSED, "the store is being closed");
        *index = lent;
    });
}

rtd_status rtd_store_append(rtd_store* store, const rtd_matrix* keys, const int32_t* tokens, const uint32_t* namespaces, const uint32_t* examples,
                            const uint32_t* positions, size_t count, uint32_t* first_id) {
    return guard([&] {
        rtd::store::Store& to = storeOf(store);
        rtd::MatrixView(keys, "keys").needRows(count);
        if (count > 0) needPointer(tokens, "tokens");
        const uint32_t first = to.append(*keys, tokens, namespaces, examples, positions);
        if (first_id) *first_id = first;
    });
}

rtd_status rtd_store_seal(rtd_store* store, const rtd_call_options* call) {
    return guard([&] { storeOf(store).seal(rtd::readCall(call)); });
}

rtd_status rtd_store_set_space(rtd_store* store, uint32_t heads, const rtd_transform* transform, const rtd_call_options* call) {
    return guard([&] {
        rtd::store::Store& of = storeOf(store);
        of.setSpace(heads, transform ? rtd::Transform::read(rtd::readOptions(transform, "transform")) : nullptr, rtd::readCall(call));
        store->renewIndex();
    });
}

rtd_status rtd_store_keys(rtd_store* store, const uint32_t* ids, size_t count, float* keys) {
    return guard([&] {
        const rtd::store::Store& of = storeOf(store);
        if (count > 0) needPointer(ids, "ids"), needPointer(keys, "keys");
        of.keysOf(ids, count, keys);
    });
}

rtd_status rtd_store_remove(rtd_store* store, const uint32_t* ids, size_t count) {
    return guard([&] {
        rtd::store::Store& from = storeOf(store);
        if (count > 0) needPointer(ids, "ids");
        from.remove(ids, count);
    });
}

rtd_status rtd_store_verify(rtd_store* store, ReportFunction report, void* context, const rtd_call_options* call) {
    return guard([&] { storeOf(store).verify(reportTo(report, context), rtd::readCall(call)); });
}

rtd_status rtd_store_verify_path(const char* path, ReportFunction report, void* context, const rtd_call_options* call) {
    return guard([&] {
        const auto directory = rtd::store::posixFileSystem().openDirectory(needPointer(path, "path"));
        rtd::store::readManifestText(*directory);  // no store, no report
        rtd::store::verifyFiles(*directory, {}, reportTo(report, context), rtd::readCall(call));
    });
}

rtd_status rtd_store_manifest(rtd_store* store, const char** json) {
    return guard([&] {
        thread_local std::string text;
        text = storeOf(store).manifestText();
        *needPointer(json, "json") = text.c_str();
    });
}

rtd_status rtd_store_set_metadata(rtd_store* store, const char* json) {
    return guard([&] { storeOf(store).setMetadata(needPointer(json, "json")); });
}

rtd_status rtd_store_origins(rtd_store* store, const uint32_t* ids, size_t count, uint32_t* examples, uint32_t* positions) {
    return guard([&] {
        const rtd::store::Store& of = storeOf(store);
        if (count > 0) needPointer(ids, "ids");
        of.origins(ids, count, examples, positions);
    });
}
