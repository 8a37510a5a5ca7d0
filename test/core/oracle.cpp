#include "oracle.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "core/canonical.h"

namespace oracle {
namespace {

float canonicalSum(const float* q, const float* x, uint32_t n, bool isDot) {
    float s[128] = {};
    for (uint32_t i = 0; i < n; ++i) {
        const float t = q[i] - x[i];
        s[i % 128] = isDot ? std::fma(q[i], x[i], s[i % 128]) : std::fma(t, t, s[i % 128]);
    }
    for (int step = 64; step > 0; step /= 2)
        for (int j = 0; j < step; ++j) s[j] += s[j + step];
    return s[0];
}

double canonicalSum(const std::vector<double>& terms) {
    double s[128] = {};
    for (size_t i = 0; i < terms.size(); ++i) s[i % 128] += terms[i];
    for (int step = 64; step > 0; step /= 2)
        for (int j = 0; j < step; ++j) s[j] += s[j + step];
    return s[0];
}

// As a segmented scan does it: every entry at once, steps doubling.
double doublingSum(std::vector<double> now) {
    for (size_t step = 1; step < now.size(); step *= 2) {
        std::vector<double> next = now;
        for (size_t i = 0; i + step < now.size(); ++i) next[i] = now[i] + now[i + step];
        now = next;
    }
    return now[0];
}

double canonicalLse(const std::vector<float>& logits, float top) {
    std::vector<double> terms;
    for (size_t begin = 0; begin < logits.size(); begin += 1024) {
        const size_t end = std::min(begin + 1024, logits.size());
        const float m = *std::max_element(logits.begin() + static_cast<ptrdiff_t>(begin), logits.begin() + static_cast<ptrdiff_t>(end));
        std::vector<double> e;
        if (m > -INFINITY)
            for (size_t v = begin; v < end; ++v) e.push_back(rtd::expSmall(logits[v] - m));
        terms.push_back(canonicalSum(e) * rtd::expWide(static_cast<double>(m) - static_cast<double>(top)));
    }
    return static_cast<double>(top) + rtd::logWide(canonicalSum(terms));
}

// Each token's share of the vote, canonical and exact.
struct Shares {
    std::map<int32_t, double> canonical;
    std::map<int32_t, long double> exact;
};

Shares vote(const std::vector<std::vector<Hit>>& heads, double temperature) {
    Shares shares;
    for (const std::vector<Hit>& all : heads) {
        std::vector<Hit> hits;
        for (const Hit& hit : all)
            if (std::isfinite(hit.distance)) hits.push_back(hit);
        if (hits.empty()) continue;
        double nearest = hits[0].distance;
        for (const Hit& hit : hits) nearest = std::min(nearest, static_cast<double>(hit.distance));
        std::map<int32_t, std::vector<double>> byToken;
        std::vector<double> w;
        long double exactZ = 0;
        for (const Hit& hit : hits) {
            w.push_back(rtd::expWide((nearest - static_cast<double>(hit.distance)) / temperature));
            byToken[hit.token].push_back(w.back());
            exactZ += expl((static_cast<long double>(nearest) - static_cast<long double>(hit.distance)) / static_cast<long double>(temperature));
        }
        for (const Hit& hit : hits)
            shares.exact[hit.token] +=
                expl((static_cast<long double>(nearest) - static_cast<long double>(hit.distance)) / static_cast<long double>(temperature)) / exactZ;
        const double z = canonicalSum(w);
        for (const auto& [token, weights] : byToken) {
            const double r = doublingSum(weights) / z;
            const auto place = shares.canonical.find(token);
            if (place == shares.canonical.end())
                shares.canonical[token] = r;
            else
                place->second += r;
        }
    }
    if (heads.size() > 1) {
        for (auto& [token, r] : shares.canonical) r /= static_cast<double>(heads.size());
        for (auto& [token, r] : shares.exact) r /= static_cast<long double>(heads.size());
    }
    return shares;
}

// By pieces of 1024, as the log-sum-exp.
double canonicalEntropy(const std::vector<float>& logits, float top) {
    std::vector<double> sums, moments;
    for (size_t begin = 0; begin < logits.size(); begin += 1024) {
        const size_t end = std::min(begin + 1024, logits.size());
        float m = -INFINITY;
        for (size_t v = begin; v < end; ++v) m = std::max(m, logits[v]);
        std::vector<double> e, moment;
        for (size_t v = begin; v < end && m > -INFINITY; ++v) {
            const float x = logits[v] - m;
            e.push_back(rtd::expSmall(x));
            moment.push_back(rtd::expSmall(x) * (x > -87 ? x : -87));
        }
        const double below = static_cast<double>(m) - static_cast<double>(top), scale = rtd::expWide(below);
        sums.push_back(canonicalSum(e) * scale);
        moments.push_back(m > -INFINITY ? scale * std::fma(canonicalSum(e), below, canonicalSum(moment)) : 0);
    }
    return rtd::logWide(canonicalSum(sums)) - canonicalSum(moments) / canonicalSum(sums);
}

long double exactEntropy(const std::vector<float>& logits, float top) {
    long double sum = 0, entropy = 0;
    for (const float l : logits) sum += expl(static_cast<long double>(l) - static_cast<long double>(top));
    for (const float l : logits) {
        const long double p = expl(static_cast<long double>(l) - static_cast<long double>(top)) / sum;
        if (p > 0) entropy -= p * logl(p);
    }
    return entropy;
}

double gatedWeight(const rtd_gate& gate, const rtd_row_figures& figures) {
    double z = std::fma(static_cast<double>(gate.hit_entropy), figures.hit_entropy, static_cast<double>(gate.bias));
    z = std::fma(static_cast<double>(gate.largest_vote), figures.largest_vote, z);
    z = std::fma(static_cast<double>(gate.model_entropy), figures.model_entropy, z);
    const double most = gate.max_weight;
    return z < 0 ? most * rtd::expWide(z) / (1 + rtd::expWide(z)) : most / (1 + rtd::expWide(-z));
}

}  // namespace

std::vector<Hit> nearest(const Data& data, const float* query, uint32_t head, const rtd_row_options& options) {
    struct Candidate {
        float value;
        uint32_t id;
    };
    const uint32_t length = data.dim / data.heads, offset = head * length;
    std::vector<Candidate> candidates;
    for (uint32_t id = 0; id < data.size(); ++id) {
        if (data.removed[id]) continue;
        if (options.namespaces && std::find(options.namespaces, options.namespaces + options.namespace_count, data.namespaces[id]) ==
                                      options.namespaces + options.namespace_count)
            continue;
        float value = canonicalSum(query + offset, &data.keys[size_t{id} * data.dim + offset], length, data.metric == RTD_DOT);
        if (data.metric == RTD_DOT) value = -value;
        candidates.push_back({std::isnan(value) ? INFINITY : value == 0 ? 0.0f : value, id});
    }
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.value < b.value || (a.value == b.value && a.id < b.id); });
    std::vector<Hit> hits;
    for (const Candidate& c : candidates) {
        const float distance = data.metric == RTD_L2 ? std::sqrt(c.value) : c.value;
        if (hits.size() == options.k || (options.flags & RTD_ROW_MAX_DISTANCE && distance > options.max_distance)) break;
        hits.push_back({distance, c.id, data.tokens[c.id]});
    }
    return hits;
}

