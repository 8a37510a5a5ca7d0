// A store on disk. Whatever touches the disk runs off the event loop; lib/datastore.ts sees to the order of writing calls.
#include <functional>

#include "napi/arguments.h"
#include "napi/async_work.h"
#include "napi/binding.h"
#include "napi/keys.h"
#include "napi/options.h"
#include "napi/transform.h"

namespace rtd::napi {
namespace {

// A job that runs `work` and then gives the store's manifest as it is on disk.
class StoreJob : public Job {
  public:
    using Task = std::function<rtd_status(rtd_store*, const rtd_call_options&)>;
    StoreJob(StoreRef store, Task work) : store_(std::move(store)), work_(std::move(work)) {}

    rtd_status execute(const rtd_call_options& call) override {
        const rtd_status status = work_(store_.get(), call);
        const char* json = nullptr;
        if (status != RTD_OK) return status;
        const rtd_status read = rtd_store_manifest(store_.get(), &json);
        if (read == RTD_OK) manifest_ = json;
        return read;
    }
    napi_value finish(Results& results) override { return results.text(manifest_); }

  private:
    StoreRef store_;
    Task work_;
    std::string manifest_;
};

Napi::Value later(const Napi::CallbackInfo& info, const char* name, uint64_t task, StoreJob::Task work) {
    auto& store = Environment::of(info.Env()).get<Store>(info[0]);
    return runLater(info.Env(), name, std::make_unique<StoreJob>(store.ref, std::move(work)), 0, task);
}

// Opens or creates a store and gives { store, index, manifest }: two handles and the manifest's text.
class OpenJob : public Job {
  public:
    using Task = std::function<rtd_status(rtd_store**)>;
    OpenJob(std::shared_ptr<Environment> environment, Task open) : environment_(std::move(environment)), open_(std::move(open)) {}

    rtd_status execute(const rtd_call_options&) override {
        rtd_store* store = nullptr;
        rtd_index* index = nullptr;
        const char* json = nullptr;
        rtd_status status = open_(&store);
        if (status != RTD_OK) return status;
        store_->ref = StoreRef::adopt(store);
        status = rtd_store_index(store, &index);
        if (status == RTD_OK) status = rtd_store_manifest(store, &json);
        if (status != RTD_OK) return status;
        index_->ref = IndexRef::share(index);
        store_->keys.struct_size = sizeof store_->keys;
        manifest_ = json;
        return rtd_index_get_info(index, &store_->keys);
    }
    napi_value finish(Results& results) override {
        const napi_value opened = results.object();
        results.set(opened, "manifest", results.text(manifest_));
        if (results.ok()) {
            results.set(opened, "store", results.number(static_cast<double>(environment_->add(std::move(store_)))));
            results.set(opened, "index", results.number(static_cast<double>(environment_->add(std::move(index_)))));
        }
        return opened;
    }

