#include "cascade/query.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cascade/projection.h"

namespace rtd::cascade {
namespace {

constexpr int32_t kLargestZ = 16383;
constexpr int kLargestShift = 7, kSmallestShift = -2;
constexpr double kKeptAsFloat = 0x1p-24 * 1.01;  // relative, of a norm kept as float32
constexpr double kRounding = 1e-9;               // relative, for sums of a few doubles
constexpr double kLargestBase = 0x1p29;          // level 1's sums then stay below 2^31

double square(double x) { return x * x; }

size_t roundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

// The largest magnitude, but not so small that one over it is infinite.
double largestOf(std::span<const double> values) {
    double largest = 1e-30;
    for (const double value : values) largest = std::max(largest, std::fabs(value));
    return largest;
}

// The largest shift, at most kLargestShift, at which values fit into kLargestZ on a grid of step / 2^shift.
int shiftFor(std::span<const double> values, double step) { return std::min(kLargestShift, std::ilogb(kLargestZ * step / largestOf(values))); }

}  // namespace

void QuantisedQuery::quantise(std::span<const double> values, size_t length, double unit, int32_t limit) {
    unit_ = unit;
    z_.assign(length, 0);
    high_.assign(length, 0);
    low_.assign(length, 0);
    norm_ = 0;
    uint32_t sum = 0;
    double squaredError = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        const auto z = static_cast<int32_t>(std::clamp<double>(std::rint(values[i] / unit_), -limit, limit));
        const double error = values[i] - z * unit_;
        squaredError += error * error;
        norm_ += int64_t{z} * z;
        sum += static_cast<uint32_t>(z);
        z_[i] = static_cast<int16_t>(z);
        high_[i] = static_cast<int8_t>(z >> 7);
        low_[i] = static_cast<int8_t>(z & 127);
    }
    error_ = std::sqrt(squaredError) * (1 + kRounding);
    offset_ = kZeroCode * sum;
}

bool Query::prepare(const Levels& levels, Metric metric, const float* numbers, const cpu::Backend& backend) {
    const LevelShape& shape = shape_ = levels.shape;
    const LevelScales& scales = levels.scales;
    step1_ = scales.step1;
    const uint32_t length = shape.length, p1 = shape.directions1, p = shape.directions();
    const uint32_t dims = metric == Metric::dot ? length - 1 : length;

    // Less the mean, in double: exact but for 2^-53. Projections are taken of the float32 nearest to that.
    std::vector<double> centred(length);
    std::vector<float> rounded(length), projections(p);
    double queryNorm = 0, norm = 0;
    for (uint32_t j = 0; j < length; ++j) {
        const float x = j < dims ? numbers[j] : 0.0f;
        if (!(std::fabs(x) < kBoundedMagnitude)) return false;
        queryNorm += static_cast<double>(x) * static_cast<double>(x);
        centred[j] = static_cast<double>(x) - static_cast<double>(levels.mean[j]);
        norm += centred[j] * centred[j];
        rounded[j] = static_cast<float>(centred[j]);
    }
    distances_.emplace(metric, dims, std::sqrt(queryNorm), scales.largestKey);
    const double size = std::sqrt(norm);
    const cpu::QueryTile query = {rounded.data(), length, 1};
    const cpu::KeyTile directions = {levels.basis, length, p, length};
    backend.dot[static_cast<size_t>(Dtype::f16)](query, directions, projections.data(), p);

    Coordinates y(shape);
    y.set(scales, norm, projections.data());

    // Far from all keys the grid must be coarser than the numbers alone demand, or level 1's sums would not fit.
    int m = shiftFor(y.one(), scales.step1);
    for (;; --m) {
        if (m < kSmallestShift) return false;
        one_.quantise(y.one(), roundUp(size_t{4} * shape.groups(), 64), std::ldexp(scales.step1, -m), kLargestZ);
        if (std::ldexp(static_cast<double>(one_.norm()), -m - 1) < kLargestBase) break;
    }

    // |z - y|^2 = unit1 (|z|^2 / 2^(m+1) + 2^(m-1) sum of codes^2 - sum of codes z). The first term is rounded down, and the codes'
    // squares are known as 8 norm + 0..7: so s is at most 1 + 2^(m+2) below the sum in brackets; raised by that it is never negative.
    unit1_ = std::ldexp(scales.step1 * scales.step1, 1 - m);
    slack1_ = 1 + (1 << (m + 2));
    normShift_ = static_cast<uint32_t>(m + static_cast<int>(kNormShift) - 1);
    start_ = static_cast<int32_t>(std::floor(std::ldexp(static_cast<double>(one_.norm()), -m - 1))) + slack1_ + static_cast<int32_t>(one_.offset());
    scoreShift_ = 0;
    const auto inAll = [](double grid, double coordinates) { return (grid + coordinates) * (1 + kRounding); };
    error1_ = scales.error1 + inAll(one_.error(), y.error1(size));

    if (shape.directions2) {
        two_.quantise(y.two(), kRowBytes2, largestOf(y.two()) / kLargestZ, kLargestZ);
        error2_ = inAll(std::hypot(one_.error(), two_.error()), y.error2(size));
        level2_.scoreSlack = static_cast<float>(unit1_ * slack1_);
        level2_.residual = static_cast<float>(one_.z(p1));
        level2_.residualUnit = static_cast<float>(std::ldexp(1.0, m));
        level2_.restUnit = static_cast<float>(square(one_.unit()));
        norm2_ = square(two_.unit()) * static_cast<double>(two_.norm());
        level2_.base = static_cast<float>(norm2_);
        level2_.sumUnit = static_cast<float>(-2 * two_.unit());
        level2_.sumOffset = static_cast<int32_t>(two_.offset());
    }
    if (shape.rowBytes2b) {
        twoB_.quantise(y.twoB(), shape.rowBytes2b, largestOf(y.twoB()) / kLargestZ, kLargestZ);
        error2b_ = inAll(std::hypot(one_.error(), two_.error(), twoB_.error()), y.error2b(size));
        norm2b_ = square(twoB_.unit()) * static_cast<double>(twoB_.norm());
    }
    if (shape.hasLevel3) {
        const auto limit = static_cast<int32_t>(std::min<int64_t>(kLargestZ, (int64_t{1} << 31) / (int64_t{kLargestCode} * length) - 1));
        three_.quantise(centred, roundUp(length, 64), largestOf(centred) / limit, limit);
        norm3_ = square(three_.unit()) * static_cast<double>(three_.norm());
    }
    return true;
}

