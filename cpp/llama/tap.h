// The tap into llama.cpp: what is attached to which context, and the hooks that are in place as long as anything is.
//
// One per process, shared by all JavaScript environments: every attachment and every recorder of every thread counts as a user of the redirected
// calls, and the last one restores them. What is attached to a context dies with it: llama_free is seen, because the next context is often given the
// same address. One build of node-llama-cpp a process, the first one attached to: a hook cannot know which build has called it.
#pragma once
#include <functional>
#include <memory>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "llama/decode_run.h"

namespace rtd::llama {

// A hold on a context whose sequences are recorded.
class Recorder {
  public:
    explicit Recorder(const ModelShape& shape) : shape_(shape) {}
    const ModelShape& shape() const { return shape_; }
    std::atomic<bool> disposed{false};  // its context was freed

  private:
    ModelShape shape_;
};

class Tap {
  public:
    static Tap& instance();

    // Attaches to the context that `ask` asks for its threads (see Build::of). RTD_EXISTS if it has an attachment already; RTD_UNSUPPORTED;
    // RTD_INVALID_ARGUMENT (dimensions); RTD_TOKEN_RANGE, RTD_NO_TEMPERATURE. Where it throws, nothing was redirected.
    std::shared_ptr<Attachment> attach(const std::function<void()>& ask, rtd_index* index, uint32_t threads, OptionTable options, bool isRuled,
                                       std::string layer);
    void detach(const Attachment& attachment);

    // One recorder a context (RTD_EXISTS); recordings come and go while it is open. An attachment may be there as well.
    std::shared_ptr<Recorder> openRecorder(const std::function<void()>& ask);
    void setRecording(const Recorder& recorder, std::shared_ptr<Recording> recording);
    void closeRecorder(const Recorder& recorder);

    // Whether every hook is in place; where another thread's lazy binding has overwritten one it is put back, and the answer is false.
    bool rearm();
    size_t users() const;

    // For the hooks. nullopt for a context that nothing is attached to.
    const Functions& functions() const { return build_.functions; }
    std::optional<Attached> attachedTo(LlamaContext* context) const;
    void forget(LlamaContext* context);

  private:
    struct Entry {
        Attached attached;
        std::shared_ptr<Recorder> recorder;
        bool empty() const { return !attached.attachment && !recorder; }
    };
    using Entries = std::unordered_map<LlamaContext*, Entry>;

    void checkBuild(const Build& build) const;
    Entry& enter(const Build::Found& found, const ModelShape& shape);
    void leave(Entries::iterator entry);
    void install(const Build& build);

    mutable std::shared_mutex mutex_;
    Build build_;  // set once, by the first user
    std::vector<Redirection> redirections_;
    Entries entries_;
};

}  // namespace rtd::llama
