#include "index/row_options.h"

#include <algorithm>
#include <cmath>

#include "core/arguments.h"
#include "core/memory.h"

namespace rtd {
namespace {

constexpr size_t kMaxRows = size_t{1} << 31;  // rows are counted in 32 bits

SearchRow readSearch(const rtd_row_options& given, size_t at) {
    SearchRow row;
    if (given.k < 1 || given.k > RTD_MAX_K) fail(RTD_INVALID_ARGUMENT, "row options %zu: k is %u; give 1..%u", at, given.k, RTD_MAX_K);
    row.k = given.k;
    if (given.flags & RTD_ROW_MAX_DISTANCE) {
        if (std::isnan(given.max_distance)) fail(RTD_INVALID_ARGUMENT, "row options %zu: max_distance is NaN", at);
        row.maxDistance = given.max_distance;
    }
    if (given.namespace_count > RTD_MAX_NAMESPACES)
        fail(RTD_INVALID_ARGUMENT, "row options %zu: %u namespaces; give at most %u", at, given.namespace_count, RTD_MAX_NAMESPACES);
    if (given.namespaces) {
        row.anyNamespace = false;
        row.namespaces.assign(given.namespaces, given.namespaces + given.namespace_count);
    } else if (given.namespace_count > 0) {
        fail(RTD_INVALID_ARGUMENT, "row options %zu: namespaces is NULL, but namespace_count is %u", at, given.namespace_count);
    }
    if (given.seed_count > RTD_MAX_K)
        fail(RTD_INVALID_ARGUMENT, "row options %zu: seed_count is %zu; give at most %u", at, given.seed_count, RTD_MAX_K);
    if (given.seed_count > 0) {
        needPointer(given.seeds, "seeds");
        row.seeds.assign(given.seeds, given.seeds + given.seed_count);
        std::sort(row.seeds.begin(), row.seeds.end());
        row.seeds.erase(std::unique(row.seeds.begin(), row.seeds.end()), row.seeds.end());
    }
    return row;
}

std::shared_ptr<const Biases> readBiases(const rtd_row_options& given, size_t at) {
    if (given.bias_count == 0) return nullptr;
    needPointer(given.bias_tokens, "bias_tokens");
    needPointer(given.bias_values, "bias_values");
    auto biases = std::make_shared<Biases>();
    reserve(*biases, given.bias_count, "biases");
    for (size_t i = 0; i < given.bias_count; ++i) {
        if (given.bias_tokens[i] < 0) fail(RTD_TOKEN_RANGE, "row options %zu: bias_tokens[%zu] is %d; give tokens", at, i, given.bias_tokens[i]);
        if (!std::isfinite(given.bias_values[i]))
            fail(RTD_INVALID_ARGUMENT, "row options %zu: bias_values[%zu] is %g; give finite numbers", at, i,
                 static_cast<double>(given.bias_values[i]));
        biases->push_back({static_cast<uint32_t>(given.bias_tokens[i]), given.bias_values[i]});
    }
    std::sort(biases->begin(), biases->end(), [](const Bias& a, const Bias& b) { return a.token < b.token; });
    const auto twice = std::adjacent_find(biases->begin(), biases->end(), [](const Bias& a, const Bias& b) { return a.token == b.token; });
    if (twice != biases->end()) fail(RTD_INVALID_ARGUMENT, "row options %zu: bias_tokens has token %u twice; give each once", at, twice->token);
    return biases;
}

std::optional<Gate> readGate(const rtd_row_options& row, size_t at) {
    if (!row.gate) return std::nullopt;
    const rtd_gate given = readOptions(row.gate, "gate");
    if (!(given.max_weight >= 0 && given.max_weight <= 1))
        fail(RTD_INVALID_ARGUMENT, "row options %zu: gate.max_weight is %g; give 0..1", at, static_cast<double>(given.max_weight));
    for (const float coefficient : {given.bias, given.hit_entropy, given.largest_vote, given.model_entropy})
        if (!std::isfinite(coefficient))
            fail(RTD_INVALID_ARGUMENT, "row options %zu: a coefficient of the gate is %g; give finite numbers", at, static_cast<double>(coefficient));
    return Gate{given.max_weight, given.bias, given.hit_entropy, given.largest_vote, given.model_entropy};
}

FusionOptions readFusion(const rtd_row_options& given, size_t at) {
    const std::optional<Gate> gate = readGate(given, at);
    if (!gate && !(given.reference_weight >= 0 && given.reference_weight <= 1))
        fail(RTD_INVALID_ARGUMENT, "row options %zu: reference_weight is %g; give 0..1", at, static_cast<double>(given.reference_weight));
    if (!(given.temperature >= 0 && given.temperature <= std::numeric_limits<float>::max()))
        fail(RTD_INVALID_ARGUMENT, "row options %zu: temperature is %g; give a number above 0, or 0 for the index's default", at,
             static_cast<double>(given.temperature));
    return {gate ? gate->maxWeight : given.reference_weight, given.temperature, (given.flags & RTD_ROW_UNMASK) != 0, readBiases(given, at), gate};
}

RowOptions readRow(const rtd_row_options* element, size_t at, OptionUse use) {
    constexpr uint32_t kKnownFlags = RTD_ROW_MAX_DISTANCE | RTD_ROW_UNMASK | RTD_ROW_SKIP;
    const rtd_row_options given = readOptions(element, "row options");
    RowOptions row;
    if (given.flags & ~kKnownFlags) fail(RTD_INVALID_ARGUMENT, "row options %zu: flags is 0x%x; known are 0x%x", at, given.flags, kKnownFlags);
    row.isSkipped = (given.flags & RTD_ROW_SKIP) != 0;
    if (row.isSkipped) return row;
    if (use.search) row.search = readSearch(given, at);
    if (use.fusion) row.fusion = readFusion(given, at);
    return row;
}

}  // namespace

std::vector<RowOptions> readRowOptions(const rtd_row_options* rows, size_t rowCount, size_t batch, OptionUse use) {
    if (rowCount != 1 && rowCount != batch) fail(RTD_INVALID_ARGUMENT, "%zu row options for %zu rows; give 1 for all, or one each", rowCount, batch);
    if (batch > kMaxRows) fail(RTD_INVALID_ARGUMENT, "%zu rows; give at most %zu", batch, kMaxRows);
    if (batch == 0) return {};
    needPointer(rows, "rows");
    std::vector<RowOptions> read;
    reserve(read, batch, "row options");
    if (rowCount == 1) {
        read.resize(batch, readRow(rows, 0, use));
        return read;
    }
    const auto* element = reinterpret_cast<const std::byte*>(rows);
    const uint32_t size = rows->struct_size;  // the distance between elements, as the caller's compiler laid them out
    for (size_t b = 0; b < batch; ++b) {
        const auto* row = reinterpret_cast<const rtd_row_options*>(element + b * size);
        if (row->struct_size != size)
            fail(RTD_INVALID_ARGUMENT, "row options %zu: struct_size is %u, but the first row's is %u", b, row->struct_size, size);
        read.push_back(readRow(row, b, use));
    }
    return read;
}

void resolveTemperatures(std::vector<RowOptions>& rows, float byDefault, bool all) {
    for (size_t b = 0; b < rows.size(); ++b) {
        FusionOptions& fusion = rows[b].fusion;
        if (rows[b].isSkipped || (fusion.weight == 0 && !all) || fusion.temperature > 0) continue;
        if (byDefault == 0)
            fail(RTD_NO_TEMPERATURE, "row %zu wants the index's default temperature, and there is none: seal the index, or give one", b);
        fusion.temperature = byDefault;
    }
}

void needBiasesBelow(const std::vector<RowOptions>& rows, size_t vocabulary) {
    for (size_t b = 0; b < rows.size(); ++b) {
        const Biases* biases = rows[b].fusion.biases.get();
        if (biases && biases->back().token >= vocabulary)
            fail(RTD_TOKEN_RANGE, "row options %zu: bias_tokens has %u; the logits have %zu columns", b, biases->back().token, vocabulary);
    }
}

}  // namespace rtd