long double trueDistance(const Data& data, const float* query, uint32_t head, uint32_t id) {
    const uint32_t length = data.dim / data.heads, offset = head * length;
    long double sum = 0;
    for (uint32_t i = offset; i < offset + length; ++i) {
        const auto q = static_cast<long double>(query[i]), x = static_cast<long double>(data.keys[size_t{id} * data.dim + i]);
        sum += data.metric == RTD_DOT ? -q * x : (q - x) * (q - x);
    }
    return data.metric == RTD_L2 ? sqrtl(sum) : sum;
}

Fused fuse(const std::vector<float>& given, const std::vector<std::vector<Hit>>& heads, float weight, float temperature, bool unmask,
           const std::map<int32_t, float>& bias, const rtd_gate* gate) {
    Fused fused{RTD_ROW_UNCHANGED, given, {}, 0, {}, {}};
    if (gate) weight = gate->max_weight;
    fused.figures = {INFINITY, 0, 0, NAN, 0, temperature};
    for (const std::vector<Hit>& hits : heads)
        for (const Hit& hit : hits)
            if (std::isfinite(hit.distance)) fused.figures.nearest = std::min(fused.figures.nearest, static_cast<double>(hit.distance));
    const Shares shares = vote(heads, temperature);
    std::vector<double> terms;
    for (const auto& [token, r] : shares.canonical) {
        terms.push_back(r > 0 ? r * rtd::logWide(r) : 0);
        fused.figures.largest_vote = std::max(fused.figures.largest_vote, r);
    }
    fused.figures.hit_entropy = std::max(0.0, -canonicalSum(terms));
    for (const auto& [token, r] : shares.exact) {
        fused.exactFigures.hitEntropy -= r > 0 ? r * logl(r) : 0;
        fused.exactFigures.largestVote = std::max(fused.exactFigures.largestVote, r);
    }
    std::vector<float> logits = given;
    for (const auto& [token, value] : bias) logits[static_cast<size_t>(token)] += value;
    float top = -INFINITY;
    bool isNan = false;
    for (const float l : logits) {
        isNan = isNan || std::isnan(l);
        top = std::max(top, l);
    }
    if (isNan || std::isinf(top)) {
        if (weight > 0) fused.status = RTD_ROW_UNMERGEABLE;
        return fused;
    }
    fused.figures.model_entropy = canonicalEntropy(logits, top);
    fused.exactFigures.modelEntropy = exactEntropy(logits, top);
    const double a = gate ? gatedWeight(*gate, fused.figures) : static_cast<double>(weight);
    if (shares.canonical.empty() || weight == 0 || a == 0) return fused;

    fused.status = RTD_ROW_MERGED;
    fused.logits = logits;
    fused.figures.reference_weight = a;
    const double lse = canonicalLse(logits, top);
    long double sum = 0;
    for (const float l : logits) sum += expl(static_cast<long double>(l) - static_cast<long double>(top));
    fused.lse = static_cast<long double>(top) + logl(sum);
    fused.exact.assign(logits.begin(), logits.end());
    if (a == 1) {
        std::fill(fused.logits.begin(), fused.logits.end(), -INFINITY);
        std::fill(fused.exact.begin(), fused.exact.end(), -INFINITY);
    }
    for (const auto& [token, r] : shares.canonical) {
        const auto v = static_cast<size_t>(token);
        const long double exactR = shares.exact.at(token);
        if (a == 1) {
            fused.logits[v] = static_cast<float>(rtd::logWide(r));
            fused.exact[v] = logl(exactR);
        } else if (r != 0 && (unmask || logits[v] != -INFINITY)) {
            const double p = rtd::expWide(static_cast<double>(logits[v]) - lse);
            const auto merged = static_cast<float>(lse + rtd::logWide(std::fma(a / (1 - a), r, p)));
            fused.logits[v] = std::max(merged, logits[v]);
            fused.exact[v] = fused.lse + logl(expl(static_cast<long double>(logits[v]) - fused.lse) +
                                              static_cast<long double>(a) / (1 - static_cast<long double>(a)) * exactR);
        }
    }
    return fused;
}

