// What results should be, from the design's words and as plainly as possible; shares nothing with the library but exp and log, whose own
// test is number_test.cpp.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "rtd.h"

namespace oracle {

// An index as a table.
struct Data {
    uint32_t dim = 1, heads = 1;
    rtd_metric metric = RTD_L2;
    std::vector<float> keys;  // [n, dim], as kept (rounded)
    std::vector<int32_t> tokens;
    std::vector<uint32_t> namespaces;
    std::vector<bool> removed;

    size_t size() const { return tokens.size(); }
};

struct Hit {
    float distance;  // the metric's
    uint32_t id;
    int32_t token;
};

// One head's hits for a query [dim].
std::vector<Hit> nearest(const Data& data, const float* query, uint32_t head, const rtd_row_options& options);

// The distance in long double, nothing rounded on the way.
long double trueDistance(const Data& data, const float* query, uint32_t head, uint32_t id);

// A row's figures in long double.
struct Figures {
    long double hitEntropy = 0, largestVote = 0, modelEntropy = 0;
};

struct Fused {
    rtd_row_status status;
    std::vector<float> logits;       // the canonical result, bit for bit
    std::vector<long double> exact;  // the same in long double; empty unless merged
    long double lse = 0;
    rtd_row_figures figures = {};  // canonical
    Figures exactFigures;
};

// A row of logits fused with the hits of its heads. What is exact is so for logits to which the bias, by token, has been added in float32.
Fused fuse(const std::vector<float>& logits, const std::vector<std::vector<Hit>>& heads, float weight, float temperature, bool unmask,
           const std::map<int32_t, float>& bias = {}, const rtd_gate* gate = nullptr);

// A row [input_dim] under a transform, whose words are in rtd.h and transform.h.
std::vector<float> imageOf(const rtd_transform& transform, const float* row);

// Bits of a float16, rounded to nearest even, and its value.
uint16_t toF16(float value);
float fromF16(uint16_t bits);
// The nearest number of a dtype.
float roundTo(rtd_dtype dtype, float value);

}  // namespace oracle
