#include "llama/merge.h"

#include <algorithm>
#include <cmath>

namespace rtd::llama {

namespace {

rtd_index_info infoOf(const rtd_index* index) {
    rtd_index_info info{};
    info.struct_size = sizeof info;
    if (const rtd_status status = rtd_index_get_info(index, &info); status != RTD_OK) throw Error(status, rtd_last_error());
    return info;
}

bool finite(const float* values, size_t count) {
    return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

uint32_t largestK(const std::vector<const RowOptions*>& options) {
    uint32_t largest = 1;
    for (const RowOptions* row : options)
        if (row != nullptr && row->enabled) largest = std::max(largest, row->k);
    return largest;
}

}  // namespace

void checkMergeable(const Attachment& attachment, std::span<const RowOptions* const> options, size_t vocabulary) {
    const rtd_index_info info = infoOf(attachment.index());
    if (info.max_token >= 0 && static_cast<size_t>(info.max_token) >= vocabulary)
        fail(RTD_TOKEN_RANGE, "the reference holds token %d, but the model's vocabulary has %zu; it was made for another model", info.max_token,
             vocabulary);
    for (const RowOptions* row : options) {
        if (row == nullptr || row->biasTokens.empty()) continue;
        const int32_t largest = *std::max_element(row->biasTokens.begin(), row->biasTokens.end());
        if (static_cast<size_t>(largest) >= vocabulary)
            fail(RTD_TOKEN_RANGE, "bias.tokens has %d, but the model's vocabulary has %zu", largest, vocabulary);
    }
    if (info.live == 0 || info.temperature > 0) return;
    const auto wants = [](const RowOptions* row) { return row != nullptr && row->merges() && row->temperature == 0; };
    if (std::any_of(options.begin(), options.end(), wants))
        fail(RTD_NO_TEMPERATURE, "the reference has no default temperature yet: seal the index, or give one with the attachment's options");
}

Merge::Hits::Hits(size_t rows, uint32_t heads_, uint32_t capacity_) : capacity(capacity_), heads(heads_) {
    const size_t size = rows * heads * capacity;
    ids.resize(size, RTD_NO_ID);
    distances.resize(size, INFINITY);
    tokens.resize(size, RTD_NO_TOKEN);
    counts.resize(rows * heads, 0);
}

// The hits of one row, cut to its own k.
void Merge::Hits::copyRow(size_t row, uint32_t k, Step& step) const {
    for (uint32_t head = 0; head < heads; ++head) {
        const size_t from = (row * heads + head) * capacity;
        const auto append = [&](auto& to, const auto& source) {
            const auto begin = source.begin() + static_cast<std::ptrdiff_t>(from);
            to.insert(to.end(), begin, begin + k);
        };
        append(step.ids, ids);
        append(step.distances, distances);
        append(step.tokens, tokens);
        step.counts.push_back(counts[row * heads + head]);
    }
}

Merge::Merge(Attachment& attachment, std::vector<RowName> names, std::vector<const RowOptions*> options, const ModelShape& shape)
    : attachment_(attachment),
      names_(std::move(names)),
      options_(std::move(options)),
      dim_(static_cast<size_t>(shape.embeddingSize)),
      vocabulary_(static_cast<size_t>(shape.vocabulary)),
      isListenedTo_(attachment.steps.listening()),
      info_(infoOf(attachment.index())),
      hits_(isListenedTo_ ? names_.size() : 0, info_.heads, largestK(options_)),
      statuses_(names_.size(), RTD_ROW_UNCHANGED) {}

bool Merge::needsHost() const {
    return std::any_of(options_.begin(), options_.end(), [](const RowOptions* row) { return row != nullptr && row->needsHost(); });
}

void Merge::run(const float* hidden, float* logits) { call(hidden, logits, hidden, RTD_MEMORY_HOST); }

void Merge::runOnDevice(const float* hidden, float* logits, const float* hostHidden) { call(hidden, logits, hostHidden, RTD_MEMORY_DEVICE); }

void Merge::call(const float* hidden, float* logits, const float* hostHidden, rtd_memory memory) {
    const size_t rows = names_.size();
    std::vector<rtd_row_options> options(rows);
    std::vector<bool> isBroken(rows);
    bool any = false;
    for (size_t i = 0; i < rows; ++i) {
        options[i].struct_size = sizeof options[i];
        options[i].flags = RTD_ROW_SKIP;
        if (!isEnabled(i)) continue;
        // A hidden state that is not finite is the model's failure: its row stays as it is, the others are merged. The device finds that out itself.
        isBroken[i] = hostHidden != nullptr && !finite(hostHidden + i * dim_, dim_);
        // Nothing to search in an empty index, which has no temperature either.
        if (isBroken[i] || info_.live == 0 || !(options_[i]->merges() || isListenedTo_)) continue;
        options[i] = options_[i]->forCall();
        // A row that is only listened to needs no temperature.
        if (!options_[i]->merges() && options[i].temperature == 0) options[i].temperature = 1;
        any = true;
    }
    if (any) {
        const rtd_matrix queries{hidden, rows, dim_, 0, RTD_F32};
        const rtd_mutable_matrix matrix{logits, rows, vocabulary_, 0, RTD_F32};
        rtd_call_options how{};
        how.struct_size = sizeof how;
        how.threads = attachment_.threads();
        how.memory = memory;
        const rtd_hits hits = {hits_.ids.data(), hits_.distances.data(), hits_.tokens.data(), hits_.counts.data(), hits_.capacity};
        const rtd_status status = rtd_search_and_fuse(attachment_.index(), &queries, &matrix, options.data(), rows, &how,
                                                      isListenedTo_ ? &hits : nullptr, statuses_.data());
        if (status != RTD_OK) throw Error(status, rtd_last_error());
    }
    for (size_t i = 0; i < rows; ++i)
        if (isBroken[i]) statuses_[i] = RTD_ROW_UNMERGEABLE;
    isDone_ = true;
    count();
}

void Merge::count() {
    Counters& counters = attachment_.counters;
    for (size_t i = 0; i < names_.size(); ++i) {
        if (!isEnabled(i)) continue;
        ++counters.rows;
        ++(statuses_[i] == RTD_ROW_MERGED ? counters.merged : statuses_[i] == RTD_ROW_UNCHANGED ? counters.unchanged : counters.unmergeable);
    }
}

void Merge::tell(const float* hidden, const float* logits) {
    if (!isListenedTo_) return;
    for (size_t i = 0; i < names_.size(); ++i) {
        if (!isEnabled(i)) continue;
        const uint32_t k = options_[i]->k;
        const size_t bytes = sizeof(float) * (dim_ + vocabulary_ + size_t{hits_.heads} * (3 * size_t{k} + 1)) + sizeof(Step);
        attachment_.steps.push(bytes, [&] {
            Step step;
            step.name = names_[i];
            step.hidden.assign(hidden + i * dim_, hidden + (i + 1) * dim_);
            step.logits.assign(logits + i * vocabulary_, logits + (i + 1) * vocabulary_);
            step.status = statuses_[i];
            hits_.copyRow(i, k, step);
            return step;
        });
    }
}

}  // namespace rtd::llama
