#include "napi/options.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "napi/arguments.h"
#include "napi/failure.h"

namespace rtd::napi {

Options::Options(const Napi::Value& value, const std::string& name, std::string prefix) : object_(value), prefix_(std::move(prefix)) {
    if (!value.IsUndefined() && !value.IsObject()) invalid(name + ": expected an object, got " + describe(value));
}

Napi::Value Options::get(const char* property) const { return object_.IsUndefined() ? object_ : object_.As<Napi::Object>().Get(property); }

uint32_t Options::integer(const char* property, uint32_t fallback, uint32_t least, uint32_t most) const {
    const Napi::Value value = get(property);
    return value.IsUndefined() ? fallback : readInteger(value, nameOf(property), least, most);
}

float Options::number(const char* property, float fallback) const {
    const Napi::Value value = get(property);
    return value.IsUndefined() ? fallback : readNumber(value, nameOf(property));
}

bool Options::flag(const char* property, bool fallback) const {
    const Napi::Value value = get(property);
    if (value.IsUndefined()) return fallback;
    if (!value.IsBoolean()) invalid(nameOf(property) + ": expected true or false, got " + describe(value));
    return value.As<Napi::Boolean>().Value();
}

size_t Options::choice(const char* property, size_t fallback, std::span<const char* const> allowed) const {
    const Napi::Value value = get(property);
    if (value.IsUndefined()) return fallback;
    if (value.IsString()) {
        const std::string text = value.As<Napi::String>().Utf8Value();
        const auto found = std::find(allowed.begin(), allowed.end(), text);
        if (found != allowed.end()) return static_cast<size_t>(found - allowed.begin());
    }
    std::string list;
    for (const char* name : allowed) list += (list.empty() ? "\"" : ", \"") + std::string(name) + '"';
    invalid(nameOf(property) + ": expected one of " + list + ", got " + describe(value));
}

std::string Options::text(const char* property, const std::string& fallback) const {
    const Napi::Value value = get(property);
    return value.IsUndefined() ? fallback : readString(value, nameOf(property));
}

std::string Options::backend() const {
    const rtd_backend_info* list = nullptr;
    size_t count = 0;
    check(rtd_backends(&list, &count));
    std::vector<const char*> names{"auto"};
    for (size_t i = 0; i < count; ++i) names.push_back(list[i].name);
    return names[choice("backend", 0, names)];
}

namespace {

void expectBias(const std::vector<int32_t>& tokens, const std::vector<float>& values, const Options& parts) {
    for (size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i]))
            invalid(parts.nameOf("values") + "[" + std::to_string(i) + "]: expected a finite number, got " + std::to_string(values[i]));
    std::vector<int32_t> sorted = tokens;
    std::sort(sorted.begin(), sorted.end());
    if (!sorted.empty() && sorted.front() < 0) invalid(parts.nameOf("tokens") + ": expected tokens, got " + std::to_string(sorted.front()));
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) invalid(parts.nameOf("tokens") + ": expected each once, got token " + std::to_string(*twice) + " twice");
}

rtd_gate readGate(const Options& parts) {
    const auto finite = [&](const char* property) {
        const float value = readNumber(parts.get(property), parts.nameOf(property));
        if (!std::isfinite(value))
            invalid(parts.nameOf(property) + ": expected a number that float32 can hold, got " + describe(parts.get(property)));
        return value;
    };
    const rtd_gate gate = {sizeof(rtd_gate),     finite("maxWeight"),   finite("bias"),
                           finite("hitEntropy"), finite("largestVote"), finite("modelEntropy")};
    if (!(gate.max_weight >= 0 && gate.max_weight <= 1))
        invalid(parts.nameOf("maxWeight") + ": expected a number from 0 to 1, got " + describe(parts.get("maxWeight")));
    return gate;
}

}  // namespace

Rows::Rows(const Options& options) {
    rtd_row_options row{};
    row.struct_size = sizeof row;
    row.k = kDefaultK;
    row.reference_weight = kDefaultWeight;
    row = read(options, row);
    k_ = row.k;
    const Napi::Value list = options.get("rows");
    each_ = !list.IsUndefined();
    if (!each_) {
        rows_.push_back(row);
        return;
    }
    if (!list.IsArray()) invalid("rows: expected an array with one object for each query, got " + describe(list));
    const auto array = list.As<Napi::Array>();
    const uint32_t count = array.Length();
    rows_.reserve(count);
    for (uint32_t i = 0; i < count; ++i) {
        const std::string name = "rows[" + std::to_string(i) + "]";
        const Napi::Value element = array.Get(i);
        rows_.push_back(read(Options(element, name, name + "."), row));
    }
}

