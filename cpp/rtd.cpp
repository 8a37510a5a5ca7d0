// The C interface, but for rtd_store_*: nothing but the passage from C to C++.
#include "rtd.h"

#include <algorithm>

#include "core/arguments.h"
#include "cpu/dispatch.h"
#include "index/handle.h"
#include "index/search_call.h"
#include "index/workers.h"
#include "transform/fit.h"

using rtd::guard;
using rtd::needPointer;

namespace {

const rtd::Index& indexOf(const rtd_index* handle) { return *needPointer(handle, "index")->index; }

// The index, for those who may write to it.
rtd::Index& writableIndexOf(rtd_index* handle) {
    rtd::Index& index = *needPointer(handle, "index")->index;
    if (index.ownedByStore()) rtd::fail(RTD_READ_ONLY, "this is the index of a store: use the store's append, remove and seal");
    return index;
}

// Fills a struct of the caller's, of any version: what it has no room for is left out.
template <typename Options>
void writeOptions(Options all, Options* to, const char* name) {
    all.struct_size = rtd::readOptions(to, name).struct_size;
    std::memcpy(static_cast<void*>(to), &all, std::min<size_t>(all.struct_size, sizeof all));
}

void needIds(const uint32_t* ids, size_t count) {
    if (count > 0) needPointer(ids, "ids");
}

}  // namespace

rtd::Call rtd::readCall(const rtd_call_options* given) {
    const rtd_call_options options = readOptions(given, "call options");
    if (options.threads > WorkerPool::kMaxThreads) fail(RTD_INVALID_ARGUMENT, "threads is %u; give 0..%u", options.threads, WorkerPool::kMaxThreads);
    const uint32_t memory = numberOf(options.memory);
    if (memory > RTD_MEMORY_DEVICE) fail(RTD_INVALID_ARGUMENT, "memory is %u; give RTD_MEMORY_HOST or RTD_MEMORY_DEVICE", memory);
    return {
        options.threads, options.should_stop, options.context, memory == RTD_MEMORY_DEVICE, options.counts, {options.on_progress, options.context},
        options.figures};
}

uint32_t rtd_abi_version(void) { return RTD_ABI_VERSION; }

const char* rtd_status_name(rtd_status status) { return rtd::statusName(status); }

const char* rtd_last_error(void) { return rtd::lastError(); }

rtd_status rtd_backends(const rtd_backend_info** list, size_t* count) {
    return guard([&] {
        needPointer(list, "list");
        needPointer(count, "count");
        *list = rtd::cpu::backends().data();
        *count = rtd::cpu::backends().size();
    });
}

rtd_status rtd_transform_fit(const rtd_fit_options* options, const rtd_matrix* keys, const int32_t* classes, const rtd_call_options* call,
                             float* mean, float* weights, rtd_transform* fitted) {
    return guard([&] {
        const rtd_fit_options given = rtd::readOptions(needPointer(options, "options"), "fit options");
        needPointer(mean, "mean");
        needPointer(weights, "weights");
        const auto made = rtd::fitTransform(given, *needPointer(keys, "keys"), classes, rtd::readCall(call));
        std::copy(made->mean().begin(), made->mean().end(), mean);
        std::copy(made->weights().begin(), made->weights().end(), weights);
        if (!fitted) return;
        rtd_transform described = made->view();
        described.mean = mean;
        described.weights = weights;
        writeOptions(described, fitted, "transform");
    });
}

rtd_status rtd_transform_apply(const rtd_transform* transform, const rtd_matrix* rows, float* out) {
    return guard([&] {
        const auto read = rtd::Transform::read(rtd::readOptions(needPointer(transform, "transform"), "transform"));
        if (!read) rtd::fail(RTD_INVALID_ARGUMENT, "transform.kind is RTD_TRANSFORM_NONE: there is nothing to apply");
        const rtd::MatrixView view(rows, "rows");
        view.needColumns(read->inputDim());
        if (view.rows() > 0) read->apply(rtd::cpu::chooseInstructionSet(), view, 0, view.rows(), needPointer(out, "out"));
    });
}

rtd_status rtd_index_create(const rtd_index_options* options, rtd_index** index) {
    return guard([&] {
        const rtd_index_options given = rtd::readOptions(needPointer(options, "options"), "index options");
        needPointer(index, "index");
        rtd::IndexConfig config;
        config.setSpace(given.dim, given.transform ? rtd::Transform::read(rtd::readOptions(given.transform, "transform")) : nullptr);
        config.metric = rtd::readMetric(given.metric);
        config.dtype = rtd::readDtype(given.dtype, "index options");
        config.heads = given.heads;
        config.backend = given.backend;
        config.threads = given.threads;
        config.cascade = rtd::readCascade(given.cascade);
        *index = new rtd_index(rtd::Index::create(config));
    });
}

