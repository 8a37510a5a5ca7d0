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

// Room for the hits of all rows, for a listener.
struct HitRoom {
    uint32_t capacity = 0;
    uint32_t heads = 0;
    std::vector<uint32_t> ids;
    std::vector<float> distances;
    std::vector<int32_t> tokens;
    std::vector<uint32_t> counts;

    HitRoom(size_t rows, uint32_t heads_, uint32_t capacity_) : capacity(capacity_), heads(heads_) {
        const size_t size = rows * heads * capacity;
        ids.resize(size, RTD_NO_ID);
        distances.resize(size, INFINITY);
        tokens.resize(size, RTD_NO_TOKEN);
        counts.resize(rows * heads, 0);
    }
    rtd_hits view() { return {ids.data(), distances.data(), tokens.data(), counts.data(), capacity}; }

    // The hits of one row, cut to its own k.
    void copyRow(size_t row, uint32_t k, Step& step) const {
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
};

bool finite(const float* values, size_t count) {
    return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

void tell(Attachment& attachment, const RowsToMerge& rows, const HitRoom& hits, const std::vector<rtd_row_status>& statuses) {
    for (size_t i = 0; i < rows.names.size(); ++i) {
        const RowOptions* options = rows.options[i];
        if (options == nullptr || !options->enabled) continue;
        const size_t bytes = sizeof(float) * (rows.dim + rows.vocabulary + size_t{hits.heads} * (3 * size_t{options->k} + 1)) + sizeof(Step);
        attachment.steps.push(bytes, [&] {
            Step step;
            step.name = rows.names[i];
            step.hidden.assign(rows.hidden + i * rows.dim, rows.hidden + (i + 1) * rows.dim);
            step.logits.assign(rows.logits + i * rows.vocabulary, rows.logits + (i + 1) * rows.vocabulary);
            step.status = statuses[i];
            hits.copyRow(i, options->k, step);
            return step;
        });
    }
}

}  // namespace

void checkMergeable(const Attachment& attachment, std::span<const RowOptions* const> options, size_t vocabulary) {
    const rtd_index_info info = infoOf(attachment.index());
    if (info.max_token >= 0 && static_cast<size_t>(info.max_token) >= vocabulary)
        fail(RTD_TOKEN_RANGE, "the reference holds token %d, but the model's vocabulary has %zu; it was made for another model", info.max_token,
             vocabulary);
    if (info.live == 0 || info.temperature > 0) return;
    const auto wants = [](const RowOptions* row) { return row != nullptr && row->merges() && row->temperature == 0; };
    if (std::any_of(options.begin(), options.end(), wants))
        fail(RTD_NO_TEMPERATURE, "the reference has no default temperature yet: seal the index, or give one with the attachment's options");
}

void mergeRows(Attachment& attachment, const RowsToMerge& rows) {
    const size_t count = rows.names.size();
    const rtd_index_info info = infoOf(attachment.index());
    const bool listening = attachment.steps.listening();

    std::vector<rtd_row_options> options(count);
    std::vector<rtd_row_status> statuses(count, RTD_ROW_UNCHANGED);
    std::vector<bool> broken(count);
    uint32_t capacity = 1;
    bool any = false;
    for (size_t i = 0; i < count; ++i) {
        options[i].struct_size = sizeof options[i];
        options[i].flags = RTD_ROW_SKIP;
        if (rows.options[i] == nullptr || !rows.options[i]->enabled) continue;
        capacity = std::max(capacity, rows.options[i]->k);
        // A hidden state that is not finite is the model's failure: its row stays as it is, the others are merged.
        broken[i] = !finite(rows.hidden + i * rows.dim, rows.dim);
        // Nothing to search in an empty index, which has no temperature either.
        if (broken[i] || info.live == 0 || !(rows.options[i]->merges() || listening)) continue;
        options[i] = rows.options[i]->forCall();
        // A row that is only listened to needs no temperature.
        if (!rows.options[i]->merges() && options[i].temperature == 0) options[i].temperature = 1;
        any = true;
    }

    HitRoom hits(listening ? count : 0, info.heads, capacity);
    if (any) {
        const rtd_matrix queries{rows.hidden, count, rows.dim, 0, RTD_F32};
        const rtd_mutable_matrix logits{rows.logits, count, rows.vocabulary, 0, RTD_F32};
        rtd_call_options call{};
        call.struct_size = sizeof call;
        call.threads = attachment.threads();
        const rtd_hits view = hits.view();
        const rtd_status status =
            rtd_search_and_fuse(attachment.index(), &queries, &logits, options.data(), count, &call, listening ? &view : nullptr, statuses.data());
        if (status != RTD_OK) throw Error(status, rtd_last_error());
    }

    for (size_t i = 0; i < count; ++i) {
        if (rows.options[i] == nullptr || !rows.options[i]->enabled) continue;
        if (broken[i]) statuses[i] = RTD_ROW_UNMERGEABLE;
        ++attachment.counters.rows;
        ++(statuses[i] == RTD_ROW_MERGED      ? attachment.counters.merged
           : statuses[i] == RTD_ROW_UNCHANGED ? attachment.counters.unchanged
                                              : attachment.counters.unmergeable);
    }
    if (listening) tell(attachment, rows, hits, statuses);
}

}  // namespace rtd::llama