rtd_row_options Rows::read(const Options& options, rtd_row_options row) {
    row.k = options.integer("k", row.k, 1, RTD_MAX_K);
    row.reference_weight = options.number("referenceWeight", row.reference_weight);
    if (options.has("gate")) {
        gates_.push_back(readGate(Options(options.get("gate"), options.nameOf("gate"), options.nameOf("gate."))));
        row.gate = &gates_.back();
    } else if (options.has("referenceWeight")) {
        row.gate = nullptr;  // that of the options around
    }
    if (!(row.reference_weight >= 0 && row.reference_weight <= 1))
        invalid(options.nameOf("referenceWeight") + ": expected a number from 0 to 1, got " + describe(options.get("referenceWeight")));
    if (options.has("temperature")) {
        row.temperature = options.number("temperature", 0);
        if (!(row.temperature > 0 && std::isfinite(row.temperature))) {
            const Napi::Value given = options.get("temperature");
            const bool positive = given.IsNumber() && given.As<Napi::Number>().DoubleValue() > 0;
            invalid(options.nameOf("temperature") + ": expected a number " + (positive ? "that float32 can hold (1.4e-45 to 3.4e38)" : "above 0") +
                    ", got " + describe(given));
        }
    }
    if (options.has("maxDistance")) {
        row.max_distance = options.number("maxDistance", 0);
        row.flags |= RTD_ROW_MAX_DISTANCE;
    }
    if (const Napi::Value list = options.get("namespaces"); !list.IsUndefined()) {
        static const uint32_t none = 0;  // an empty list accepts nothing; a null pointer would accept everything
        namespaces_.push_back(readList(list, options.nameOf("namespaces")));
        const auto& accepted = namespaces_.back();
        if (accepted.size() > RTD_MAX_NAMESPACES) {
            invalid(options.nameOf("namespaces") + ": expected at most " + std::to_string(RTD_MAX_NAMESPACES) + ", got " +
                    std::to_string(accepted.size()));
        }
        row.namespaces = accepted.empty() ? &none : accepted.data();
        row.namespace_count = static_cast<uint32_t>(accepted.size());
    }
    if (const Napi::Value list = options.get("seeds"); !list.IsUndefined()) {
        seeds_.push_back(readList(list, options.nameOf("seeds")));
        if (seeds_.back().size() > RTD_MAX_K) {
            invalid(options.nameOf("seeds") + ": expected at most " + std::to_string(RTD_MAX_K) + ", got " + std::to_string(seeds_.back().size()));
        }
        row.seeds = seeds_.back().data();
        row.seed_count = seeds_.back().size();
    }
    if (const Napi::Value bias = options.get("bias"); !bias.IsUndefined()) {
        const Options parts(bias, options.nameOf("bias"), options.nameOf("bias."));
        biasTokens_.push_back(readTokens(parts.get("tokens"), parts.nameOf("tokens")));
        biasValues_.push_back(readNumbers(parts.get("values"), parts.nameOf("values")));
        expectLength(biasValues_.back().size(), biasTokens_.back().size(), parts.nameOf("values"), "one for each of " + parts.nameOf("tokens"));
        expectBias(biasTokens_.back(), biasValues_.back(), parts);
        row.bias_tokens = biasTokens_.back().data();
        row.bias_values = biasValues_.back().data();
        row.bias_count = biasTokens_.back().size();
    }
    const auto set = [&](const char* property, uint32_t flag) {
        row.flags = options.flag(property, (row.flags & flag) != 0) ? row.flags | flag : row.flags & ~flag;
    };
    set("unmask", RTD_ROW_UNMASK);
    set("skip", RTD_ROW_SKIP);
    return row;
}

void Rows::expect(size_t queries) const {
    if (each_) expectLength(rows_.size(), queries, "rows", "one for each query");
}

uint32_t Rows::largestK() const {
    uint32_t largest = rows_.empty() ? k_ : 1;
    for (const auto& row : rows_) largest = std::max(largest, row.k);
    return largest;
}

}  // namespace rtd::napi
