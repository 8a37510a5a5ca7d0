// Rows of logits that wait for a rule: those of the decode that has just ended, until JavaScript has weighed them.
//
// The decoding thread searches for them when llama.cpp copies its logits, and merges nothing. Once the decode has returned JavaScript is asked about
// each row, on its own thread, and the merge is done in llama.cpp's memory before anybody samples from it. node-llama-cpp keeps the context, and does
// not decode on it, until then.
#pragma once
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "llama/llama_abi.h"
#include "llama/options.h"
#include "llama/step_queue.h"

namespace rtd::llama {

struct UndecidedRow {
    Step step;                     // hits and figures; the hidden state where somebody listens
    RowOptions options;            // as they were when the decode began
    float* logits = nullptr;       // [vocabulary], llama.cpp's
    std::vector<float> beginning;  // of the logits, by which the row is known again
    bool isBroken = false;         // its hidden state is not finite: nobody is asked
};

// What a rule says of a row; what it does not is as the row's options have it.
struct Decision {
    std::optional<float> referenceWeight, temperature;
};

struct UndecidedBatch {
    LlamaContext* context = nullptr;
    std::map<int32_t, int32_t> firstPositions;  // of the batch, by sequence
    size_t vocabulary = 0;
    std::vector<UndecidedRow> rows;
};

// Where the decoding thread leaves a batch and JavaScript's takes it.
class UndecidedSlot {
  public:
    // Drops what nobody has taken: of a decode that failed.
    void put(UndecidedBatch batch) {
        const std::lock_guard lock(mutex_);
        batch_ = std::move(batch);
    }
    void add(UndecidedRow row) {
        const std::lock_guard lock(mutex_);
        batch_.rows.push_back(std::move(row));
    }
    UndecidedBatch take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(batch_, {});
    }

  private:
    std::mutex mutex_;
    UndecidedBatch batch_;
};

class Attachment;

// Merges a row as it was decided, counts it, and tells a listener. Throws rtd::Error; the logits are then as they were. RTD_UNSUPPORTED where they are
// not the row's any more.
void settle(Attachment& attachment, size_t vocabulary, UndecidedRow& row, const Decision& decision);

}  // namespace rtd::llama
