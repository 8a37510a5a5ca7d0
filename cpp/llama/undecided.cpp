#include "llama/undecided.h"

#include <cstring>

#include "llama/attachment.h"

namespace rtd::llama {
namespace {

void check(rtd_status status) {
    if (status != RTD_OK) throw Error(status, rtd_last_error());
}

void mergeRow(const Attachment& attachment, size_t vocabulary, UndecidedRow& row, const Decision& decision) {
    Step& step = row.step;
    rtd_row_options options = row.options.forCall();
    if (decision.referenceWeight) {
        options.reference_weight = *decision.referenceWeight;
        options.gate = nullptr;
    }
    options.temperature = decision.temperature.value_or(static_cast<float>(step.figures.temperature));
    const auto heads = static_cast<uint32_t>(step.counts.size());
    const rtd_hits hits = {nullptr, step.distances.data(), step.tokens.data(), step.counts.data(), row.options.k};
    if (attachment.steps.listening()) {
        const rtd_matrix before = {row.logits, 1, vocabulary, 0, RTD_F32};
        check(rtd_figures(&hits, heads, &before, &options, 1, &step.figures));
    }
    const rtd_mutable_matrix logits = {row.logits, 1, vocabulary, 0, RTD_F32};
    check(rtd_fuse(&hits, heads, &logits, &options, 1, &step.status));
}

}  // namespace

void settle(Attachment& attachment, size_t vocabulary, UndecidedRow& row, const Decision& decision) {
    if (std::memcmp(row.logits, row.beginning.data(), row.beginning.size() * sizeof(float)) != 0)
        fail(RTD_UNSUPPORTED, "llama.cpp's logits are not where they were copied to any more: a rule cannot be used with this build");
    row.step.status = RTD_ROW_UNMERGEABLE;
    if (!row.isBroken) mergeRow(attachment, vocabulary, row, decision);
    attachment.counters.count(row.step.status);
    if (!attachment.steps.listening()) return;
    attachment.steps.push(row.step.bytes() + vocabulary * sizeof(float), [&] {
        row.step.logits.assign(row.logits, row.logits + vocabulary);
        return std::move(row.step);
    });
}

}  // namespace rtd::llama