float fromF16(uint16_t bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const float magnitude = exponent == 31  ? (mantissa ? NAN : INFINITY)
                            : exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                            : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
}

uint16_t toF16(float value) {
    const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
    if (std::isnan(value)) return 0x7e00;
    uint16_t low = 0, high = 0x7c00;  // the largest float16 not above |value| lies between them
    const float magnitude = std::fabs(value);
    while (high - low > 1) {
        const auto middle = static_cast<uint16_t>((low + high) / 2);
        (fromF16(middle) <= magnitude ? low : high) = middle;
    }
    const double above = high == 0x7c00 ? 65536.0 : static_cast<double>(fromF16(high)), middle = (static_cast<double>(fromF16(low)) + above) / 2;
    const bool isUp = static_cast<double>(magnitude) > middle || (static_cast<double>(magnitude) == middle && low % 2 == 1);
    return sign | (isUp ? high : low);
}

std::vector<float> imageOf(const rtd_transform& t, const float* row) {
    std::vector<float> centred(t.input_dim), image(t.output_dim);
    for (uint32_t i = 0; i < t.input_dim; ++i) centred[i] = row[i] - (t.mean ? t.mean[i] : 0);
    for (uint32_t j = 0; j < t.output_dim; ++j)
        image[j] = t.kind == RTD_TRANSFORM_SCALE ? centred[j] * t.weights[j]
                                                 : canonicalSum(centred.data(), t.weights + size_t{j} * t.input_dim, t.input_dim, true);
    return image;
}

float roundTo(rtd_dtype dtype, float value) {
    if (dtype == RTD_F16) return fromF16(toF16(value));
    if (dtype == RTD_F32 || !std::isfinite(value) || value == 0) return value;
    // bfloat16: 8 significant bits, exponents as float32. Scaled so that its unit is 1; nearbyint rounds to even.
    const int exponent = std::max(std::ilogb(value), -126) - 7;
    return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(static_cast<double>(value), -exponent)), exponent));
}

}  // namespace oracle
