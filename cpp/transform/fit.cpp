// Standardising, whitening and discriminants (Fisher 1936; Rao 1948), with shrinkage towards a sphere.
//
// For whitening no eigenvectors are needed: with C = covariance + s (mean variance) I = L L', |L^-1 (x - y)|^2 = (x - y)' C^-1 (x - y) is the same
// distance as after a rotation onto principal axes and a division by sqrt(variance + s mean variance). Discriminants are looked for in the space
// that is whitened by the covariance within classes; there the means of C classes span at most C - 1 dimensions, and a C x C eigenproblem finds them.
#include "transform/fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/arguments.h"
#include "core/memory.h"
#include "core/status.h"
#include "cpu/dispatch.h"

namespace rtd {
namespace {

constexpr size_t kBlock = 256;  // keys whose products are added up in float32

// A square matrix of doubles, row by row.
struct Square {
    explicit Square(size_t n_) : n(n_), values(allocate<double>(checkedProduct(n_, n_, "a covariance"), "a covariance")) {
        std::fill_n(values.get(), n * n, 0.0);
    }
    double* row(size_t i) { return values.get() + i * n; }
    const double* row(size_t i) const { return values.get() + i * n; }

    size_t n;
    std::unique_ptr<double[]> values;
};

// to[j] -= factor row[j]
void subtract(double* to, double factor, const double* row, size_t n) {
    for (size_t j = 0; j < n; ++j) to[j] -= factor * row[j];
}

struct Sample {
    MatrixView keys;
    const int32_t* classes;  // null: all are of class 0
    size_t dim;
    std::vector<std::vector<double>> means;  // by class
    std::vector<double> sizes;               // keys of each class
    std::vector<double> mean;                // of all

