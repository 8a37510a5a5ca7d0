#include "llama/decode_run.h"

#include <cstring>
#include <new>

namespace rtd::llama {

namespace {

thread_local DecodeRun* tRun = nullptr;

// The run of this thread, also if the real llama_decode throws (node-llama-cpp catches that outside).
struct Entered {
    explicit Entered(DecodeRun* run) { tRun = run; }
    ~Entered() { tRun = nullptr; }
};

bool isOutput(const LlamaBatch& batch, int32_t i) { return batch.outputs == nullptr ? i == batch.tokenCount - 1 : batch.outputs[i] != 0; }

RowName nameInBatch(const LlamaBatch& batch, int32_t i) { return {batch.sequences[i][0], batch.positions[i]}; }

}  // namespace

DecodeRun* DecodeRun::current() { return tRun; }

DecodeRun::DecodeRun(const Functions& functions, LlamaContext* context, const LlamaBatch& batch, const Attached& attached)
    : functions_(functions), context_(context), batch_(batch), attached_(attached) {}

DecodeRun::~DecodeRun() {
    if (!savedOutputs_.empty()) std::memcpy(batch_.outputs, savedOutputs_.data(), savedOutputs_.size());
}

// Keeps the first failure; later hooks of this run then only pass through.
template <typename Body>
void DecodeRun::guarded(Body&& body) noexcept {
    if (failed()) return;
    try {
        body();
    } catch (const Error& error) { failure_ = error; } catch (const std::bad_alloc&) {
        failure_.emplace(RTD_OUT_OF_MEMORY, "");
    } catch (const std::exception& error) { failure_.emplace(RTD_INTERNAL, error.what()); }
}

int32_t DecodeRun::decode() {
    if (attached_.attachment) ++attached_.attachment->counters.decodes;
    guarded([&] { begin(); });
    int32_t result = kDecodeFailed;
    if (!failed()) {
        const Entered entered(merging_ || attached_.recording ? this : nullptr);
        result = functions_.decode(context_, batch_);
        if (failed()) forgetBatch();
    }
    if (!failed()) return result;
    if (attached_.attachment) ++attached_.attachment->counters.failures;
    (attached_.recording ? attached_.recording->failure : attached_.attachment->failure).put(*failure_);
    return kDecodeFailed;
}

void DecodeRun::begin() {
    const bool named = batch_.positions != nullptr && batch_.sequences != nullptr;
    if (attached_.attachment && named) {
        options_ = attached_.attachment->options();
        for (int32_t i = 0; i < batch_.tokenCount; ++i)
            if (isOutput(batch_, i)) batchOptions_.push_back(&options_->of(nameInBatch(batch_, i).sequence));
        for (const RowOptions* options : batchOptions_) {
            merging_ = merging_ || attached_.attachment->wants(*options);
            uniform_ = uniform_ && *options == *batchOptions_.front();
        }
        if (attached_.attachment->isRuled())
            attached_.attachment->undecided.put({context_, firstPositions(), static_cast<size_t>(attached_.shape.vocabulary), {}});
        if (merging_) checkMergeable(*attached_.attachment, batchOptions_, static_cast<size_t>(attached_.shape.vocabulary));
    }
    if (attached_.recording) {
        if (!named || batch_.outputs == nullptr) fail(RTD_UNSUPPORTED, "this batch does not name its tokens; it cannot be recorded");
        markRecorded();
    }
}

void DecodeRun::markRecorded() {
    bool onlyRecorded = !attached_.recording->wantsLogits();
    const std::vector<int8_t> before(batch_.outputs, batch_.outputs + batch_.tokenCount);
    for (int32_t i = 0; i < batch_.tokenCount; ++i) {
        const RowName name = nameInBatch(batch_, i);
        // Somebody else's logits, or this sequence's own, are needed: then the graph runs to its end.
        if (batch_.outputs[i] != 0 || name.sequence != attached_.recording->sequence()) onlyRecorded = false;
        if (attached_.recording->wants(name)) batch_.outputs[i] = 1;
    }
    savedOutputs_ = before;
    cutting_ = onlyRecorded;
}

GraphResult* DecodeRun::processUbatch(LlamaContext* context, const MicroBatch* micro, int32_t type, MemoryContext* memory, int32_t* status) {
    guarded([&] { nameRowsOf(*micro); });
    inMicroBatch_ = true;
    GraphResult* result = functions_.processUbatch(context, micro, type, memory, status);
    inMicroBatch_ = false;
    return result;
}

void DecodeRun::nameRowsOf(const MicroBatch& micro) {
    tensors_ = {};
    searched_ = recorded_ = {};
    swallow_ = false;
    names_ = nameRows(micro, batch_);
    tokenCount_ = micro.tokenCount;
    outputTokens_.clear();
    for (size_t i = 0; names_ && i < tokenCount_; ++i)
        if (micro.outputs[i] != 0) outputTokens_.push_back(i);
    if (names_) return;
    if (attached_.recording) fail(RTD_UNSUPPORTED, "llama.cpp's micro-batch does not agree with its batch; hidden states cannot be told apart");
    if (!uniform_)
        fail(RTD_UNSUPPORTED,
             "llama.cpp's micro-batch does not agree with its batch, so its sequences cannot be told apart: give all sequences the "
             "same options, or evaluate them one at a time");
}

int32_t DecodeRun::compute(GgmlScheduler* scheduler, GgmlGraph* graph) {
    // Shifting the context's memory is computed outside of micro-batches.
    if (inMicroBatch_) guarded([&] { findStates(graph); });
    if (inMicroBatch_ && failed()) return kStatusFailed;  // llama.cpp then removes the micro-batch from its memory
    // Without a row of logits nobody asks for states.
    const bool isWatched = inMicroBatch_ && !(names_ && names_->empty()) && (cutting_ || isPassing(searched_) || isPassing(recorded_));
    if (!isWatched) return functions_.computeAsync(scheduler, graph);
    functions_.setEvalCallback(scheduler, &DecodeRun::watch, this);
    const int32_t status = functions_.computeAsync(scheduler, graph);
    functions_.setEvalCallback(scheduler, nullptr, nullptr);  // node-llama-cpp sets none of its own
    guarded([&] {
        const auto isMissing = [&](const States& states) { return isPassing(states) && states.taken.empty(); };
        if (status == kStatusSuccess && (cutting_ ? !swallow_ : isMissing(searched_) || isMissing(recorded_)))
            fail(RTD_UNSUPPORTED, "llama.cpp did not compute the hidden states that are to be searched for or recorded");
    });
    return failed() ? kStatusFailed : status;
}

void DecodeRun::findStates(GgmlGraph* graph) {
    tensors_ = findTensors(functions_, graph, attached_.shape);
    if (merging_) searched_ = statesOf(attached_.attachment->layer(), graph);
    if (attached_.recording) recorded_ = statesOf(attached_.recording->layer(), graph);
}

States DecodeRun::statesOf(const std::string& layer, GgmlGraph* graph) const {
    if (layer.empty()) return {tensors_.hidden, true, {}};
    GgmlTensor* tensor = findLayer(functions_, graph, attached_.shape, layer);
    const auto rows = static_cast<size_t>(tensor->elements[1]);
    const auto outputs = static_cast<size_t>(tensors_.logits->elements[1]);
    // Unnamed rows are all alike to who asks, but which tokens' they are is then not known either.
    if (rows != outputs && !(names_ && rows == tokenCount_))
        fail(RTD_UNSUPPORTED, "layer: \"%s\" has %zu rows for a micro-batch of %zu tokens, of which %zu have logits; which are whose is not known",
             layer.c_str(), rows, tokenCount_, outputs);
    return {tensor, (tensor->flags & kTensorFlagOutput) != 0 && rows == outputs, {}};
}

// Asked before a node is computed whether it is of interest, and told when it has been.
bool DecodeRun::watch(GgmlTensor* tensor, bool ask, void* state) {
    auto& run = *static_cast<DecodeRun*>(state);
    // A graph ends by parts, those of one device each: of the parts to come no more than the first node is computed.
    if (run.swallow_ || run.failed()) return ask;
    const bool isEnd = run.cutting_ && tensor == run.recorded_.tensor;
    const bool isSearched = run.isPassing(run.searched_) && tensor == run.searched_.tensor;
    const bool isRecorded = run.isPassing(run.recorded_) && tensor == run.recorded_.tensor;
    const bool isWanted = isEnd || isSearched || isRecorded;
    if (ask || !isWanted) return ask == isWanted;
    run.guarded([&] {
        if (isSearched) run.take(run.searched_);
        if (isRecorded) run.take(run.recorded_);
        if (!isEnd) return;
        std::vector<float> room;
        run.recordRows(run.rowsOf(run.recorded_, room), nullptr);
        run.swallow_ = true;
    });
    return !isEnd && !run.failed();  // else the graph ends
}

// Copies the output rows of states that have just been computed.
void DecodeRun::take(States& states) const {
    std::vector<float> room;
    const float* rows = onHost(states.tensor, room);
    const auto dim = static_cast<size_t>(states.tensor->elements[0]);
    const auto count = static_cast<size_t>(states.tensor->elements[1]);
    const auto outputs = static_cast<size_t>(tensors_.logits->elements[1]);
    states.taken.resize(outputs * dim);
    for (size_t i = 0; i < outputs; ++i)
        std::memcpy(states.taken.data() + i * dim, rows + (count == outputs ? i : outputTokens_[i]) * dim, dim * sizeof(float));
}

GgmlBuffer* DecodeRun::bufferOf(const GgmlTensor* tensor) { return tensor->viewed != nullptr ? tensor->viewed->buffer : tensor->buffer; }

const float* DecodeRun::onHost(const GgmlTensor* tensor, std::vector<float>& room) const {
    if (functions_.bufferIsHost(bufferOf(tensor))) return static_cast<const float*>(tensor->data);
    const auto size = static_cast<size_t>(tensor->elements[0] * tensor->elements[1]);
    room.resize(size);
    functions_.getTensor(tensor, room.data(), 0, size * sizeof(float));
    return room.data();
}

const float* DecodeRun::rowsOf(const States& states, std::vector<float>& room) const {
    return isPassing(states) ? states.taken.data() : onHost(states.tensor, room);
}

// Whether the reference's device can use a tensor where it lies. What the memory of another GPU backend has for an address is nothing that may even
// be asked about (Vulkan's are numbers of its own), so ggml's word for it comes first.
bool DecodeRun::isOnReferencesDevice(const GgmlTensor* tensor) const {
    GgmlBuffer* buffer = bufferOf(tensor);
    if (functions_.bufferIsHost(buffer) || std::strncmp(functions_.bufferName(buffer), "CUDA", 4) != 0) return false;
    int reaches = 0;
    if (const rtd_status status = rtd_index_reaches(attached_.attachment->index(), tensor->data, &reaches); status != RTD_OK)
        throw Error(status, rtd_last_error());
    return reaches != 0;
}

void DecodeRun::copyLogits(GgmlBackend* backend, const GgmlTensor* tensor, void* data, size_t offset, size_t size) {
    if (swallow_) return;  // they were never computed, and nobody will look
    std::optional<Merge> merge;
    guarded([&] {
        checkCopy(backend, offset, size);
        if (!merging_) return;
        optionsOfRows();
        const std::vector<RowName> unnamed(names_ ? 0 : rowOptions_.size());
        merge.emplace(*attached_.attachment, names_ ? *names_ : unnamed, rowOptions_, attached_.shape);
        const bool isThere = isOnReferencesDevice(tensors_.logits) && searched_.isKept && isOnReferencesDevice(searched_.tensor);
        if (isThere && !merge->needsHost()) mergeOnDevice(backend, *merge);
    });
    functions_.getTensorAsync(backend, tensor, data, offset, size);
    guarded([&] { useLogits(backend, static_cast<float*>(data), merge ? &*merge : nullptr); });
}

void DecodeRun::checkCopy(GgmlBackend* backend, size_t offset, size_t size) const {
    if (offset != 0) fail(RTD_UNSUPPORTED, "llama.cpp copied only part of a micro-batch's logits");
    const auto rows = static_cast<size_t>(tensors_.logits->elements[1]);
    if (size != rows * static_cast<size_t>(attached_.shape.vocabulary) * sizeof(float) || (names_ && names_->size() != rows))
        fail(RTD_UNSUPPORTED, "llama.cpp copied %zu bytes of logits for the %zu rows of a micro-batch", size, rows);
    if (std::strncmp(functions_.backendName(backend), "Meta", 4) == 0)
        fail(RTD_UNSUPPORTED, "a model split by tensors over devices (SPLIT_MODE_TENSOR) cannot be attached to or recorded; split it by layers");
}

// Before the copy: nothing of hidden states or logits is copied but what is sampled from. The logits are the last that the graph computes, so
// with them the hidden states are whole; the reference's launch is on a stream of its own, and done when this returns.
void DecodeRun::mergeOnDevice(GgmlBackend* backend, Merge& merge) const {
    functions_.synchronize(backend);
    merge.runOnDevice(static_cast<const float*>(searched_.tensor->data), static_cast<float*>(tensors_.logits->data));
}

// After the copy, in the host memory it goes to; llama.cpp waits for it itself where nothing is left to do here.
void DecodeRun::useLogits(GgmlBackend* backend, float* logits, Merge* merge) {
    if (!attached_.recording && (merge == nullptr || merge->isDone())) return;
    functions_.synchronize(backend);
    std::vector<float> room;
    if (attached_.recording) recordRows(rowsOf(recorded_, room), logits);
    if (merge == nullptr) return;
    if (merge->isDone()) return;
    const float* hidden = rowsOf(searched_, room);
    merge->run(hidden, logits);
    merge->tell(hidden, logits);
}

// Each row's options; recorded rows have none. Rows without names are in a batch whose sequences all have the same.
void DecodeRun::optionsOfRows() {
    rowOptions_.assign(static_cast<size_t>(tensors_.logits->elements[1]), batchOptions_.front());
    if (!names_) return;
    for (size_t i = 0; i < rowOptions_.size(); ++i) {
        const bool recorded = attached_.recording && attached_.recording->wants((*names_)[i]);
        rowOptions_[i] = recorded ? nullptr : &options_->of((*names_)[i].sequence);
    }
}

void DecodeRun::recordRows(const float* hidden, const float* logits) {
    const auto dim = static_cast<size_t>(attached_.shape.embeddingSize);
    const auto vocabulary = static_cast<size_t>(attached_.shape.vocabulary);
    for (size_t i = 0; i < names_->size(); ++i) {
        const RowName name = (*names_)[i];
        if (!attached_.recording->wants(name)) continue;
        std::memcpy(attached_.recording->hiddenRow(name), hidden + i * dim, dim * sizeof(float));
        if (attached_.recording->wantsLogitsOf(name))
            std::memcpy(attached_.recording->logitsRow(name), logits + i * vocabulary, vocabulary * sizeof(float));
        attached_.recording->markTaken(name);
    }
}

// The application is told that the decode failed and keeps none of its tokens, so neither may the context: llama.cpp itself does the same for the
// micro-batch in which computing fails.
void DecodeRun::forgetBatch() {
    if (batch_.positions == nullptr || batch_.sequences == nullptr) return;
    forgetFrom(functions_, context_, firstPositions());
}

std::map<int32_t, int32_t> DecodeRun::firstPositions() const {
    std::map<int32_t, int32_t> first;
    for (int32_t i = 0; i < batch_.tokenCount; ++i) {
        const RowName name = nameInBatch(batch_, i);
        const auto [entry, inserted] = first.emplace(name.sequence, name.position);
        if (!inserted) entry->second = std::min(entry->second, name.position);
    }
    return first;
}

void forgetFrom(const Functions& functions, LlamaContext* context, const std::map<int32_t, int32_t>& firstPositions) {
    LlamaMemory* memory = functions.memory(context);
    for (const auto& [sequence, position] : firstPositions) functions.removeSequence(memory, sequence, position, -1);
}

}  // namespace rtd::llama