  private:
    std::shared_ptr<Environment> environment_;
    Task open_;
    std::unique_ptr<Store> store_ = std::make_unique<Store>();
    std::unique_ptr<Index> index_ = std::make_unique<Index>();
    std::string manifest_;
};

Napi::Value open(Napi::Env env, const char* name, OpenJob::Task task) {
    return runLater(env, name, std::make_unique<OpenJob>(Environment::of(env).shared_from_this(), std::move(task)), 0, 0);
}

// (path, options, model as JSON, metadata as JSON) -> promise of { store, index, manifest }
Napi::Value storeCreate(const Napi::CallbackInfo& info) {
    const Options options(info[1]);
    rtd_store_options wanted{};
    wanted.struct_size = sizeof wanted;
    wanted.dim = readInteger(options.get("dim"), "dim", 1, RTD_MAX_DIM);
    wanted.metric = options.metric();
    wanted.dtype = options.dtype();
    wanted.heads = options.integer("heads", 1, 1, wanted.dim);
    wanted.threads = options.threads();
    wanted.cascade = options.cascade();
    return open(info.Env(), "rtd Datastore.create",
                [wanted, path = readString(info[0], "path"), backend = options.backend(), model = readString(info[2], "model"),
                 metadata = readString(info[3], "metadata")](rtd_store** store) mutable {
                    wanted.backend = backend.c_str();
                    wanted.model = model.c_str();
                    wanted.metadata = metadata.c_str();
                    return rtd_store_create(path.c_str(), &wanted, store);
                });
}

// (path, options) -> promise of { store, index, manifest }
Napi::Value storeOpen(const Napi::CallbackInfo& info) {
    const Options options(info[1]);
    rtd_store_open_options wanted{};
    wanted.struct_size = sizeof wanted;
    wanted.writable = options.flag("writable", false);
    wanted.skip_checksums = !options.flag("verify", true);
    wanted.threads = options.threads();
    wanted.cascade = options.cascade();
    return open(info.Env(), "rtd Datastore.open",
                [wanted, path = readString(info[0], "path"), backend = options.backend()](rtd_store** store) mutable {
                    wanted.backend = backend.c_str();
                    return rtd_store_open(path.c_str(), &wanted, store);
                });
}

// (handle, keys, tokens, options, dtype of the keys' bits or undefined) -> first id. In memory until sealed.
Napi::Value storeAppend(const Napi::CallbackInfo& info) {
    auto& store = Environment::of(info.Env()).get<Store>(info[0]);
    const Options options(info[3]);
    const Napi::Value examplesValue = options.get("examples");
    const Napi::Value positionsValue = options.get("positions");
    const Entries entries(store.keys, info[1], info[2], options, info[4]);
    const Column examples(examplesValue, "examples", entries.keys.rows);
    const Column positions(positionsValue, "positions", entries.keys.rows);
    uint32_t first = 0;
    check(rtd_store_append(store.ref.get(), &entries.keys, entries.tokens.as<int32_t>(), entries.namespaces(), examples.data(), positions.data(),
                           entries.keys.rows, &first));
    return Napi::Number::New(info.Env(), first);
}

// (handle, task) -> promise of the manifest
Napi::Value storeSeal(const Napi::CallbackInfo& info) {
    return later(info, "rtd Datastore.seal", readTask(info[1]),
                 [](rtd_store* store, const rtd_call_options& call) { return rtd_store_seal(store, &call); });
}

// (handle, ids) -> promise of the manifest
Napi::Value storeRemove(const Napi::CallbackInfo& info) {
    return later(info, "rtd Datastore.remove", 0, [ids = readList(info[1], "ids")](rtd_store* store, const rtd_call_options&) {
        return rtd_store_remove(store, ids.data(), ids.size());
    });
}

// (handle, metadata as JSON) -> promise of the manifest
Napi::Value storeSetMetadata(const Napi::CallbackInfo& info) {
    return later(info, "rtd Datastore.setMetadata", 0, [json = readString(info[1], "metadata")](rtd_store* store, const rtd_call_options&) {
        return rtd_store_set_metadata(store, json.c_str());
    });
}

// A report for every file; damage is what was asked for, not a failure of the call.
class VerifyJob : public Job {
  public:
    explicit VerifyJob(StoreRef store) : store_(std::move(store)) {}
    explicit VerifyJob(std::string path) : path_(std::move(path)) {}

    rtd_status execute(const rtd_call_options& call) override {
        const auto report = [](void* self, const char* file, rtd_status status, const char* message) {
            static_cast<VerifyJob*>(self)->files_.push_back({file, status, message ? message : ""});
        };
        const rtd_status status =
            store_.get() ? rtd_store_verify(store_.get(), report, this, &call) : rtd_store_verify_path(path_.c_str(), report, this, &call);
        for (const auto& file : files_) {
            if (file.status == status) return RTD_OK;  // already told
        }
        return status;
    }
    napi_value finish(Results& results) override {
        const napi_value list = results.list(files_.size());
        for (size_t i = 0; i < files_.size(); ++i) {
            const napi_value entry = results.object();
            results.set(entry, "file", results.text(files_[i].file));
            results.set(entry, "ok", results.boolean(files_[i].status == RTD_OK));
            if (files_[i].status != RTD_OK) {
                results.set(entry, "code", results.text(codeOf(files_[i].status)));
                results.set(entry, "message", results.text(files_[i].message));
            }
            results.set(list, i, entry);
        }
        return list;
    }

