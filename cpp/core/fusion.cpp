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

float mergedLogit(float logit, double lse, double r, const FusionOptions& options) {
    if (r == 0.0 || (std::isinf(logit) && !options.unmask)) return logit;
    const double a = options.weight, p = expWide(subRn(static_cast<double>(logit), lse));
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

LogSumExp::LogSumExp(LsePieceFunction lsePiece, size_t size) : lsePiece_(lsePiece) {
    const size_t pieces = size / kLsePiece + 1;
    tops_.resize(pieces);
    sums_.resize(pieces);
}

std::optional<double> LogSumExp::operator()(const LogitsRow& row) {
    const size_t pieces = (row.size() + kLsePiece - 1) / kLsePiece;
    float room[kLsePiece], top = -INFINITY;
    for (size_t c = 0; c < pieces; ++c) {
        const size_t begin = c * kLsePiece, n = std::min(kLsePiece, row.size() - begin);
        lsePiece_(row.piece(begin, n, room), n, &tops_[c], &sums_[c]);
        if (std::isnan(tops_[c])) return std::nullopt;
        top = std::max(top, tops_[c]);
    }
    if (std::isinf(top)) return std::nullopt;
    const double highest = top;
    const double sum = canonicalSum<double>(
        pieces, [&](size_t c, double s) { return addRn(s, mulRn(sums_[c], expWide(subRn(static_cast<double>(tops_[c]), highest)))); });
    return addRn(highest, logWide(sum));
}

Fuser::Fuser(LsePieceFunction lsePiece, size_t size, size_t maxHits, size_t maxHeads) : logSumExp_(lsePiece, size) {
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
    for (uint32_t h = 0; h < headCount; ++h) addShares(heads[h], h, temperature);
    if (headCount > 1) std::sort(shares_.begin(), shares_.end(), [](const Share& a, const Share& b) { return a.key < b.key; });
    for (size_t i = 0; i < shares_.size();) {
        const uint64_t token = shares_[i].key >> 32;
        double r = 0;
        for (; i < shares_.size() && shares_[i].key >> 32 == token; ++i) r = addRn(r, shares_[i].r);
        votes_.push_back({static_cast<size_t>(token), headCount > 1 ? divRn(r, static_cast<double>(headCount)) : r});
    }
}

void Fuser::merge(LogitsRow& row, double lse, const FusionOptions& options) const {
    if (options.weight >= 1) {
        row.fill(-INFINITY);
        for (const Vote& vote : votes_) row.set(vote.token, static_cast<float>(logWide(vote.r)));
        return;
    }
    for (const Vote& vote : votes_) row.set(vote.token, mergedLogit(row.get(vote.token), lse, vote.r, options));
    if (!row.biases()) return;
    auto vote = votes_.begin();
    for (const Bias& bias : *row.biases()) {
        while (vote != votes_.end() && vote->token < bias.token) ++vote;
        if (vote == votes_.end() || vote->token > bias.token) row.set(bias.token, row.get(bias.token));
    }
}

rtd_row_status Fuser::fuse(const LogitsRow& given, const HeadHits* heads, uint32_t headCount, const FusionOptions& options) {
    if (!(options.weight > 0)) return RTD_ROW_UNCHANGED;
    LogitsRow row = given.with(options.biases.get());
    const std::optional<double> lse = logSumExp_(row);
    if (!lse) return RTD_ROW_UNMERGEABLE;
    takeVotes(heads, headCount, static_cast<double>(options.temperature));
    if (votes_.empty()) return RTD_ROW_UNCHANGED;
    merge(row, *lse, options);
    return RTD_ROW_MERGED;
}

}  // namespace rtd
