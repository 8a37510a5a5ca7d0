#include "cascade/directions.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>

#include "cascade/projection.h"
#include "core/status.h"

namespace rtd::cascade {
namespace {

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

// Rows become orthonormal: Gram-Schmidt, twice. A row that depends on those before it becomes zero.
void orthonormalise(const cpu::Backend& backend, Matrix& m) {
    const size_t n = m.columns();
    std::vector<float> products(m.rows());
    for (size_t r = 0; r < m.rows(); ++r) {
        const double before = std::sqrt(dotWide(m.row(r), m.row(r), n));
        for (int pass = 0; pass < 2; ++pass) {
            const cpu::KeyTile others = {m.row(0), n, static_cast<uint32_t>(r), static_cast<uint32_t>(n)};
            backend.dot[static_cast<size_t>(Dtype::f32)]({m.row(r), n, 1}, others, products.data(), r);
            for (size_t s = 0; s < r; ++s) products[s] = -products[s];
            backend.addProducts(m.row(r), products.data(), 1, m.row(0), n, r, n);
        }
        const double length = std::sqrt(dotWide(m.row(r), m.row(r), n));
        const bool isNew = length > 1e-5 * before && length > 0;
        for (size_t i = 0; i < n; ++i) m.row(r)[i] = isNew ? static_cast<float>(static_cast<double>(m.row(r)[i]) / length) : 0.0f;
    }
}

void fillNormal(Matrix& m, size_t from, std::mt19937_64& random) {
    std::normal_distribution<float> normal;
    for (size_t r = from; r < m.rows(); ++r)
        for (size_t i = 0; i < m.columns(); ++i) m.row(r)[i] = normal(random);
}

// w [p, length] = (A w')' A for the rows A. Each thread does some of the directions, over all rows, so that sums have one order.
void multiplyByCovariance(const Means& means, const Rows& rows, Matrix& w) {
    constexpr size_t kTile = 64, kDirections = 32;
    const size_t p = w.rows(), n = w.columns(), tickets = (p + kDirections - 1) / kDirections;
    Matrix next(p, n);
    std::atomic<size_t> ticket = 0;
    std::atomic<bool> halted = false;
    const auto work = [&] {
        std::vector<float> tile(kTile * n), sums(kTile * kDirections);
        for (size_t t; (t = ticket.fetch_add(1, std::memory_order_relaxed)) < tickets;) {
            const size_t first = t * kDirections, count = std::min(kDirections, p - first);
            for (size_t at = 0; at < rows.count; at += kTile) {
                if (means.call.stopped()) halted = true;
                if (halted) return;
                const size_t some = std::min(kTile, rows.count - at);
                rows.read(at, some, tile.data());
                const cpu::KeyTile directions = {w.row(first), n, static_cast<uint32_t>(count), static_cast<uint32_t>(n)};
                means.backend.dot[static_cast<size_t>(Dtype::f32)]({tile.data(), n, static_cast<uint32_t>(some)}, directions, sums.data(), count);
                for (size_t r = 0; r < count; ++r) means.backend.addProducts(next.row(first + r), sums.data() + r, count, tile.data(), n, some, n);
            }
        }
    };
    means.workers.run(static_cast<uint32_t>(std::min<size_t>(means.threads, tickets)), work);
    if (halted) fail(RTD_CANCELLED, "cancelled by should_stop");
    float largest = 0;
    for (size_t r = 0; r < p; ++r)
        for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(next.row(r)[i]));
    for (size_t r = 0; r < p; ++r)
        for (size_t i = 0; i < n; ++i) w.row(r)[i] = largest > 0 ? next.row(r)[i] / largest : 0;
}

}  // namespace

std::vector<float> principalDirections(const Means& means, const Rows& rows, uint32_t length, uint32_t count, int iterations,
                                       std::span<const float> known) {
    std::mt19937_64 random(1);
    Matrix w(count, length);
    std::copy(known.begin(), known.end(), w.row(0));
    fillNormal(w, known.size() / length, random);
    for (int i = 0; i < iterations; ++i) {
        orthonormalise(means.backend, w);
        multiplyByCovariance(means, rows, w);
    }
    orthonormalise(means.backend, w);
    return {w.row(0), w.row(0) + size_t{count} * length};
}

std::vector<F16> rotatedWithin(const cpu::Backend& backend, std::span<const uint32_t> groups, std::span<const float> directions, uint32_t length) {
    std::mt19937_64 random(2);
    std::vector<F16> stored;
    stored.reserve(directions.size());
    const float* from = directions.data();
    for (const uint32_t count : groups) {
        Matrix rotation(count, count);
        fillNormal(rotation, 0, random);
        orthonormalise(backend, rotation);
        std::vector<float> rotated(length);
        for (size_t r = 0; r < count; ++r) {
            std::fill(rotated.begin(), rotated.end(), 0.0f);
            backend.addProducts(rotated.data(), rotation.row(r), 1, from, length, count, length);
            for (const float x : rotated) stored.push_back(toF16(x));
        }
        from += size_t{count} * length;
    }
    return stored;
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