    int32_t classOf(size_t r) const { return classes ? classes[r] : 0; }
};

Sample readSample(const rtd_matrix& keys, const int32_t* classes, const Call& call) {
    Sample sample{MatrixView(&keys, "keys"), classes, keys.columns, {}, {}, std::vector<double>(keys.columns)};
    if (keys.columns < 1 || keys.columns > RTD_MAX_DIM) fail(RTD_INVALID_ARGUMENT, "keys have %zu dimensions; give 1..%u", keys.columns, RTD_MAX_DIM);
    if (keys.rows < 2) fail(RTD_INVALID_ARGUMENT, "%zu keys are too few to fit a transform to; give 2 at least", keys.rows);
    int32_t last = 0;
    for (size_t r = 0; r < keys.rows; ++r) {
        const int32_t c = sample.classOf(r);
        if (c < 0 || c >= static_cast<int32_t>(RTD_MAX_FIT_CLASSES))
            fail(RTD_INVALID_ARGUMENT, "class %zu is %d; number classes from 0 on, up to %u", r, c, RTD_MAX_FIT_CLASSES - 1);
        last = std::max(last, c);
    }
    sample.means.assign(static_cast<size_t>(last) + 1, std::vector<double>(sample.dim));
    sample.sizes.assign(sample.means.size(), 0);
    std::vector<float> row(sample.dim);
    for (size_t r = 0; r < keys.rows; ++r) {
        if (r % kBlock == 0) call.throwIfStopped();
        convertToFloat(sample.keys.row(r), sample.keys.dtype(), sample.dim, row.data());
        if (const size_t at = firstNotFinite(row.data(), sample.dim); at < sample.dim)
            fail(RTD_NOT_FINITE, "key %zu holds %g at dimension %zu; keys must be finite", r, static_cast<double>(row[at]), at);
        auto& sum = sample.means[static_cast<size_t>(sample.classOf(r))];
        for (size_t i = 0; i < sample.dim; ++i) sum[i] += static_cast<double>(row[i]);
        ++sample.sizes[static_cast<size_t>(sample.classOf(r))];
    }
    for (size_t c = 0; c < sample.means.size(); ++c) {
        for (size_t i = 0; i < sample.dim; ++i) {
            sample.mean[i] += sample.means[c][i] / static_cast<double>(keys.rows);
            if (sample.sizes[c] > 0) sample.means[c][i] /= sample.sizes[c];
        }
    }
    return sample;
}

// Calls body(block, count) with up to kBlock keys at a time, each less its class's mean: [count, dim].
template <typename Body>
void forCentredBlocks(const Sample& sample, const Call& call, const Body& body) {
    const auto block = allocate<float>(checkedProduct(kBlock, sample.dim, "a block of keys"), "a block of keys");
    for (size_t begin = 0; begin < sample.keys.rows(); begin += kBlock) {
        call.throwIfStopped();
        const size_t count = std::min(kBlock, sample.keys.rows() - begin);
        for (size_t r = 0; r < count; ++r) {
            float* row = block.get() + r * sample.dim;
            convertToFloat(sample.keys.row(begin + r), sample.keys.dtype(), sample.dim, row);
            const auto& mean = sample.means[static_cast<size_t>(sample.classOf(begin + r))];
            for (size_t i = 0; i < sample.dim; ++i) row[i] = static_cast<float>(static_cast<double>(row[i]) - mean[i]);
        }
        body(block.get(), count);
    }
}

// The lower triangle of the covariance about the classes' means.
Square covarianceOf(const Sample& sample, const Call& call) {
    const size_t dim = sample.dim;
    Square covariance(dim);
    const cpu::AddProducts addProducts = cpu::chooseInstructionSet().addProducts;
    std::vector<float> sums(dim);
    forCentredBlocks(sample, call, [&](const float* block, size_t count) {
        for (size_t i = 0; i < dim; ++i) {
            std::fill_n(sums.begin(), i + 1, 0.0f);
            addProducts(sums.data(), block + i, dim, block, dim, count, i + 1);
            for (size_t j = 0; j <= i; ++j) covariance.row(i)[j] += static_cast<double>(sums[j]);
        }
    });
    for (size_t i = 0; i < dim; ++i)
        for (size_t j = 0; j <= i; ++j) covariance.row(i)[j] /= static_cast<double>(sample.keys.rows());
    return covariance;
}

double meanOf(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()); }

[[noreturn]] void failNoVariance() { fail(RTD_INVALID_ARGUMENT, "these keys do not vary (within classes): there is nothing to fit a transform to"); }

// Adds s (mean variance) to the diagonal, and makes of C = L L' the rows of L^-1 (the lower triangle of the result).
Square inverseFactor(Square covariance, double shrinkage, const Call& call) {
    const size_t n = covariance.n;
    double trace = 0;
    for (size_t i = 0; i < n; ++i) trace += covariance.row(i)[i];
    if (!(trace > 0) || !std::isfinite(trace)) failNoVariance();
    for (size_t i = 0; i < n; ++i) covariance.row(i)[i] += shrinkage * trace / static_cast<double>(n);
    // Elimination in the rows of the upper triangle: after step k row k holds U = L' scaled by its pivot.
    for (size_t i = 0; i < n; ++i)
        for (size_t j = i + 1; j < n; ++j) covariance.row(i)[j] = covariance.row(j)[i];
    Square inverse(n);
    std::vector<double> roots(n);
    for (size_t k = 0; k < n; ++k) {
        call.throwIfStopped();
        const double* pivotRow = covariance.row(k);
        const double pivot = pivotRow[k];
        if (!(pivot > 1e-12 * trace / static_cast<double>(n)))
            fail(RTD_INVALID_ARGUMENT, "these keys do not vary in all of their %zu dimensions: give a larger shrinkage than %g, or more keys", n,
                 shrinkage);
        roots[k] = std::sqrt(pivot);
        inverse.row(k)[k] += 1;
        for (size_t i = k + 1; i < n; ++i) {
            const double factor = pivotRow[i] / pivot;
            if (factor == 0) continue;
            subtract(covariance.row(i) + i, factor, pivotRow + i, n - i);
            subtract(inverse.row(i), factor, inverse.row(k), k + 1);
        }
    }
    for (size_t k = 0; k < n; ++k)
        for (size_t j = 0; j <= k; ++j) inverse.row(k)[j] /= roots[k];
    return inverse;
}

// Eigenvalues, and eigenvectors as columns, of a small symmetric matrix: Jacobi's rotations.
void solveSymmetric(Square& a, Square& vectors) {
    const size_t n = a.n;
    for (size_t i = 0; i < n; ++i) vectors.row(i)[i] = 1;
    for (int sweep = 0; sweep < 60; ++sweep) {
        double off = 0, diagonal = 0;
        for (size_t i = 0; i < n; ++i) {
            diagonal += a.row(i)[i] * a.row(i)[i];
            for (size_t j = 0; j < i; ++j) off += a.row(i)[j] * a.row(i)[j];
        }
        if (off <= 1e-26 * diagonal) return;
        for (size_t p = 0; p < n; ++p)
            for (size_t q = p + 1; q < n; ++q) {
                const double apq = a.row(p)[q];
                if (apq == 0) continue;
                const double theta = (a.row(q)[q] - a.row(p)[p]) / (2 * apq);
                const double t = (theta >= 0 ? 1 : -1) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
                const double c = 1 / std::sqrt(t * t + 1), s = t * c;
                for (size_t k = 0; k < n; ++k) {
                    const double akp = a.row(k)[p], akq = a.row(k)[q];
                    a.row(k)[p] = c * akp - s * akq;
                    a.row(k)[q] = s * akp + c * akq;
                }
                for (size_t k = 0; k < n; ++k) {
                    const double apk = a.row(p)[k], aqk = a.row(q)[k];
                    a.row(p)[k] = c * apk - s * aqk;
                    a.row(q)[k] = s * apk + c * aqk;
                    const double vkp = vectors.row(k)[p], vkq = vectors.row(k)[q];
                    vectors.row(k)[p] = c * vkp - s * vkq;
                    vectors.row(k)[q] = s * vkp + c * vkq;
                }
            }
    }
}

std::vector<float> narrowed(const std::vector<double>& values) {
    std::vector<float> narrow(values.size());
    std::transform(values.begin(), values.end(), narrow.begin(), [](double value) { return static_cast<float>(value); });
    return narrow;
}

std::shared_ptr<const Transform> standardise(const Sample& sample, double shrinkage, const Call& call) {
    std::vector<double> variances(sample.dim);
    forCentredBlocks(sample, call, [&](const float* block, size_t count) {
        for (size_t r = 0; r < count; ++r)
            for (size_t i = 0; i < sample.dim; ++i) {
                const double value = static_cast<double>(block[r * sample.dim + i]);
                variances[i] += value * value / static_cast<double>(sample.keys.rows());
            }
    });
    const double floor = shrinkage * meanOf(variances);
    if (!(meanOf(variances) > 0)) failNoVariance();
    std::vector<double> weights(sample.dim);
    for (size_t i = 0; i < sample.dim; ++i) {
        if (!(variances[i] + floor > 0)) fail(RTD_INVALID_ARGUMENT, "dimension %zu does not vary in these keys: give a shrinkage above 0", i);
        weights[i] = 1 / std::sqrt(variances[i] + floor);
    }
    return Transform::make(RTD_TRANSFORM_SCALE, static_cast<uint32_t>(sample.dim), narrowed(sample.mean), narrowed(weights));
}

std::shared_ptr<const Transform> whiten(const Sample& sample, double shrinkage, const Call& call) {
    const size_t dim = sample.dim;
    const Square inverse = inverseFactor(covarianceOf(sample, call), shrinkage, call);
    std::vector<float> weights(dim * dim);
    for (size_t i = 0; i < dim * dim; ++i) weights[i] = static_cast<float>(inverse.values[i]);
    return Transform::make(RTD_TRANSFORM_MATRIX, static_cast<uint32_t>(dim), narrowed(sample.mean), std::move(weights));
}

std::shared_ptr<const Transform> project(const Sample& sample, double shrinkage, const Call& call) {
    const size_t dim = sample.dim, classes = sample.means.size();
    for (size_t c = 0; c < classes; ++c)
        if (sample.sizes[c] == 0) fail(RTD_INVALID_ARGUMENT, "class %zu has no key; number the classes without gaps", c);
    if (classes < 2) fail(RTD_INVALID_ARGUMENT, "a projection that tells classes apart needs keys of 2 classes at least");
    if (classes - 1 > dim) fail(RTD_INVALID_ARGUMENT, "%zu classes span more than the %zu dimensions there are; whiten instead", classes, dim);
    const Square inverse = inverseFactor(covarianceOf(sample, call), shrinkage, call);

    // Means in the whitened space, each weighed by its share of the keys.
    std::vector<std::vector<double>> means(classes, std::vector<double>(dim));
    for (size_t c = 0; c < classes; ++c)
        for (size_t i = 0; i < dim; ++i) {
            double sum = 0;
            for (size_t j = 0; j <= i; ++j) sum += inverse.row(i)[j] * (sample.means[c][j] - sample.mean[j]);
            means[c][i] = sum * std::sqrt(sample.sizes[c] / static_cast<double>(sample.keys.rows()));
        }
    Square gram(classes), vectors(classes);
    for (size_t a = 0; a < classes; ++a)
        for (size_t b = 0; b < classes; ++b) gram.row(a)[b] = std::inner_product(means[a].begin(), means[a].end(), means[b].begin(), 0.0);
    solveSymmetric(gram, vectors);
    std::vector<size_t> order(classes);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return gram.row(a)[a] > gram.row(b)[b]; });
    const double largest = gram.row(order[0])[order[0]];
    if (!(largest > 0)) fail(RTD_INVALID_ARGUMENT, "the classes' means are the same: no projection tells them apart");

    std::vector<float> weights((classes - 1) * dim);
    for (size_t k = 0; k + 1 < classes; ++k) {
        const double value = gram.row(order[k])[order[k]];
        if (value <= 1e-12 * largest) continue;  // the means span fewer dimensions; what is left is 0
        std::vector<double> direction(dim), row(dim);
        for (size_t c = 0; c < classes; ++c)
            for (size_t i = 0; i < dim; ++i) direction[i] += means[c][i] * vectors.row(c)[order[k]] / std::sqrt(value);
        for (size_t i = 0; i < dim; ++i) subtract(row.data(), -direction[i], inverse.row(i), i + 1);
        std::transform(row.begin(), row.end(), weights.begin() + static_cast<ptrdiff_t>(k * dim), [](double w) { return static_cast<float>(w); });
    }
    return Transform::make(RTD_TRANSFORM_MATRIX, static_cast<uint32_t>(classes - 1), narrowed(sample.mean), std::move(weights));
}

}  // namespace

std::shared_ptr<const Transform> fitTransform(const rtd_fit_options& options, const rtd_matrix& keys, const int32_t* classes, const Call& call) {
    const double shrinkage = static_cast<double>(options.shrinkage);
    if (!(shrinkage >= 0) || !std::isfinite(shrinkage)) fail(RTD_INVALID_ARGUMENT, "shrinkage is %g; give a number from 0 on", shrinkage);
    switch (const uint32_t method = numberOf(options.method)) {
        case RTD_FIT_STANDARDISE:
            return standardise(readSample(keys, nullptr, call), shrinkage, call);
        case RTD_FIT_WHITEN:
            return whiten(readSample(keys, nullptr, call), shrinkage, call);
        case RTD_FIT_PROJECT:
            return project(readSample(keys, needPointer(classes, "classes"), call), shrinkage, call);
        default:
            fail(RTD_INVALID_ARGUMENT, "method is %u; give RTD_FIT_STANDARDISE, _WHITEN or _PROJECT", method);
    }
}

}  // namespace rtd
