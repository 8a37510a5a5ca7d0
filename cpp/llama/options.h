// What an attachment wants of each row of logits.
#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "rtd.h"

namespace rtd::llama {

struct Gate : rtd_gate {
    bool operator==(const Gate& other) const { return std::memcmp(this, &other, sizeof other) == 0; }
};

struct RowOptions {
    bool enabled = true;
    bool unmask = false;
    uint32_t k = 16;
    float referenceWeight = 0.5F;
    float temperature = 0;  // 0: the index's default
    std::optional<float> maxDistance;
    std::optional<std::vector<uint32_t>> namespaces;  // accepted; none given: all
    std::vector<int32_t> biasTokens;
    std::vector<float> biasValues;  // one each
    std::optional<Gate> gate;       // in place of referenceWeight

    RowOptions() = default;
    // Copies a call's options, lists included.
    RowOptions(const rtd_row_options& row, bool enabled_)
        : enabled(enabled_),
          unmask((row.flags & RTD_ROW_UNMASK) != 0),
          k(row.k),
          referenceWeight(row.reference_weight),
          temperature(row.temperature) {
        if ((row.flags & RTD_ROW_MAX_DISTANCE) != 0) maxDistance = row.max_distance;
        if (row.namespaces != nullptr) namespaces.emplace(row.namespaces, row.namespaces + row.namespace_count);
        biasTokens.assign(row.bias_tokens, row.bias_tokens + row.bias_count);
        biasValues.assign(row.bias_values, row.bias_values + row.bias_count);
        if (row.gate != nullptr) gate = Gate{*row.gate};
    }

    bool operator==(const RowOptions&) const = default;
    bool merges() const { return enabled && (gate ? gate->max_weight : referenceWeight) > 0; }
    // Whether a device cannot merge it: see rtd.h.
    bool needsHost() const { return merges() && (gate || !biasTokens.empty()); }

    // For rtd_search_and_fuse; valid as long as this object stays where it is.
    rtd_row_options forCall() const {
        static constexpr uint32_t kNone = 0;  // an empty list accepts nothing; a null pointer would accept everything
        rtd_row_options row{};
        row.struct_size = sizeof row;
        row.k = k;
        row.reference_weight = referenceWeight;
        row.temperature = temperature;
        row.max_distance = maxDistance.value_or(0);
        row.flags = (maxDistance ? RTD_ROW_MAX_DISTANCE : 0U) | (unmask ? RTD_ROW_UNMASK : 0U) | (enabled ? 0U : RTD_ROW_SKIP);
        if (namespaces) {
            row.namespaces = namespaces->empty() ? &kNone : namespaces->data();
            row.namespace_count = static_cast<uint32_t>(namespaces->size());
        }
        row.bias_tokens = biasTokens.data();
        row.bias_values = biasValues.data();
        row.bias_count = biasTokens.size();
        row.gate = gate ? &*gate : nullptr;
        return row;
    }
};

struct OptionTable {
    RowOptions common;
    std::map<int32_t, RowOptions> sequences;  // those that have options of their own

    const RowOptions& of(int32_t sequence) const {
        const auto own = sequences.find(sequence);
        return own == sequences.end() ? common : own->second;
    }
};

}  // namespace rtd::llama
