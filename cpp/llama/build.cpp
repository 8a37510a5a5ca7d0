#include "llama/build.h"

#include <dlfcn.h>

#include <mutex>

#include "core/status.h"

namespace rtd::llama {

namespace {

constexpr const char* kAddonName = "llama-addon.node";

using ThreadsFunction = int32_t (*)(const LlamaContext*);

// Finding the context behind a JavaScript object: the addon calls llama_n_threads(context) when it is asked for its threads, and for that one
// question the call comes by here. Only this thread's question is answered; another thread's call just passes through.
std::mutex gQuestion;
std::atomic<ThreadsFunction> gRealThreads{nullptr};
thread_local bool tAsking = false;
thread_local const LlamaContext* tAnswer = nullptr;

struct Asking {
    Asking() { tAsking = true; }
    ~Asking() { tAsking = false; }
};

int32_t threadsHook(const LlamaContext* context) {
    if (tAsking) tAnswer = context;
    return gRealThreads.load()(context);
}

// For looking symbols up in a loaded object and its dependencies, which is where its own calls go. The handle is never closed, so the object stays
// loaded: Node would unload an addon with the last worker thread that uses it, and with it the slots that are to be restored.
void* hold(const Module& module) { return dlopen(module.path.c_str(), RTLD_LAZY | RTLD_NOLOAD); }

template <typename Function>
void find(void* handle, const char* name, Function& function) {
    void* address = dlsym(handle, name);
    if (address == nullptr) fail(RTD_UNSUPPORTED, "this build of llama.cpp has no function %s; supported is %s", name, supportedBuilds().c_str());
    function = reinterpret_cast<Function>(address);
}

Functions findFunctions(void* handle, const Release& release) {
    Functions f;
    find(handle, "llama_decode", f.decode);
    find(handle, "llama_free", f.freeContext);
    find(handle, "llama_pooling_type", f.poolingType);
    find(handle, "llama_get_embeddings", f.embeddings);
    find(handle, "llama_get_model", f.model);
    find(handle, "llama_model_n_embd", f.embeddingSize);
    find(handle, "llama_model_get_vocab", f.vocabulary);
    find(handle, "llama_vocab_n_tokens", f.vocabularySize);
    find(handle, "llama_get_memory", f.memory);
    find(handle, "llama_memory_seq_rm", f.removeSequence);
    find(handle, "ggml_tensor_overhead", f.tensorOverhead);
    find(handle, "ggml_get_data", f.tensorData);
    find(handle, "ggml_get_name", f.tensorName);
    find(handle, "ggml_nbytes", f.tensorBytes);
    find(handle, "ggml_graph_n_nodes", f.nodeCount);
    find(handle, "ggml_graph_node", f.node);
    find(handle, "ggml_backend_name", f.backendName);
    find(handle, "ggml_backend_synchronize", f.synchronize);
    find(handle, "ggml_backend_buffer_is_host", f.bufferIsHost);
    find(handle, "ggml_backend_buffer_name", f.bufferName);
    find(handle, "ggml_backend_tensor_get", f.getTensor);
    find(handle, "ggml_backend_tensor_get_async", f.getTensorAsync);
    find(handle, "ggml_backend_sched_set_eval_callback", f.setEvalCallback);
    find(handle, "ggml_backend_sched_graph_compute_async", f.computeAsync);
    find(handle, release.processUbatch, f.processUbatch);
    return f;
}

// Everything that has to be so for the tap to work, checked before anything is redirected.
Build examine(const Module& addon) {
    Build build;
    build.addon = addon;
    void* handle = hold(addon);
    if (handle == nullptr) fail(RTD_UNSUPPORTED, "node-llama-cpp's addon %s cannot be looked into (%s)", addon.path.c_str(), dlerror());
    const void* decode = dlsym(handle, "llama_decode");
    build.llama = decode == nullptr ? Module{} : moduleOf(decode);
    const std::string soname = build.llama.dynamic == nullptr ? "" : sonameOf(build.llama);
    build.release = releaseOf(soname);
    if (build.release == nullptr)
        fail(RTD_UNSUPPORTED, "this build of llama.cpp (%s) is not one the tap knows; supported is %s, as the prebuilt node-llama-cpp has it",
             soname.empty() ? "linked into the addon" : soname.c_str(), supportedBuilds().c_str());
    build.functions = findFunctions(handle, *build.release);
    if (build.functions.tensorOverhead() != kGgmlObjectSize + sizeof(GgmlTensor))
        fail(RTD_UNSUPPORTED, "a tensor of this build of llama.cpp takes %zu bytes and not %zu: it is not the %s the tap knows",
             build.functions.tensorOverhead(), kGgmlObjectSize + sizeof(GgmlTensor), build.release->name);
    if (findSlot(addon, "llama_set_sampler") != nullptr)
        fail(RTD_UNSUPPORTED, "this build of node-llama-cpp samples inside llama.cpp, past the logits that would be merged");
    return build;
}

}  // namespace

const Release* releaseOf(const std::string& soname) {
    for (const Release& release : kReleases)
        if (soname.starts_with("libllama.") && soname.ends_with("." + std::string(release.name) + ".so")) return &release;
    return nullptr;
}

std::string supportedBuilds() {
    std::string names;
    for (const Release& release : kReleases) names += (names.empty() ? "llama.cpp " : ", ") + std::string(release.name);
    return names + " on linux-x64 and linux-arm64";
}

ModelShape Build::shapeOf(LlamaContext* context) const {
    if (functions.poolingType(context) != kPoolingNone || functions.embeddings(context) != nullptr)
        fail(RTD_UNSUPPORTED, "this context makes embeddings or ranks; only a context that generates can be attached to or recorded");
    const LlamaModel* model = functions.model(context);
    return {functions.embeddingSize(model), functions.vocabularySize(functions.vocabulary(model))};
}

Build::Found Build::of(const std::function<void()>& ask) {
    const std::lock_guard lock(gQuestion);
    bool loaded = false;
    for (const Module& module : loadedModules()) {
        if (module.fileName() != kAddonName) continue;
        loaded = true;
        std::atomic<void*>* slot = findSlot(module, "llama_n_threads");
        void* handle = hold(module);
        if (slot == nullptr || handle == nullptr) continue;
        gRealThreads = reinterpret_cast<ThreadsFunction>(dlsym(handle, "llama_n_threads"));
        tAnswer = nullptr;
        {
            Redirection redirection(slot, reinterpret_cast<void*>(&threadsHook));
            redirection.redirect();
            const Asking asking;
            ask();
        }
        if (tAnswer != nullptr) return {examine(module), const_cast<LlamaContext*>(tAnswer)};
    }
    if (!loaded)
        fail(RTD_UNSUPPORTED, "no node-llama-cpp build is loaded here whose calls can be redirected; supported is %s", supportedBuilds().c_str());
    fail(RTD_UNSUPPORTED, "the context did not answer through any loaded build of node-llama-cpp; supported is %s", supportedBuilds().c_str());
}

}  // namespace rtd::llama
