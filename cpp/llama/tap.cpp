#include "llama/tap.h"

#include <dlfcn.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "llama/merge.h"

namespace rtd::llama {

namespace {

// ---- the hooks: what llama.cpp's and the addon's calls come to instead -----------------------------------------------------------------

int32_t decodeHook(LlamaContext* context, LlamaBatch batch) {
    const Tap& tap = Tap::instance();
    const auto attached = tap.attachedTo(context);
    return attached ? DecodeRun(tap.functions(), context, batch, *attached).decode() : tap.functions().decode(context, batch);
}

void freeHook(LlamaContext* context) {
    Tap::instance().forget(context);
    Tap::instance().functions().freeContext(context);
}

GraphResult* processUbatchHook(LlamaContext* context, const MicroBatch* micro, int32_t type, MemoryContext* memory, int32_t* status) {
    DecodeRun* run = DecodeRun::current();
    return run != nullptr ? run->processUbatch(context, micro, type, memory, status)
                          : Tap::instance().functions().processUbatch(context, micro, type, memory, status);
}

int32_t computeHook(GgmlScheduler* scheduler, GgmlGraph* graph) {
    DecodeRun* run = DecodeRun::current();
    return run != nullptr ? run->compute(scheduler, graph) : Tap::instance().functions().computeAsync(scheduler, graph);
}

void getTensorHook(GgmlBackend* backend, const GgmlTensor* tensor, void* data, size_t offset, size_t size) {
    DecodeRun* run = DecodeRun::current();
    if (run != nullptr && run->isLogits(tensor)) return run->copyLogits(backend, tensor, data, offset, size);
    Tap::instance().functions().getTensorAsync(backend, tensor, data, offset, size);
}

// A terminating worker thread unloads an addon that no other thread has loaded; a hook may just be running.
void stayLoaded() {
    Dl_info info{};
    if (dladdr(reinterpret_cast<const void*>(&decodeHook), &info) != 0) dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

}  // namespace

Tap& Tap::instance() {
    static Tap* const tap = new Tap;  // never destroyed: other threads may decode while the process ends
    return *tap;
}

// ---- users -----------------------------------------------------------------------------------------------------------------------------

std::shared_ptr<Attachment> Tap::attach(const std::function<void()>& ask, rtd_index* index, uint32_t threads, OptionTable options, bool isRuled,
                                        std::string layer) {
    const Build::Found found = Build::of(ask);
    const ModelShape shape = found.build.shapeOf(found.context);
    rtd_index_info info{};
    info.struct_size = sizeof info;
    if (const rtd_status status = rtd_index_get_info(index, &info); status != RTD_OK) throw Error(status, rtd_last_error());
    if (info.dim != static_cast<uint64_t>(shape.embeddingSize))
        fail(RTD_INVALID_ARGUMENT, "the reference's keys have %u dimensions, but this model's hidden states have %lld; it was made for another model",
             info.dim, static_cast<long long>(shape.embeddingSize));
    auto attachment = std::make_shared<Attachment>(index, threads, std::move(options), isRuled, std::move(layer));
    const auto table = attachment->options();
    std::vector<const RowOptions*> rows{&table->common};
    for (const auto& [sequence, own] : table->sequences) rows.push_back(&own);
    checkMergeable(*attachment, rows, static_cast<size_t>(shape.vocabulary));

    const std::unique_lock lock(mutex_);
    checkBuild(found.build);
    const auto present = entries_.find(found.context);
    if (present != entries_.end() && present->second.attached.attachment)
        fail(RTD_EXISTS, "this context has a reference attached already: detach it first, or change its options with set()");
    enter(found, shape).attached.attachment = attachment;
    return attachment;
}

void Tap::detach(const Attachment& attachment) {
    std::shared_ptr<Attachment> last;  // freed after the lock is
    const std::unique_lock lock(mutex_);
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
        if (entry->second.attached.attachment.get() != &attachment) continue;
        last = std::move(entry->second.attached.attachment);
        return leave(entry);
    }
}

std::shared_ptr<Recorder> Tap::openRecorder(const std::function<void()>& ask) {
    const Build::Found found = Build::of(ask);
    const ModelShape shape = found.build.shapeOf(found.context);
    auto recorder = std::make_shared<Recorder>(shape);
    const std::unique_lock lock(mutex_);
    checkBuild(found.build);
    const auto present = entries_.find(found.context);
    if (present != entries_.end() && present->second.recorder) fail(RTD_EXISTS, "this context has a recorder already: dispose it first");
    enter(found, shape).recorder = recorder;
    return recorder;
}

void Tap::setRecording(const Recorder& recorder, std::shared_ptr<Recording> recording) {
    const std::unique_lock lock(mutex_);
    for (auto& [context, entry] : entries_)
        if (entry.recorder.get() == &recorder) entry.attached.recording.swap(recording);
}

void Tap::closeRecorder(const Recorder& recorder) {
    const std::unique_lock lock(mutex_);
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
        if (entry->second.recorder.get() != &recorder) continue;
        entry->second.recorder.reset();
        entry->second.attached.recording.reset();
        return leave(entry);
    }
}