uint16_t Query::largestScore(double radius) const {
    const double s = square(radius + error1_) / unit1_ * (1 + kRounding) + slack1_ + 1;
    if (!(s < 0x1p31)) return 65535;
    return static_cast<uint16_t>(std::min(static_cast<uint32_t>(s) >> scoreShift_, 65535u));
}

// |z - y|^2 = A - rest^2 + |z2 - y2|^2 with A = |z1 - y1|^2, of which the residual's part `rest`^2 must go, and |z2 - y2|^2 = P - 2 z2 y2,
// P = |z2|^2 + |y2|^2. In float32 each term passes at most 10 roundings, itself at most 2 A or 2 P: so the sum is off by less than
// 20 u (A + P) < kLevel2Rounding (A + P), with room for the rounding of that. (`rest` is a difference of integers below 2^15, or of multiples
// of 1/4: exact.) The limit's own rounding, 3 u, is less than what reach and the keys' errors are rounded up by.
cpu::Level2Query Query::level2Query(double radius) const {
    cpu::Level2Query query = level2_;
    query.scoreUnit = static_cast<float>(std::ldexp(unit1_, static_cast<int>(scoreShift_)));
    query.reach = static_cast<float>((radius + error2_) * (1 + 1e-6));
    return query;
}

Query::Squared2 Query::squared2(uint16_t score, int32_t sum, const uint8_t* row) const {
    const auto of = [](float x) { return static_cast<double>(x); };
    Tail2 tail;
    std::memcpy(&tail, row + kCodes2, sizeof tail);
    const double one = unit1_ * (std::ldexp(static_cast<double>(score), static_cast<int>(scoreShift_)) - slack1_);
    const double rest1 = one_.unit() * one_.z(shape_.directions1) - step1_ * (tail.residual1 - kZeroCode);
    const double two = norm2_ + of(tail.norm) - 2 * two_.unit() * of(tail.step) * two_.centred(sum);
    const double rest2 = two_.unit() * two_.z(shape_.directions2) - of(tail.step) * (row[shape_.directions2] - kZeroCode);
    const double all = std::max(0.0, one - rest1 * rest1) + two, rounding = kKeptAsFloat * of(tail.norm) + 1e-12 * (one + norm2_ + of(tail.norm));
    return {all, all - rest2 * rest2 - rounding};
}

// The rest of level 2's bound is taken off, and |z2b - y2b|^2 added.
bool Query::mayBeWithin2b(double radius, double withoutResidual2, int32_t sum, const Tail2b& tail) const {
    const double step = static_cast<double>(tail.step), positive = norm2b_ + static_cast<double>(tail.norm);
    const double squared = withoutResidual2 + positive - 2 * twoB_.unit() * step * twoB_.centred(sum);
    return squared - kKeptAsFloat * static_cast<double>(tail.norm) - 1e-12 * positive <=
           square(radius + error2b_ + static_cast<double>(tail.error)) * (1 + kRounding);
}

Query::Squared Query::squared3(int32_t sum, const Tail3& tail) const {
    const double step = static_cast<double>(tail.step), positive = norm3_ + step * step * tail.norm;
    const double squared = positive - 2 * three_.unit() * step * three_.centred(sum), rounding = 1e-12 * positive;
    return {squared - rounding, squared + rounding};
}

bool Query::mayBeWithin3(double radius, int32_t sum, const Tail3& tail) const {
    return squared3(sum, tail).lower <= square(radius + three_.error() + static_cast<double>(tail.error)) * (1 + kRounding);
}

Bounds Query::bounds3(int32_t sum, const Tail3& tail) const {
    const Squared squared = squared3(sum, tail);
    const double error = three_.error() + static_cast<double>(tail.error);
    return {std::max(0.0, std::sqrt(std::max(0.0, squared.lower)) - error), std::sqrt(std::max(0.0, squared.upper)) * (1 + kRounding) + error};
}

}  // namespace rtd::cascade
