#include "cascade/directions.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "cascade/levels.h"

namespace rtd::cascade {
namespace {

constexpr int kIterations = 3;

class Matrix {
  public:
    Matrix(size_t rows, size_t columns) : columns_(columns), values_(rows * columns) {}
    float* row(size_t r) { return values_.data() + r * columns_; }
    const float* row(size_t r) const { return values_.data() + r * columns_; }
    size_t rows() const { return columns_ ? values_.size() / columns_ : 0; }
    size_t columns() const { return columns_; }

  private:
    size_t columns_;
    std::vector<float> values_;
};

void addTimes(float* to, const float* from, float factor, size_t n) {
    for (size_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

// Rows [from, to) become orthonormal: Gram-Schmidt, twice. A row that depends on those before it becomes zero.
void orthonormalise(Matrix& m, size_t from, size_t to) {
    const size_t n = m.columns();
    for (size_t r = from; r < to; ++r) {
        const double before = std::sqrt(dotWide(m.row(r), m.row(r), n));
        for (int pass = 0; pass < 2; ++pass)
            for (size_t s = from; s < r; ++s) addTimes(m.row(r), m.row(s), static_cast<float>(-dotWide(m.row(s), m.row(r), n)), n);
        const double length = std::sqrt(dotWide(m.row(r), m.row(r), n));
        const bool isNew = length > 1e-5 * before && length > 0;
        for (size_t i = 0; i < n; ++i) m.row(r)[i] = isNew ? static_cast<float>(static_cast<double>(m.row(r)[i]) / length) : 0.0f;
    }
}

void fillNormal(Matrix& m, std::mt19937_64& random) {
    std::normal_distribution<float> normal;
    for (size_t r = 0; r < m.rows(); ++r)
        for (size_t i = 0; i < m.columns(); ++i) m.row(r)[i] = normal(random);
}

// w [p, length] = (A w')' A for the sample A [rows, length].
void multiplyByCovariance(const cpu::Backend& backend, const float* sample, size_t rows, Matrix& w) {
    constexpr size_t kTile = 64;
    const size_t p = w.rows(), n = w.columns();
    Matrix next(p, n);
    std::vector<float> sums(kTile * p);
    for (size_t at = 0; at < rows; at += kTile) {
        const size_t count = std::min(kTile, rows - at);
        const cpu::QueryTile queries = {sample + at * n, n, static_cast<uint32_t>(count)};
        const cpu::KeyTile keys = {w.row(0), n, static_cast<uint32_t>(p), static_cast<uint32_t>(n)};
        backend.dot[static_cast<size_t>(Dtype::f32)](queries, keys, sums.data(), p);
        for (size_t r = 0; r < p; ++r)
            for (size_t i = 0; i < count; ++i) addTimes(next.row(r), sample + (at + i) * n, sums[i * p + r], n);
    }
    float largest = 0;
    for (size_t r = 0; r < p; ++r)
        for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(next.row(r)[i]));
    for (size_t r = 0; r < p; ++r)
        for (size_t i = 0; i < n; ++i) w.row(r)[i] = largest > 0 ? next.row(r)[i] / largest : 0;
}

// Rows [from, from + count) become random orthonormal combinations of themselves.
void rotate(Matrix& w, size_t from, size_t count, std::mt19937_64& random) {
    Matrix rotation(count, count), rotated(count, w.columns());
    fillNormal(rotation, random);
    orthonormalise(rotation, 0, count);
    for (size_t r = 0; r < count; ++r)
        for (size_t s = 0; s < count; ++s) addTimes(rotated.row(r), w.row(from + s), rotation.row(r)[s], w.columns());
    for (size_t r = 0; r < count; ++r) std::copy_n(rotated.row(r), w.columns(), w.row(from + r));
}

}  // namespace

std::vector<F16> principalDirections(const cpu::Backend& backend, const float* sample, size_t rows, uint32_t length, uint32_t first,
                                     uint32_t second) {
    const size_t p = size_t{first} + second;
    std::mt19937_64 random(1);
    Matrix w(p, length);
    fillNormal(w, random);
    for (int i = 0; i < kIterations; ++i) {
        orthonormalise(w, 0, p);
        multiplyByCovariance(backend, sample, rows, w);
    }
    orthonormalise(w, 0, p);
    rotate(w, 0, first, random);
    rotate(w, first, second, random);
    std::vector<F16> directions;
    directions.reserve(p * length);
    for (size_t i = 0; i < p * length; ++i) directions.push_back(toF16(w.row(0)[i]));
    return directions;
}

double shrinkOf(const std::vector<F16>& directions, uint32_t length) {
    const size_t p = directions.size() / length;
    std::vector<float> w(directions.size());
    for (size_t i = 0; i < w.size(); ++i) w[i] = toFloat(directions[i]);
    double deviation = 0;
    for (size_t r = 0; r < p; ++r)
        for (size_t s = 0; s <= r; ++s) {
            const double product = dotWide(&w[r * length], &w[s * length], length);
            if (r == s && product == 0) continue;
            const double off = product - (r == s ? 1 : 0);
            deviation += (r == s ? 1 : 2) * off * off;
        }
    return 1 / std::sqrt(1 + std::sqrt(deviation) + 1e-9);
}

}  // namespace rtd::cascade
