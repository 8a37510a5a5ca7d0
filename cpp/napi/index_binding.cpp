// An index in memory: creating, adding, removing, sealing, reading back.
#include <algorithm>

#include "napi/arguments.h"
#include "napi/async_work.h"
#include "napi/binding.h"
#include "napi/keys.h"
#include "napi/options.h"
#include "napi/transform.h"

namespace rtd::napi {
namespace {

// (options) -> handle
Napi::Value createIndex(const Napi::CallbackInfo& info) {
    const Options options(info[0]);
    rtd_index_options wanted{};
    wanted.struct_size = sizeof wanted;
    wanted.dim = readInteger(options.get("dim"), "dim", 1, RTD_MAX_DIM);
    wanted.metric = options.metric();
    wanted.dtype = options.dtype();
    wanted.heads = options.integer("heads", 1, 1, wanted.dim);
    wanted.threads = options.threads();
    wanted.cascade = options.cascade();
    const std::string backend = options.backend();
    wanted.backend = backend.c_str();
    const auto transform = readTransform(options, wanted.dim);
    const rtd_transform view = transform ? transform->view() : rtd_transform{};
    if (transform) wanted.transform = &view;

    rtd_index* index = nullptr;
    check(rtd_index_create(&wanted, &index));
    auto resource = std::make_unique<Index>();
    resource->ref = IndexRef::adopt(index);
    return Napi::Number::New(info.Env(), static_cast<double>(Environment::of(info.Env()).add(std::move(resource))));
}

// (handle) -> what TypeScript calls IndexInfo
Napi::Value indexInfo(const Napi::CallbackInfo& info) {
    const auto& index = Environment::of(info.Env()).get<Index>(info[0]);
    const rtd_index_info found = infoOf(index.ref);
    auto result = Napi::Object::New(info.Env());
    result.Set("dim", found.dim);
    result.Set("searchedDim", found.searched_dim);
    result.Set("metric", kMetrics[found.metric]);
    result.Set("dtype", kDtypes[found.dtype]);
    result.Set("heads", found.heads);
    result.Set("backend", found.backend);
    result.Set("threads", found.threads);
    result.Set("entries", static_cast<double>(found.entries));
    result.Set("size", static_cast<double>(found.live));
    result.Set("sealed", static_cast<double>(found.sealed));
    result.Set("cascaded", static_cast<double>(found.cascaded));
    result.Set("bytes", static_cast<double>(found.bytes));
    result.Set("maxToken", found.max_token < 0 ? info.Env().Undefined() : Napi::Value(Napi::Number::New(info.Env(), found.max_token)));
    // A temperature of 0 says that there is none yet.
    result.Set("temperature", found.temperature > 0 ? Napi::Value(Napi::Number::New(info.Env(), found.temperature)) : info.Env().Undefined());
    return result;
}

// (handle, keys, tokens, options, dtype of the keys' bits or undefined) -> first id
Napi::Value addEntries(const Napi::CallbackInfo& info) {
    auto& environment = Environment::of(info.Env());
    auto& index = environment.get<Index>(info[0]);
    const Entries entries(infoOf(index.ref), info[1], info[2], Options(info[3]), info[4]);
    uint32_t first = 0;
    check(rtd_index_add(index.ref.get(), &entries.keys, entries.tokens.as<int32_t>(), entries.namespaces(), &first));
    environment.reportBytes(info.Env(), index);
    return Napi::Number::New(info.Env(), first);
}

// (handle, ids)
Napi::Value removeEntries(const Napi::CallbackInfo& info) {
    const auto ids = readList(info[1], "ids");
    const auto& index = Environment::of(info.Env()).get<Index>(info[0]);
    check(rtd_index_remove(index.ref.get(), ids.data(), ids.size()));
    return info.Env().Undefined();
}

struct SealJob : Job {
    IndexRef index;
    std::shared_ptr<Environment> environment;
    uint64_t handle = 0;

