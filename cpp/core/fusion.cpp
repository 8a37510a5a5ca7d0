#include "core/fusion.h"

#include <algorithm>
#include <cmath>

#include "core/canonical.h"

namespace rtd {
namespace {

// The doubling sum of fusion.h; n >= 1. Overwrites s.
double doublingSum(double* s, size_t n) {
    for (size_t step = 1; step < n; step *= 2)
        for (size_t i = 0; i + step < n; i += 2 * step) s[i] = addRn(s[i], s[i + step]);
    return s[0];
}

Biases::const_iterator firstFrom(const Biases& biases, size_t token) {
    return std::lower_bound(biases.begin(), biases.end(), token, [](const Bias& bias, size_t least) { return bias.token < least; });
}

double weightOf(const Gate& gate, const rtd_row_figures& figures) {
    double z = fmaRn(static_cast<double>(gate.hitEntropy), figures.hit_entropy, static_cast<double>(gate.bias));
    z = fmaRn(static_cast<double>(gate.largestVote), figures.largest_vote, z);
    z = fmaRn(static_cast<double>(gate.modelEntropy), figures.model_entropy, z);
    const double t = expWide(-std::fabs(z)), most = static_cast<double>(gate.maxWeight);
    return divRn(z >= 0 ? most : mulRn(most, t), addRn(1.0, t));
}

float mergedLogit(float logit, double lse, double r, double a, bool unmask) {
    if (r == 0.0 || (std::isinf(logit) && !unmask)) return logit;
    const double p = expWide(subRn(static_cast<double>(logit), lse));
    const double merged = addRn(lse, logWide(fmaRn(divRn(a, subRn(1.0, a)), r, p)));
    return std::max(logit, static_cast<float>(merged));
}

}  // namespace

float LogitsRow::get(size_t v) const {
    const float logit = dtype_ == Dtype::f32 ? static_cast<const float*>(data_)[v] : toFloat(static_cast<const F16*>(data_)[v]);
    if (!biases_) return logit;
    const auto bias = firstFrom(*biases_, v);
    return bias != biases_->end() && bias->token == v ? addRn(logit, bias->value) : logit;
}

const float* LogitsRow::piece(size_t begin, size_t n, float* room) const {
    auto bias = biases_ ? firstFrom(*biases_, begin) : Biases::const_iterator();
    const bool isBiased = biases_ && bias != biases_->end() && bias->token < begin + n;
    if (dtype_ == Dtype::f32 && !isBiased) return static_cast<const float*>(data_) + begin;
    if (dtype_ == Dtype::f32)
        std::copy_n(static_cast<const float*>(data_) + begin, n, room);
    else
        convertToFloat(static_cast<const F16*>(data_) + begin, dtype_, n, room);
    for (; isBiased && bias != biases_->end() && bias->token < begin + n; ++bias)
        room[bias->token - begin] = addRn(room[bias->token - begin], bias->value);
    return room;
}

LogSumExp::LogSumExp(const LogitPieces& pieces, size_t size) : pieces_(pieces) {
    const size_t count = size / kLsePiece + 1;
    tops_.resize(count);
    sums_.resize(count);
}

std::optional<double> LogSumExp::operator()(const LogitsRow& row) {
    const size_t pieces = (row.size() + kLsePiece - 1) / kLsePiece;
    float room[kLsePiece], top = -INFINITY;
    for (size_t c = 0; c < pieces; ++c) {
        const size_t begin = c * kLsePiece, n = std::min(kLsePiece, row.size() - begin);
        pieces_.lse(row.piece(begin, n, room), n, &tops_[c], &sums_[c]);
        if (std::isnan(tops_[c])) return std::nullopt;
        top = std::max(top, tops_[c]);
    }
    if (std::isinf(top)) return std::nullopt;
    top_ = top;
    sum_ = canonicalSum<double>(pieces,
                                [&](size_t c, double s) { return addRn(s, mulRn(sums_[c], expWide(subRn(static_cast<double>(tops_[c]), top_)))); });
    return addRn(top_, logWide(sum_));
}

double LogSumExp::entropy(const LogitsRow& row) const {
    const size_t pieces = (row.size() + kLsePiece - 1) / kLsePiece;
    float room[kLsePiece];
    const double sum = canonicalSum<double>(pieces, [&](size_t c, double s) {
        if (std::isinf(tops_[c])) return s;
        const size_t begin = c * kLsePiece, n = std::min(kLsePiece, row.size() - begin);
        double inner;
        pieces_.entropy(row.piece(begin, n, room), n, tops_[c], &inner);
        const double below = subRn(static_cast<double>(tops_[c]), top_);
        return addRn(s, mulRn(expWide(below), fmaRn(sums_[c], below, inner)));
    });
    return subRn(logWide(sum_), divRn(sum, sum_));
}

Fuser::Fuser(const LogitPieces& pieces, size_t size, size_t maxHits, size_t maxHeads) : logSumExp_(pieces, size) {
    weights_.reserve(maxHits);
    ranks_.reserve(maxHits);
    segment_.reserve(maxHits);
    shares_.reserve(maxHits * maxHeads);
    votes_.reserve(maxHits * maxHeads);
}

void Fuser::addShares(const HeadHits& hits, uint32_t head, double temperature) {
    double nearest = INFINITY;
    for (uint32_t i = 0; i < hits.count; ++i)
        if (std::isfinite(hits.distances[i])) nearest = std::min(nearest, static_cast<double>(hits.distances[i]));
    weights_.clear();
    ranks_.clear();
    for (uint32_t i = 0; i < hits.count; ++i) {
        if (!std::isfinite(hits.distances[i])) continue;
        ranks_.push_back(static_cast<uint64_t>(hits.tokens[i]) << 32 | weights_.size());
        weights_.push_back(expWide(divRn(subRn(nearest, static_cast<double>(hits.distances[i])), temperature)));
    }
    nearest_ = std::min(nearest_, nearest);
    const double z = canonicalSum<double>(weights_.size(), [&](size_t i, double s) { return addRn(s, weights_[i]); });
    std::sort(ranks_.begin(), ranks_.end());
    for (size_t i = 0; i < ranks_.size();) {
        const uint64_t token = ranks_[i] >> 32;
        segment_.clear();
        for (; i < ranks_.size() && ranks_[i] >> 32 == token; ++i) segment_.push_back(weights_[static_cast<uint32_t>(ranks_[i])]);
        shares_.push_back({token << 32 | head, divRn(doublingSum(segment_.data(), segment_.size()), z)});
    }
}

void Fuser::takeVotes(const HeadHits* heads, uint32_t headCount, double temperature) {
    shares_.clear();
    votes_.clear();
    nearest_ = INFINITY;
    for (uint32_t h = 0; h < headCount; ++h) addShares(heads[h], h, temperature);
    if (headCount > 1) std::sort(shares_.begin(), shares_.end(), [](const Share& a, const Share& b) { return a.key < b.key; });
    for (size_t i = 0; i < shares_.size();) {
        const uint64_t token = shares_[i].key >> 32;
        double r = 0;
        for (; i < shares_.size() && shares_[i].key >> 32 == token; ++i) r = addRn(r, shares_[i].r);
        votes_.push_back({static_cast<size_t>(token), headCount > 1 ? divRn(r, static_cast<double>(headCount)) : r});
    }
}

Fuser::Weighed Fuser::weigh(const LogitsRow& row, const HeadHits* heads, uint32_t headCount, const FusionOptions& options, rtd_row_figures* wanted) {
    const std::optional<double> lse = logSumExp_(row);
    if (!lse && !wanted) return {RTD_ROW_UNMERGEABLE, 0, 0};
    takeVotes(heads, headCount, static_cast<double>(options.temperature));

    rtd_row_figures figures = {nearest_, 0, 0, std::nan(""), 0, static_cast<double>(options.temperature)};
    if (wanted || options.gate) {
        const double sum = canonicalSum<double>(
            votes_.size(), [&](size_t i, double s) { return votes_[i].r > 0 ? addRn(s, mulRn(votes_[i].r, logWide(votes_[i].r))) : s; });
        figures.hit_entropy = std::max(0.0, subRn(0.0, sum));
        for (const Vote& vote : votes_) figures.largest_vote = std::max(figures.largest_vote, vote.r);
        if (lse) figures.model_entropy = logSumExp_.entropy(row);
    }
    const double weight = options.gate && lse ? weightOf(*options.gate, figures) : static_cast<double>(options.weight);
    const rtd_row_status status = !(options.weight > 0)             ? RTD_ROW_UNCHANGED
                                  : !lse                            ? RTD_ROW_UNMERGEABLE
                                  : votes_.empty() || !(weight > 0) ? RTD_ROW_UNCHANGED
                                                                    : RTD_ROW_MERGED;
    if (status == RTD_ROW_MERGED) figures.reference_weight = weight;
    if (wanted) *wanted = figures;
    return {status, lse.value_or(0), weight};
}

void Fuser::merge(LogitsRow& row, const Weighed& weighed, bool unmask) const {
    if (weighed.weight >= 1) {
        row.fill(-INFINITY);
        for (const Vote& vote : votes_) row.set(vote.token, static_cast<float>(logWide(vote.r)));
        return;
    }
    for (const Vote& vote : votes_) row.set(vote.token, mergedLogit(row.get(vote.token), weighed.lse, vote.r, weighed.weight, unmask));
    if (!row.biases()) return;
    auto vote = votes_.begin();
    for (const Bias& bias : *row.biases()) {
        while (vote != votes_.end() && vote->token < bias.token) ++vote;
        if (vote == votes_.end() || vote->token > bias.token) row.set(bias.token, row.get(bias.token));
    }
}

rtd_row_status Fuser::fuse(const LogitsRow& given, const HeadHits* heads, uint32_t headCount, const FusionOptions& options,
                           rtd_row_figures* figures) {
    if (!(options.weight > 0) && !figures) return RTD_ROW_UNCHANGED;
    LogitsRow row = given.with(options.biases.get());
    const Weighed weighed = weigh(row, heads, headCount, options, figures);
    if (weighed.status == RTD_ROW_MERGED) merge(row, weighed, options.unmask);
    return weighed.status;
}

rtd_row_figures Fuser::figuresOf(const LogitsRow& row, const HeadHits* heads, uint32_t headCount, const FusionOptions& options) {
    rtd_row_figures figures;
    weigh(row.with(options.biases.get()), heads, headCount, options, &figures);
    return figures;
}

rtd_row_figures noFigures() { return {INFINITY, 0, 0, std::nan(""), 0, 0}; }

}  // namespace rtd
