// An index in memory: creating, adding, removing, sealing, reading back.
#include "napi/arguments.h"
#include "napi/async_work.h"
#include "napi/binding.h"
#include "napi/keys.h"
#include "napi/options.h"

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

// (handle, ids) -> Float32Array [ids, dim]
Napi::Value keysOf(const Napi::CallbackInfo& info) {
    const auto ids = readList(info[1], "ids");
    const auto& index = Environment::of(info.Env()).get<Index>(info[0]);
    std::vector<float> keys(ids.size() * infoOf(index.ref).dim);
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
}

}  // namespace rtd::napi