  private:
    struct File {
        std::string file;
        rtd_status status;
        std::string message;
    };
    StoreRef store_;    // or
    std::string path_;  // of one that is not open
    std::vector<File> files_;
};

// (handle, { heads, transform }, task) -> promise of the manifest; storeIndex then gives the index that took the other's place
Napi::Value storeSetSpace(const Napi::CallbackInfo& info) {
    const uint32_t dim = Environment::of(info.Env()).get<Store>(info[0]).keys.dim;
    const Options options(info[1]);
    const uint32_t heads = options.integer("heads", 0, 1, dim);
    return later(info, "rtd Datastore.setSpace", readTask(info[2]),
                 [heads, transform = readTransform(options, dim)](rtd_store* store, const rtd_call_options& call) {
                     const rtd_transform view = transform ? transform->view() : rtd_transform{};
                     return rtd_store_set_space(store, heads, transform ? &view : nullptr, &call);
                 });
}

// (handle) -> handle of the store's index
Napi::Value storeIndex(const Napi::CallbackInfo& info) {
    auto& environment = Environment::of(info.Env());
    rtd_index* index = nullptr;
    check(rtd_store_index(environment.get<Store>(info[0]).ref.get(), &index));
    auto resource = std::make_unique<Index>();
    resource->ref = IndexRef::share(index);
    return Napi::Number::New(info.Env(), static_cast<double>(environment.add(std::move(resource))));
}

// (handle, ids) -> Float32Array [ids, dim]
Napi::Value storeKeys(const Napi::CallbackInfo& info) {
    const auto ids = readList(info[1], "ids");
    auto& store = Environment::of(info.Env()).get<Store>(info[0]);
    std::vector<float> keys(ids.size() * store.keys.dim);
    check(rtd_store_keys(store.ref.get(), ids.data(), ids.size(), keys.data()));
    Results results(info.Env());
    return results.orThrow(results.array(keys));
}

// (handle or path, task) -> promise of [{ file, ok, code?, message? }]
Napi::Value storeVerify(const Napi::CallbackInfo& info) {
    auto job = info[0].IsString() ? std::make_unique<VerifyJob>(readString(info[0], "path"))
                                  : std::make_unique<VerifyJob>(Environment::of(info.Env()).get<Store>(info[0]).ref);
    return runLater(info.Env(), "rtd Datastore.verify", std::move(job), 0, readTask(info[1]));
}

// (handle, ids) -> { examples, positions }
Napi::Value storeOrigins(const Napi::CallbackInfo& info) {
    const auto ids = readList(info[1], "ids");
    auto& store = Environment::of(info.Env()).get<Store>(info[0]);
    std::vector<uint32_t> examples(ids.size());
    std::vector<uint32_t> positions(ids.size());
    check(rtd_store_origins(store.ref.get(), ids.data(), ids.size(), examples.data(), positions.data()));
    Results results(info.Env());
    const napi_value origins = results.object();
    results.set(origins, "examples", results.array(examples));
    results.set(origins, "positions", results.array(positions));
    return results.orThrow(origins);
}

class CloseJob : public Job {
  public:
    explicit CloseJob(StoreRef store) : store_(std::move(store)) {}
    rtd_status execute(const rtd_call_options&) override { return rtd_store_close(store_.get()); }
    napi_value finish(Results& results) override { return results.undefined(); }

  private:
    StoreRef store_;
};

// (handle) -> promise; the handle is unknown from now on
Napi::Value storeClose(const Napi::CallbackInfo& info) {
    auto& environment = Environment::of(info.Env());
    auto job = std::make_unique<CloseJob>(environment.get<Store>(info[0]).ref);
    environment.release(info.Env(), readTask(info[0]));
    return runLater(info.Env(), "rtd Datastore.close", std::move(job), 0, 0);
}

}  // namespace

void registerStore(Napi::Env env, Napi::Object exports) {
    define<storeCreate>(env, exports, "storeCreate");
    define<storeOpen>(env, exports, "storeOpen");
    define<storeAppend>(env, exports, "storeAppend");
    define<storeSeal>(env, exports, "storeSeal");
    define<storeRemove>(env, exports, "storeRemove");
    define<storeSetMetadata>(env, exports, "storeSetMetadata");
    define<storeVerify>(env, exports, "storeVerify");
    define<storeSetSpace>(env, exports, "storeSetSpace");
    define<storeIndex>(env, exports, "storeIndex");
    define<storeKeys>(env, exports, "storeKeys");
    define<storeOrigins>(env, exports, "storeOrigins");
    define<storeClose>(env, exports, "storeClose");
}

}  // namespace rtd::napi