void rtd_index_retain(rtd_index* index) {
    if (index) index->references.fetch_add(1, std::memory_order_relaxed);
}

void rtd_index_release(rtd_index* index) {
    if (index && index->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete index;
}

rtd_status rtd_index_get_info(const rtd_index* index, rtd_index_info* info) {
    return guard([&] {
        const rtd::IndexConfig& config = indexOf(index).config();
        const rtd::Snapshot snapshot = indexOf(index).snapshot();
        needPointer(info, "info");
        rtd_index_info all{};
        all.dim = config.givenDim();
        all.searched_dim = config.dim;
        all.metric = static_cast<rtd_metric>(config.metric);
        all.dtype = static_cast<rtd_dtype>(config.dtype);
        all.heads = config.heads;
        all.threads = config.threads;
        all.backend = config.backend;
        all.entries = snapshot.entries;
        all.live = snapshot.live;
        all.sealed = snapshot.sealed;
        all.bytes = indexOf(index).bytes();
        all.cascaded = snapshot.cascaded();
        all.max_token = snapshot.maxToken;
        all.temperature = snapshot.temperature;
        writeOptions(all, info, "index info");
    });
}

rtd_status rtd_index_add(rtd_index* index, const rtd_matrix* keys, const int32_t* tokens, const uint32_t* namespaces, uint32_t* first_id) {
    return guard([&] {
        const uint32_t first = writableIndexOf(index).add(*needPointer(keys, "keys"), tokens, namespaces);
        if (first_id) *first_id = first;
    });
}

rtd_status rtd_index_remove(rtd_index* index, const uint32_t* ids, size_t count) {
    return guard([&] {
        needIds(ids, count);
        writableIndexOf(index).remove(ids, count);
    });
}

rtd_status rtd_index_seal(rtd_index* index, const rtd_call_options* call) {
    return guard([&] { writableIndexOf(index).seal(rtd::readCall(call)); });
}

rtd_status rtd_index_entries(const rtd_index* index, const uint32_t* ids, size_t count, int32_t* tokens, uint32_t* namespaces, uint8_t* live) {
    return guard([&] {
        needIds(ids, count);
        indexOf(index).entriesOf(ids, count, tokens, namespaces, live);
    });
}

rtd_status rtd_index_keys(const rtd_index* index, const uint32_t* ids, size_t count, float* keys) {
    return guard([&] {
        needIds(ids, count);
        if (count > 0) needPointer(keys, "keys");
        indexOf(index).keysOf(ids, count, keys);
    });
}

rtd_status rtd_index_transform(const rtd_index* index, rtd_transform* transform) {
    return guard([&] {
        const auto& own = indexOf(index).config().transform;
        writeOptions(own ? own->view() : rtd_transform{}, needPointer(transform, "transform"), "transform");
    });
}

rtd_status rtd_search(const rtd_index* index, const rtd_matrix* queries, const rtd_row_options* rows, size_t row_count, const rtd_call_options* call,
                      const rtd_hits* hits) {
    return guard([&] {
        needPointer(hits, "hits");
        rtd::runSearchCall(indexOf(index), queries, nullptr, rows, row_count, rtd::readCall(call), hits, nullptr);
    });
}

rtd_status rtd_search_and_fuse(const rtd_index* index, const rtd_matrix* queries, const rtd_mutable_matrix* logits, const rtd_row_options* rows,
                               size_t row_count, const rtd_call_options* call, const rtd_hits* hits, rtd_row_status* statuses) {
    return guard([&] {
        needPointer(logits, "logits");
        rtd::runSearchCall(indexOf(index), queries, logits, rows, row_count, rtd::readCall(call), hits, statuses);
    });
}

rtd_status rtd_fuse(const rtd_hits* hits, uint32_t heads, const rtd_mutable_matrix* logits, const rtd_row_options* rows, size_t row_count,
                    rtd_row_status* statuses) {
    return guard([&] { rtd::runFuseCall(hits, heads, logits, rows, row_count, statuses); });
}

rtd_status rtd_figures(const rtd_hits* hits, uint32_t heads, const rtd_matrix* logits, const rtd_row_options* rows, size_t row_count,
                       rtd_row_figures* figures) {
    return guard([&] { rtd::runFiguresCall(hits, heads, logits, rows, row_count, figures); });
}

rtd_status rtd_log_probabilities(const rtd_matrix* logits, const int32_t* tokens, size_t tokens_per_row, double* out) {
    return guard([&] { rtd::runLogProbabilitiesCall(logits, tokens, tokens_per_row, out); });
}
