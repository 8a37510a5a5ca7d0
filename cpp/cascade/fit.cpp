#include "cascade/fit.h"

#include <algorithm>
#include <cmath>

#include "cascade/projection.h"

namespace rtd::cascade {
namespace {

constexpr double kRangeQuantile = 0.9999;  // of the sampled numbers have a code of their own; what lies beyond takes the last one

// ---- how far directions separate keys

// For some queries out of the sample: how many of the sample's keys |F(q) - F(x)| leaves within the distance of the nearest ones.
class Separation {
  public:
    Separation(std::span<const float> sample, uint32_t length, uint32_t count, const cpu::Backend& backend)
        : sample_(sample), length_(length), rows_(static_cast<uint32_t>(sample.size() / length)), backend_(backend) {
        for (uint32_t i = 0; i < rows_; ++i) norms_.push_back(dotWide(&sample[size_t{i} * length], &sample[size_t{i} * length], length));
        const auto near = std::max<size_t>(kFewestNear, uint64_t{kNear} * rows_ / count);
        std::vector<float> distances(rows_);
        for (uint32_t q = 0; q < kQueries; ++q) {
            const cpu::QueryTile query = {rowOf(q), length, 1};
            backend.l2[static_cast<size_t>(Dtype::f32)](query, {sample.data(), length, rows_, length}, distances.data(), rows_);
            const size_t rank = std::min<size_t>(near, rows_ - 1);  // the query itself is the nearest
            std::nth_element(distances.begin(), distances.begin() + static_cast<std::ptrdiff_t>(rank), distances.end());
            radii_.push_back(kLooseness * static_cast<double>(distances[rank]));
        }
    }

    // shares[i]: of keys left by the first ends[i] directions, ends ascending.
    std::vector<double> sharesLeft(std::span<const float> directions, std::span<const uint32_t> ends) const {
        const uint32_t p = ends.back();
        std::vector<float> projections(size_t{rows_} * p);
        backend_.dot[static_cast<size_t>(Dtype::f32)]({sample_.data(), length_, rows_}, {directions.data(), length_, p, length_}, projections.data(),
                                                      p);
        std::vector<double> left(ends.size());
        for (uint32_t q = 0; q < kQueries; ++q) {
            const float* y = &projections[size_t{indexOf(q)} * p];
            for (uint32_t i = 0; i < rows_; ++i) {
                const float* x = &projections[size_t{i} * p];
                double squared = 0, restQuery = norms_[indexOf(q)], restKey = norms_[i];
                for (uint32_t e = 0, j = 0; e < ends.size(); ++e) {
                    for (; j < ends[e]; ++j) {
                        const double a = static_cast<double>(y[j]), b = static_cast<double>(x[j]);
                        squared += (a - b) * (a - b);
                        restQuery -= a * a;
                        restKey -= b * b;
                    }
                    const double rest = std::sqrt(std::max(0.0, restQuery)) - std::sqrt(std::max(0.0, restKey));
                    left[e] += squared + rest * rest <= radii_[q];
                }
            }
        }
        for (double& share : left) share /= double{kQueries} * rows_;
        return left;
    }

  private:
    static constexpr uint32_t kQueries = 32, kNear = 64, kFewestNear = 4;
    static constexpr double kLooseness = 1.04;  // of squared radii: a search does not know the last one

    uint32_t indexOf(uint32_t q) const { return static_cast<uint32_t>(uint64_t{q} * rows_ / kQueries); }
    const float* rowOf(uint32_t q) const { return &sample_[size_t{indexOf(q)} * length_]; }

    std::span<const float> sample_;
    uint32_t length_, rows_;
    const cpu::Backend& backend_;
    std::vector<double> norms_, radii_;
};

// ---- level 2b

// The cost of a query, in lines of 64 bytes read for each key, of what comes after level 2. Directions are read once a query.
double linesAfter2(const LevelShape& shape, double left2, double left2b, uint32_t count) {
    const auto lines = [](uint32_t bytes) { return bytes / 64.0 + 1; };
    const double directions = shape.directions2b() * double{2} * shape.length / 64 / count;
    return directions + (shape.rowBytes2b ? left2 * lines(shape.rowBytes2b) + left2b * lines(shape.rowBytes3()) : left2 * lines(shape.rowBytes3()));
}

constexpr int kIterations = 3;         // over the sample, which is in memory
constexpr int kRefining = 1;           // over more keys
constexpr double kWorthMore = 0.25;    // lines a key after level 2: with fewer there is nothing to gain
constexpr double kHopeless = 0.97;     // of all keys that level 2 leaves
constexpr double kNotablyLess = 0.85;  // of the cost

class Fitter {
  public:
    Fitter(const LevelShape& shape, std::span<const float> sample, const Rows& more, uint32_t count, const Means& means)
        : shape_(shape), sample_(sample), more_(more), count_(count), means_(means) {}

    const LevelShape& shape() const { return shape_; }

    std::vector<float> directionsFor(uint32_t rowBytes2b) {
        shape_.rowBytes2b = rowBytes2b;
        return refined(leading(shape_.directions(), {}));
    }

