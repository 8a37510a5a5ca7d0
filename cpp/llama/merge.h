// Merging the reference into the rows of logits of one micro-batch: one call of rtd_search_and_fuse for all of them.
//
// Where llama.cpp and the reference share a CUDA device that call is made there, with llama.cpp's own memory, before the logits are copied to the
// host; anywhere else, and where more is wanted than a device does, in the host's copy. What became of the rows, and what a listener is told, is the same bit for bit.
#pragma once
#include <span>

#include "llama/attachment.h"
#include "llama/build.h"

namespace rtd::llama {

// What is wrong before anything is computed: a token of the reference or of a bias beyond the vocabulary, no temperature. Throws it.
void checkMergeable(const Attachment& attachment, std::span<const RowOptions* const> options, size_t vocabulary);

class Merge {
  public:
    // names [rows], -1, -1 where unknown; options [rows], nullptr for a row that is not to be touched, nor shown to a listener.
    Merge(Attachment& attachment, std::vector<RowName> names, std::vector<const RowOptions*> options, const ModelShape& shape);

    // Whether somebody listened when the merge was made. Only then is there anything to tell.
    bool isListenedTo() const { return isListenedTo_; }
    bool isDone() const { return isDone_; }
    // Whether some row can only be merged in the host's memory.
    bool needsHost() const;

    // Rewrites logits [rows, vocabulary] in place, from hidden states [rows, dim]. Throws rtd::Error; the logits are then as they were. Cost: one
    // search of the rows that merge (all enabled rows where somebody listens). With a rule it only searches, and leaves the rows undecided.
    void run(const float* hidden, float* logits);

    // The same in the device's memory, unless needsHost(). After an error of the device itself the logits are undefined.
    void runOnDevice(const float* hidden, float* logits);

    // Hands copies of the enabled rows to the listener: of the hidden states and merged logits, both of the host.
    void tell(const float* hidden, const float* logits);

  private:
    // Room for the hits of all rows.
    struct Hits {
        uint32_t capacity = 0;
        uint32_t heads = 0;
        std::vector<uint32_t> ids;
        std::vector<float> distances;
        std::vector<int32_t> tokens;
        std::vector<uint32_t> counts;

        Hits(size_t rows, uint32_t heads_, uint32_t capacity_);
        void copyRow(size_t row, uint32_t k, Step& step) const;
        rtd_hits view() { return {ids.data(), distances.data(), tokens.data(), counts.data(), capacity}; }
    };

    bool isEnabled(size_t row) const { return options_[row] != nullptr && options_[row]->enabled; }
    std::vector<rtd_row_options> optionsOf(const std::vector<bool>& isBroken) const;
    std::vector<bool> brokenRows(const float* hidden) const;
    void fuse(const float* hidden, float* logits, const std::vector<bool>& isBroken, rtd_memory memory);
    void leaveUndecided(const float* hidden, float* logits, const std::vector<bool>& isBroken);
    Step stepOf(size_t row) const;

    Attachment& attachment_;
    std::vector<RowName> names_;
    std::vector<const RowOptions*> options_;
    size_t dim_, vocabulary_;
    bool isListenedTo_, isRuled_, isDone_ = false;
    rtd_index_info info_;
    Hits hits_;
    std::vector<rtd_row_status> statuses_;
    std::vector<rtd_row_figures> figures_;
};

}  // namespace rtd::llama
