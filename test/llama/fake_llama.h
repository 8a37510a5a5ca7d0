// A stand-in for llama.cpp: contexts that "decode" a batch in the micro-batches a test asks for, with the calls in the order the real one makes them.
// Hidden states are rows of (sequence, position, 0, 1), logits rows of zeros unless a test has others; before them a test may have two blocks' states, rows of
// (sequence, position, block, 2), whose memory is used again as soon as the next node is computed: "l_out-0" of all tokens, "l_out-1" of the output rows. Their memory can be a device's: then computing
// and copying the logits are only queued, and done when the backend is synchronised.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "llama/decode_run.h"

namespace test {

using namespace rtd::llama;

constexpr int64_t kDim = 4;
constexpr int64_t kVocabulary = 10;

// A batch that owns its arrays.
struct Batch {
    std::vector<int32_t> tokens, positions, counts, sequences;
    std::vector<int32_t*> sequencePointers;
    std::vector<int8_t> outputs;

    void add(int32_t token, RowName name, bool output);
    LlamaBatch view();
};

// Which tokens of the batch a micro-batch holds, in its order.
struct Micro {
    std::vector<int32_t> members;
    std::function<void(MicroBatch&)> spoil;  // makes it disagree with the batch
};

struct FakeLlama {
    std::vector<Micro> micros;
    bool device = false;                                                                // memory of tensors is not the host's
    const char* buffers = "Vulkan0";                                                    // whose it is
    std::function<float(RowName, int64_t)> hidden, logit;                               // other numbers, by row and place
    std::function<void(const GgmlTensor& hidden, const GgmlTensor& logits)> onTensors;  // told before anything is computed
    bool named = true;                                                                  // whether the hidden states can be found
    bool blocks = false;                                                                // the blocks' states are there
    size_t secondPart = 0;  // number of the node from which another device computes; 0: none does
    bool throws = false;    // llama_decode throws after its first micro-batch
    const char* backend = "CPU";

    // What was seen.
    std::vector<std::vector<float>> logits;  // by micro-batch, as the application gets them
    std::vector<std::vector<int8_t>> outputsSeen;
    int copies = 0;       // real copies of logits
    int deviceReads = 0;  // of tensors
    int computedNodes = 0;
    std::string calls;             // in order: s synchronize, c copy of logits, r read of another tensor
    std::vector<RowName> removed;  // sequences removed from memory, from a position on

    Functions functions();
    int32_t decode(Batch& batch, const Attached& attached);
};

Attached attachedTo(std::shared_ptr<Attachment> attachment, std::shared_ptr<Recording> recording = nullptr);

// A sealed index of one key for each token, in namespaces 0, 1, ...; all at the origin where no keys are given.
rtd_index* indexOf(const std::vector<int32_t>& tokens, std::vector<float> keys = {});

}  // namespace test
