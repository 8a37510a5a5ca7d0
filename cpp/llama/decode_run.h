// One call of llama_decode on a context that something is attached to: what the hooks know and do while it lasts, on the thread it runs on.
//
//     llama_decode                       begin: options as they are now; refuse what cannot be done; mark the tokens to be recorded as outputs
//       for each micro-batch
//         process_ubatch                 which (sequence, position) each output row is
//           sched_graph_compute_async    the tensors; take other layers' states as they are computed, for their memory is used again; while recording
//                                        without logits, end the graph after the states
//         tensor_get_async(logits)       merge where they are if that is the reference's CUDA device; the real copy; else merge in the host memory
//                                        it went to. Or swallow it
//     end                                restore the marks; after a failure leave the context's memory as it was before this batch
//
// Nothing thrown in here gets into llama.cpp: a failure is kept with the attachment or recording, and the decode returns an error.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llama/attachment.h"
#include "llama/graph.h"
#include "llama/merge.h"
#include "llama/recording.h"

namespace rtd::llama {

// What is attached to a context; either may be missing.
struct Attached {
    std::shared_ptr<Attachment> attachment;
    std::shared_ptr<Recording> recording;
    ModelShape shape;
};

// Hidden states of a micro-batch that somebody wants.
struct States {
    GgmlTensor* tensor = nullptr;
    // Whether llama.cpp keeps them until the logits are copied out; other layers' are taken right after they are computed.
    bool isKept = true;
    std::vector<float> taken;  // [output rows, dim]
};

class DecodeRun {
  public:
    DecodeRun(const Functions& functions, LlamaContext* context, const LlamaBatch& batch, const Attached& attached);
    ~DecodeRun();
    DecodeRun(const DecodeRun&) = delete;
    DecodeRun& operator=(const DecodeRun&) = delete;

    // What this decode returns: the real llama_decode's value, or an error if the tap failed before, within or after it.
    int32_t decode();

    // The run on this thread that has something to do, or nullptr: then the hooks pass their calls through.
    static DecodeRun* current();

    // In the order of the calls they stand for.
    GraphResult* processUbatch(LlamaContext* context, const MicroBatch* micro, int32_t type, MemoryContext* memory, int32_t* status);
    int32_t compute(GgmlScheduler* scheduler, GgmlGraph* graph);
    void copyLogits(GgmlBackend* backend, const GgmlTensor* tensor, void* data, size_t offset, size_t size);
    bool isLogits(const GgmlTensor* tensor) const { return tensor == tensors_.logits; }

  private:
    void begin();
    void markRecorded();
    void nameRowsOf(const MicroBatch& micro);
    void optionsOfRows();
    void findStates(GgmlGraph* graph);
    States statesOf(const std::string& layer, GgmlGraph* graph) const;
    bool isPassing(const States& states) const { return states.tensor != nullptr && !states.isKept; }
    static bool watch(GgmlTensor* tensor, bool ask, void* run);
    void take(States& states) const;
    static GgmlBuffer* bufferOf(const GgmlTensor* tensor);
    const float* onHost(const GgmlTensor* tensor, std::vector<float>& room) const;
    const float* rowsOf(const States& states, std::vector<float>& room) const;
    bool isOnReferencesDevice(const GgmlTensor* tensor) const;
    void recordRows(const float* hidden, const float* logits);
    void checkCopy(GgmlBackend* backend, size_t offset, size_t size) const;
    void mergeOnDevice(GgmlBackend* backend, Merge& merge) const;
    void useLogits(GgmlBackend* backend, float* logits, Merge* merge);
    void forgetBatch();
    std::map<int32_t, int32_t> firstPositions() const;
    bool failed() const { return failure_.has_value(); }
    template <typename Body>
    void guarded(Body&& body) noexcept;

    const Functions& functions_;
    LlamaContext* context_;
    LlamaBatch batch_;
    Attached attached_;
    std::shared_ptr<const OptionTable> options_;
    std::vector<const RowOptions*> batchOptions_;  // of the batch's output tokens
    std::vector<int8_t> savedOutputs_;             // empty unless changed
    bool merging_ = false;
    bool uniform_ = true;   // all output rows of the batch have the same options
    bool cutting_ = false;  // end graphs after the recorded states

    // Of the micro-batch that is being computed.
    bool inMicroBatch_ = false;
    bool swallow_ = false;
    std::optional<std::vector<RowName>> names_;
    std::vector<size_t> outputTokens_;  // where in the micro-batch the named rows' tokens are
    size_t tokenCount_ = 0;
    std::vector<const RowOptions*> rowOptions_;
    GraphTensors tensors_;
    States searched_;  // the attachment's
    States recorded_;

    std::optional<Error> failure_;
};

// Takes sequences out of a context's memory, each from a position on.
void forgetFrom(const Functions& functions, LlamaContext* context, const std::map<int32_t, int32_t>& firstPositions);

}  // namespace rtd::llama