    // The best shape's.
    std::vector<float> directionsForBest() {
        std::vector<float> directions = refined(leading(shape_.directions12(), {}));
        std::vector<LevelShape> shapes = {shape_};
        for (const uint32_t bytes : kRowsBytes2b) {
            if (!shape_.directions2 || !shape_.admits2b(bytes)) continue;
            LevelShape longer = shape_;
            longer.rowBytes2b = bytes;
            if (longer.directions() <= std::min<size_t>(shape_.length, rows())) shapes.push_back(longer);
        }
        if (shapes.size() == 1) return directions;
        const Separation separation(sample_, shape_.length, count_, means_.backend);
        const uint32_t end12[] = {shape_.directions12()};
        const double left2 = separation.sharesLeft(directions, end12).front();
        double least = linesAfter2(shape_, left2, 0, count_);
        if (least < kWorthMore || left2 > kHopeless) return directions;

        directions = refined(leading(shapes.back().directions(), directions));
        std::vector<uint32_t> ends;
        for (const LevelShape& each : shapes) ends.push_back(each.directions());
        const std::vector<double> left = separation.sharesLeft(directions, ends);
        for (size_t i = 1; i < shapes.size(); ++i) {
            const double cost = linesAfter2(shapes[i], left[0], left[i], count_);
            if (cost > kNotablyLess * least) continue;
            least = cost;
            shape_ = shapes[i];
        }
        directions.resize(size_t{shape_.directions()} * shape_.length);
        return directions;
    }

  private:
    size_t rows() const { return sample_.size() / shape_.length; }

    std::vector<float> leading(uint32_t count, std::span<const float> known) const {
        const auto read = [this](size_t begin, size_t some, float* to) { std::copy_n(&sample_[begin * shape_.length], some * shape_.length, to); };
        return principalDirections(means_, {rows(), read}, shape_.length, count, kIterations, known);
    }
    std::vector<float> refined(const std::vector<float>& directions) const {
        if (more_.count <= rows()) return directions;
        return principalDirections(means_, more_, shape_.length, static_cast<uint32_t>(directions.size() / shape_.length), kRefining, directions);
    }

    LevelShape shape_;
    std::span<const float> sample_;
    const Rows& more_;
    uint32_t count_;
    const Means& means_;
};

}  // namespace

Fit fitToSample(const LevelShape& shape, std::vector<float> sample, const Rows& more, uint32_t count, std::optional<uint32_t> rowBytes2b,
                const Means& means) {
    const cpu::Backend& backend = means.backend;
    const uint32_t length = shape.length;
    const size_t rows = sample.size() / length;
    Fit fit;
    std::vector<double> sums(length);
    for (size_t i = 0; i < sample.size(); ++i) sums[i % length] += static_cast<double>(sample[i]);
    for (const double sum : sums) fit.mean.push_back(static_cast<float>(sum / static_cast<double>(rows)));
    const auto centre = [&](float* keys, size_t some) {
        for (size_t i = 0; i < some; ++i)
            for (uint32_t j = 0; j < length; ++j) keys[i * length + j] -= fit.mean[j];
    };
    centre(sample.data(), rows);
    const Rows moreCentred = {more.count, [&](size_t begin, size_t some, float* to) {
                                  more.read(begin, some, to);
                                  centre(to, some);
                              }};
    Fitter fitter(shape, sample, moreCentred, count, means);
    const std::vector<float> directions = rowBytes2b ? fitter.directionsFor(*rowBytes2b) : fitter.directionsForBest();
    fit.shape = fitter.shape();
    const uint32_t groups[] = {shape.directions1, shape.directions2, fit.shape.directions2b()};
    fit.basis = rotatedWithin(backend, groups, directions, length);
    fit.scales.shrink = shrinkOf(fit.basis, length);

    const uint32_t p = fit.shape.directions();
    std::vector<float> projections(p);
    std::vector<double> numbers1, residuals1, residuals2, residuals2b;
    Coordinates coordinates(fit.shape);
    for (size_t i = 0; i < rows; ++i) {
        const float* key = &sample[i * length];
        backend.dot[static_cast<size_t>(Dtype::f16)]({key, length, 1}, {fit.basis.data(), length, p, length}, projections.data(), p);
        coordinates.set(fit.scales, dotWide(key, key, length), projections.data());
        for (const double y : coordinates.one().first(shape.directions1)) numbers1.push_back(std::fabs(y));
        residuals1.push_back(coordinates.one().back());
        residuals2.push_back(coordinates.two().back());
        residuals2b.push_back(coordinates.twoB().back());
    }
    fit.scales.residual1 = quantile(residuals1, 0.5);
    fit.scales.residual2 = quantile(residuals2, 0.5);
    fit.scales.residual2b = quantile(residuals2b, 0.5);
    fit.scales.step1 = std::max(quantile(numbers1, kRangeQuantile) / kLargestCode, 1e-30);
    return fit;
}

}  // namespace rtd::cascade
