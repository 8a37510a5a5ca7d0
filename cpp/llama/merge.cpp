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
    const bool isRuled = attachment.isRuled();  // which may give any row a weight
    const auto wants = [&](const RowOptions* row) { return row != nullptr && (row->merges() || (isRuled && row->enabled)) && row->temperature == 0; };
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
      isRuled_(attachment.isRuled()),
      info_(infoOf(attachment.index())),
      hits_(isListenedTo_ || isRuled_ ? names_.size() : 0, info_.heads, largestK(options_)),
      statuses_(names_.size(), RTD_ROW_UNCHANGED),
      figures_(names_.size(), rtd_row_figures{INFINITY, 0, 0, std::nan(""), 0, 0}) {}

bool Merge::needsHost() const {
    if (isListenedTo_ || isRuled_) return true;  // who is told figures
    return std::any_of(options_.begin(), options_.end(), [](const RowOptions* row) { return row != nullptr && row->needsHost(); });
}

void Merge::run(const float* hidden, float* logits) {
    const std::vector<bool> isBroken = brokenRows(hidden);
    if (isRuled_)
        leaveUndecided(hidden, logits, isBroken);
    else
        fuse(hidden, logits, isBroken, RTD_MEMORY_HOST);
}

// The device finds out itself what is not finite.
void Merge::runOnDevice(const float* hidden, float* logits) { fuse(hidden, logits, std::vector<bool>(names_.size()), RTD_MEMORY_DEVICE); }

// A hidden state that is not finite is the model's failure: its row stays as it is, the others are merged.
std::vector<bool> Merge::brokenRows(const float* hidden) const {
    std::vector<bool> isBroken(names_.size());
    for (size_t i = 0; i < names_.size(); ++i) isBroken[i] = isEnabled(i) && !finite(hidden + i * dim_, dim_);
    return isBroken;
}

std::vector<rtd_row_options> Merge::optionsOf(const std::vector<bool>& isBroken) const {
    std::vector<rtd_row_options> options(names_.size());
    const bool isEmpty = info_.live == 0;
    for (size_t i = 0; i < options.size(); ++i) {
        options[i].struct_size = sizeof options[i];
        options[i].flags = RTD_ROW_SKIP;
        if (!isEnabled(i) || isBroken[i] || !attachment_.wants(*options_[i]) || (isEmpty && !isListenedTo_ && !isRuled_)) continue;
        options[i] = options_[i]->forCall();
        if (isEmpty) {  // nothing to merge in an empty index, which has no temperature either
            options[i].reference_weight = 0;
            options[i].gate = nullptr;
        }
        // A row that nothing is merged into needs no temperature, but its figures do.
        if (options[i].temperature == 0 && info_.temperature == 0 && (isEmpty || !options_[i]->merges())) options[i].temperature = 1;
    }
    return options;
}

void Merge::fuse(const float* hidden, float* logits, const std::vector<bool>& isBroken, rtd_memory memory) {
    const size_t rows = names_.size();
    const std::vector<rtd_row_options> options = optionsOf(isBroken);
    if (std::any_of(options.begin(), options.end(), [](const rtd_row_options& row) { return (row.flags & RTD_ROW_SKIP) == 0; })) {
        const rtd_matrix queries{hidden, rows, dim_, 0, RTD_F32};
        const rtd_mutable_matrix matrix{logits, rows, vocabulary_, 0, RTD_F32};
        rtd_call_options how{};
        how.struct_size = sizeof how;
        how.threads = attachment_.threads();
        how.memory = memory;
        if (isListenedTo_) how.figures = figures_.data();
        const rtd_hits hits = hits_.view();
        const rtd_status status = rtd_search_and_fuse(attachment_.index(), &queries, &matrix, options.data(), rows, &how,
                                                      isListenedTo_ ? &hits : nullptr, statuses_.data());
        if (status != RTD_OK) throw Error(status, rtd_last_error());
    }
    isDone_ = true;
    for (size_t i = 0; i < rows; ++i) {
        if (isBroken[i]) statuses_[i] = RTD_ROW_UNMERGEABLE;
        if (isEnabled(i)) attachment_.counters.count(statuses_[i]);
    }
}

void Merge::leaveUndecided(const float* hidden, float* logits, const std::vector<bool>& isBroken) {
    constexpr size_t kBeginning = 16;
    const size_t rows = names_.size();
    std::vector<rtd_row_options> options = optionsOf(isBroken);
    for (rtd_row_options& row : options)
        if ((row.flags & RTD_ROW_SKIP) == 0 && row.temperature == 0) row.temperature = info_.temperature;
    const rtd_matrix queries{hidden, rows, dim_, 0, RTD_F32}, matrix{logits, rows, vocabulary_, 0, RTD_F32};
    rtd_call_options how{};
    how.struct_size = sizeof how;
    how.threads = attachment_.threads();
    const rtd_hits hits = hits_.view();
    rtd_status status = rtd_search(attachment_.index(), &queries, options.data(), rows, &how, &hits);
    if (status == RTD_OK) status = rtd_figures(&hits, info_.heads, &matrix, options.data(), rows, figures_.data());
    if (status != RTD_OK) throw Error(status, rtd_last_error());
    isDone_ = true;
    for (size_t i = 0; i < rows; ++i) {
        if (!isEnabled(i)) continue;
        float* row = logits + i * vocabulary_;
        UndecidedRow undecided{stepOf(i), *options_[i], row, {row, row + std::min(kBeginning, vocabulary_)}, isBroken[i]};
        if (isListenedTo_) undecided.step.hidden.assign(hidden + i * dim_, hidden + (i + 1) * dim_);
        attachment_.undecided.add(std::move(undecided));
    }
}

// Without hidden state and logits.
Step Merge::stepOf(size_t row) const {
    Step step;
    step.name = names_[row];
    step.status = statuses_[row];
    step.figures = figures_[row];
    hits_.copyRow(row, options_[row]->k, step);
    return step;
}

void Merge::tell(const float* hidden, const float* logits) {
    if (!isListenedTo_ || isRuled_) return;
    for (size_t i = 0; i < names_.size(); ++i) {
        if (!isEnabled(i)) continue;
        const uint32_t k = options_[i]->k;
        const size_t bytes = sizeof(float) * (dim_ + vocabulary_ + size_t{hits_.heads} * (3 * size_t{k} + 1)) + sizeof(Step);
        attachment_.steps.push(bytes, [&] {
            Step step = stepOf(i);
            step.hidden.assign(hidden + i * dim_, hidden + (i + 1) * dim_);
            step.logits.assign(logits + i * vocabulary_, logits + (i + 1) * vocabulary_);
            return step;
        });
    }
}

}  // namespace rtd::llama