size_t Tap::users() const {
    const std::shared_lock lock(mutex_);
    size_t count = 0;
    for (const auto& [context, entry] : entries_) count += (entry.attached.attachment ? 1U : 0U) + (entry.recorder ? 1U : 0U);
    return count;
}

// ---- hooks in place --------------------------------------------------------------------------------------------------------------------

void Tap::checkBuild(const Build& build) const {
    if (build_.release != nullptr && !(build_ == build))
        fail(RTD_UNSUPPORTED,
             "this context belongs to another build of node-llama-cpp (%s) than the one that was attached to first in this process "
             "(%s); one build a process",
             build.addon.path.c_str(), build_.addon.path.c_str());
}

Tap::Entry& Tap::enter(const Build::Found& found, const ModelShape& shape) {
    install(found.build);
    Entry& entry = entries_[found.context];
    entry.attached.shape = shape;
    return entry;
}

void Tap::leave(Entries::iterator entry) {
    if (entry->second.empty()) entries_.erase(entry);
    if (entries_.empty()) redirections_.clear();
}

void Tap::install(const Build& build) {
    if (redirections_.empty()) {
        struct Wanted {
            const Module& module;
            const char* symbol;
            void* hook;
        };
        const Wanted wanted[] = {
            {build.addon, "llama_decode", reinterpret_cast<void*>(&decodeHook)},
            {build.addon, "llama_free", reinterpret_cast<void*>(&freeHook)},
            {build.llama, "ggml_backend_tensor_get_async", reinterpret_cast<void*>(&getTensorHook)},
            {build.llama, "ggml_backend_sched_graph_compute_async", reinterpret_cast<void*>(&computeHook)},
            {build.llama, build.release->processUbatch, reinterpret_cast<void*>(&processUbatchHook)},
        };
        std::vector<Redirection> redirections;
        for (const Wanted& call : wanted) {
            auto* slot = findSlot(call.module, call.symbol);
            if (slot == nullptr)
                fail(RTD_UNSUPPORTED, "%s does not call %s through a slot that can be redirected; supported is %s", call.module.fileName().c_str(),
                     call.symbol, supportedBuilds().c_str());
            redirections.emplace_back(slot, call.hook);
        }
        stayLoaded();
        build_ = build;  // before the first hook can be called
        redirections_ = std::move(redirections);
    }
    for (Redirection& redirection : redirections_) redirection.redirect();
}

bool Tap::rearm() {
    const std::unique_lock lock(mutex_);
    const bool inPlace = std::all_of(redirections_.begin(), redirections_.end(), [](const Redirection& r) { return r.inPlace(); });
    for (Redirection& redirection : redirections_) redirection.redirect();
    return inPlace;
}

std::optional<Attached> Tap::attachedTo(LlamaContext* context) const {
    const std::shared_lock lock(mutex_);
    const auto entry = entries_.find(context);
    return entry == entries_.end() ? std::nullopt : std::optional(entry->second.attached);
}

void Tap::forget(LlamaContext* context) {
    Entry last;  // freed after the lock is
    const std::unique_lock lock(mutex_);
    const auto entry = entries_.find(context);
    if (entry == entries_.end()) return;
    last = std::exchange(entry->second, {});
    if (last.attached.attachment) last.attached.attachment->disposed = true;
    if (last.recorder) last.recorder->disposed = true;
    leave(entry);
}

}  // namespace rtd::llama
