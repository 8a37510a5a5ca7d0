// A query as the levels take it: projected, quantised, with what is needed to decide about a key from its codes. See levels.h for the bound.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cascade/levels.h"
#include "core/bounds.h"

namespace rtd::cascade {

// A query's numbers on a grid: z x unit, z in -16384..16383, and their sums with codes.
class QuantisedQuery {
  public:
    // Rounds values to multiples of `unit`, none beyond `limit` of them. length: of the rows that sums are taken of; z is 0 beyond the values.
    void quantise(std::span<const double> values, size_t length, double unit, int32_t limit);

    cpu::CodeQuery codes() const { return {z_.data(), high_.data(), low_.data()}; }
    double unit() const { return unit_; }
    double error() const { return error_; }  // |values - z unit|
    int64_t norm() const { return norm_; }   // sum of z^2
    int32_t z(size_t i) const { return z_[i]; }
    // The sum of (code - 128) z, from that of code z modulo 2^32.
    int32_t centred(int32_t sum) const { return static_cast<int32_t>(static_cast<uint32_t>(sum) - offset_); }
    uint32_t offset() const { return offset_; }  // 128 times the sum of z, modulo 2^32

  private:
    std::vector<int16_t> z_;
    std::vector<int8_t> high_, low_;
    double unit_ = 1, error_ = 0;
    int64_t norm_ = 0;
    uint32_t offset_ = 0;
};

// Bounds of a true distance.
struct Bounds {
    double lower, upper;
};

class Query {
  public:
    // numbers: [dims of the head]. False where no bound holds: too large, or too far from all keys for the grids.
    bool prepare(const Levels& levels, Metric metric, const float* numbers, const cpu::Backend& backend);

    const DistanceBounds& distances() const { return *distances_; }

    // ---- level 1
    cpu::BlockQuery blockQuery() const { return {one_.codes(), start_, normShift_, scoreShift_}; }
    void setScoreShift(uint32_t shift) { scoreShift_ = shift; }
    // The largest score of a key that may lie within the radius.
    uint16_t largestScore(double radius) const;

    // ---- level 2
    const QuantisedQuery& two() const { return two_; }
    // |z - y|^2 of levels 1 and 2, not below the truth only but for rounding: how far keys seem to be. And a bound of the same without the
    // residual's part, for level 2b.
    struct Squared2 {
        double all, withoutResidual;
    };
    Squared2 squared2(uint16_t score, int32_t sum, const uint8_t* row) const;
    // What withinReach() takes: it keeps every key that may lie within the radius.
    cpu::Level2Query level2Query(double radius) const;

    // ---- level 2b
    const QuantisedQuery& twoB() const { return twoB_; }
    bool mayBeWithin2b(double radius, double withoutResidual2, int32_t sum, const Tail2b& tail) const;

    // ---- level 3
    const QuantisedQuery& three() const { return three_; }
    bool mayBeWithin3(double radius, int32_t sum, const Tail3& tail) const;
    Bounds bounds3(int32_t sum, const Tail3& tail) const;

  private:
    struct Squared {
        double lower, upper;
    };
    Squared squared3(int32_t sum, const Tail3& tail) const;

    std::optional<DistanceBounds> distances_;
    LevelShape shape_;
    double step1_ = 0;  // of level 1's codes
    QuantisedQuery one_, two_, twoB_, three_;
    // level 1: score = s >> scoreShift, |z - y|^2 >= unit1_ (s - slack1_)
    double unit1_ = 0, error1_ = 0;
    int32_t slack1_ = 0, start_ = 0;
    uint32_t normShift_ = 0, scoreShift_ = 0;
    // level 2
    double error2_ = 0, norm2_ = 0;
    cpu::Level2Query level2_{};
    // level 2b
    double error2b_ = 0, norm2b_ = 0;
    // level 3
    double norm3_ = 0;
};

}  // namespace rtd::cascade