    rtd_status execute(const rtd_call_options& call) override { return rtd_index_seal(index.get(), &call); }
    napi_value finish(Results& results) override {
        if (auto* resource = environment->find<Index>(handle)) environment->reportBytes(results.env(), *resource);
        return results.undefined();
    }
};

std::unique_ptr<SealJob> sealJob(const Napi::CallbackInfo& info) {
    auto& environment = Environment::of(info.Env());
    auto job = std::make_unique<SealJob>();
    job->index = environment.get<Index>(info[0]).ref;
    job->environment = environment.shared_from_this();
    job->handle = readTask(info[0]);
    return job;
}

// (handle, options, task) -> promise
Napi::Value seal(const Napi::CallbackInfo& info) {
    const uint32_t threads = Options(info[1]).threads();
    return runLater(info.Env(), "rtd seal", sealJob(info), threads, readTask(info[2]));
}

// (handle, options)
Napi::Value sealSync(const Napi::CallbackInfo& info) {
    const uint32_t threads = Options(info[1]).threads();
    return runNow(info.Env(), *sealJob(info), threads);
}

// (handle, ids) -> { tokens, namespaces, live }
Napi::Value entriesOf(const Napi::CallbackInfo& info) {
    const auto ids = readList(info[1], "ids");
    const auto& index = Environment::of(info.Env()).get<Index>(info[0]);
    std::vector<int32_t> tokens(ids.size());
    std::vector<uint32_t> namespaces(ids.size());
    std::vector<uint8_t> live(ids.size());
    check(rtd_index_entries(index.ref.get(), ids.data(), ids.size(), tokens.data(), namespaces.data(), live.data()));
    Results results(info.Env());
    const napi_value entries = results.object();
    results.set(entries, "tokens", results.array(tokens));
    results.set(entries, "namespaces", results.array(namespaces));
    results.set(entries, "live", results.array(live));
    return results.orThrow(entries);
}

// (handle) -> { mean, scale } or { mean, matrix }; undefined where there is none
Napi::Value indexTransform(const Napi::CallbackInfo& info) {
    rtd_transform transform{};
    transform.struct_size = sizeof transform;
    check(rtd_index_transform(Environment::of(info.Env()).get<Index>(info[0]).ref.get(), &transform));
    Results results(info.Env());
    return results.orThrow(transformResult(results, transform));
}

constexpr const char* kFitMethods[] = {"standardise", "whiten", "project"};  // by rtd_fit_method

struct FitJob : Job {
    rtd_fit_options options{};
    InArray keysArray, classes;
    rtd_matrix keys{};
    std::vector<float> mean, weights;
    rtd_transform fitted{};

    rtd_status execute(const rtd_call_options& call) override {
        return rtd_transform_fit(&options, &keys, classes.as<int32_t>(), &call, mean.data(), weights.data(), &fitted);
    }
    napi_value finish(Results& results) override { return transformResult(results, fitted); }
};

// (options, keys, classes or undefined, task) -> promise of { mean, scale } or { mean, matrix }
Napi::Value fitTransform(const Napi::CallbackInfo& info) {
    const Options options(info[0]);
    auto job = std::make_unique<FitJob>();
    job->options.struct_size = sizeof job->options;
    job->options.method = static_cast<rtd_fit_method>(options.choice("method", RTD_FIT_WHITEN, kFitMethods));
    job->options.shrinkage = options.number("shrinkage", 1);
    job->fitted.struct_size = sizeof job->fitted;
    const uint32_t dim = readInteger(options.get("dim"), "dim", 1, RTD_MAX_DIM), threads = options.threads();
    const View keyView = viewArray(info[1], "keys", {napi_float32_array, napi_uint16_array});
    job->keysArray = InArray(keyView, Access::copied);
    job->keys = matrixOf(job->keysArray, keyView.halfOrFloat(), dim, "keys", "dim");
    size_t rows = dim;
    if (job->options.method == RTD_FIT_PROJECT) {
        const View classView = viewArray(info[2], "classes", {napi_int32_array});
        expectLength(classView.length, job->keys.rows, "classes", "one for each key");
        job->classes = InArray(classView, Access::copied);
        const auto* classes = job->classes.as<int32_t>();
        const int32_t last = classView.length ? *std::max_element(classes, classes + classView.length) : 0;
        rows = static_cast<size_t>(std::clamp<int32_t>(last, 0, RTD_MAX_FIT_CLASSES));
    }
    job->mean.resize(dim);
    job->weights.resize(job->options.method == RTD_FIT_STANDARDISE ? dim : std::max<size_t>(rows, 1) * dim);
    return runLater(info.Env(), "rtd fitTransform", std::move(job), threads, readTask(info[3]));
}

// (handle, ids) -> Float32Array [ids, searchedDim]
Napi::Value keysOf(const Napi::CallbackInfo& info) {
    const auto ids = readList(info[1], "ids");
    const auto& index = Environment::of(info.Env()).get<Index>(info[0]);
    std::vector<float> keys(ids.size() * infoOf(index.ref).searched_dim);
    check(rtd_index_keys(index.ref.get(), ids.data(), ids.size(), keys.data()));
    Results results(info.Env());
    return results.orThrow(results.array(keys));
}

}  // namespace

void registerIndex(Napi::Env env, Napi::Object exports) {
    define<createIndex>(env, exports, "createIndex");
    define<indexInfo>(env, exports, "indexInfo");
    define<addEntries>(env, exports, "addEntries");
    define<removeEntries>(env, exports, "removeEntries");
    define<seal>(env, exports, "seal");
    define<sealSync>(env, exports, "sealSync");
    define<entriesOf>(env, exports, "entriesOf");
    define<keysOf>(env, exports, "keysOf");
    define<indexTransform>(env, exports, "indexTransform");
    define<fitTransform>(env, exports, "fitTransform");
}

}  // namespace rtd::napi
