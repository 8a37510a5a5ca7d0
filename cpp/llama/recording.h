// Hidden states of one layer taken from one sequence while its tokens are evaluated, and its logits if they are wanted.
//
// llama.cpp computes hidden states for output rows only, so the tokens to be recorded are marked as outputs for the length of one decode. Without
// logits the graph is ended right after the hidden states: neither LM head nor copy of the logits is paid for.
#pragma once
#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "llama/attachment.h"

namespace rtd::llama {

class Recording {
  public:
    // Positions [first, first + count) of a sequence, and the logits of the last logitRows of them (all if there are fewer); vocabulary 0: without.
    // layer: llama.cpp's name of it, empty for the last norm.
    Recording(int32_t sequence, int32_t first, size_t count, size_t dim, size_t vocabulary, std::string layer = {}, size_t logitRows = SIZE_MAX)
        : sequence_(sequence),
          first_(first),
          dim_(dim),
          vocabulary_(vocabulary),
          layer_(std::move(layer)),
          firstLogits_(count - std::min(count, logitRows)),
          hidden_(count * dim),
          logits_((count - firstLogits_) * vocabulary),
          taken_(count) {}

    bool wants(RowName name) const {
        return name.sequence == sequence_ && name.position >= first_ && static_cast<size_t>(name.position - first_) < taken_.size();
    }
    int32_t sequence() const { return sequence_; }
    const std::string& layer() const { return layer_; }
    bool wantsLogits() const { return vocabulary_ > 0; }
    bool wantsLogitsOf(RowName name) const { return wantsLogits() && rowOf(name) >= firstLogits_; }

    // Where a row goes.
    float* hiddenRow(RowName name) { return hidden_.data() + rowOf(name) * dim_; }
    float* logitsRow(RowName name) { return logits_.data() + (rowOf(name) - firstLogits_) * vocabulary_; }
    void markTaken(RowName name) { taken_[rowOf(name)] = true; }

    // Once all is evaluated.
    bool complete() const {
        return std::all_of(taken_.begin(), taken_.end(), [](bool row) { return row; });
    }
    const std::vector<float>& hidden() const { return hidden_; }
    const std::vector<float>& logits() const { return logits_; }

    FailureSlot failure;

  private:
    size_t rowOf(RowName name) const { return static_cast<size_t>(name.position - first_); }

    int32_t sequence_;
    int32_t first_;
    size_t dim_;
    size_t vocabulary_;
    std::string layer_;
    size_t firstLogits_;
    std::vector<float> hidden_;  // [count, dim]
    std::vector<float> logits_;  // [count - firstLogits_, vocabulary]
    std::vector<bool> taken_;    // [count]
};

}  // namespace rtd::llama
