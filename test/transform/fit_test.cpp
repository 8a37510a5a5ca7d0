// Fitted transforms: what they promise of variances and distances, checked in long double.
#include <algorithm>
#include <cmath>
#include <random>

#include "core/case.h"
#include "harness.h"
#include "rtd.h"

namespace {

using Real = long double;
using Table = std::vector<std::vector<Real>>;

struct Fitted {
    std::vector<float> mean, weights;
    rtd_transform transform{};
};

rtd_fit_options fitOptions(rtd_fit_method method, float shrinkage) { return {sizeof(rtd_fit_options), method, shrinkage}; }

Fitted fit(rtd_fit_method method, float shrinkage, const std::vector<float>& keys, uint32_t dim, const std::vector<int32_t>& classes = {}) {
    Fitted fitted;
    const uint32_t outputs = method == RTD_FIT_PROJECT ? static_cast<uint32_t>(*std::max_element(classes.begin(), classes.end())) : dim;
    fitted.mean.resize(dim);
    fitted.weights.resize(method == RTD_FIT_STANDARDISE ? dim : size_t{outputs} * dim);
    fitted.transform.struct_size = sizeof fitted.transform;
    const rtd_fit_options options = fitOptions(method, shrinkage);
    const rtd_matrix matrix = matrixOf(keys, dim);
    CHECK_OK(rtd_transform_fit(&options, &matrix, classes.data(), nullptr, fitted.mean.data(), fitted.weights.data(), &fitted.transform));
    CHECK_EQUAL(fitted.transform.input_dim, dim);
    CHECK_EQUAL(fitted.transform.output_dim, outputs);
    return fitted;
}

Table imagesOf(const Fitted& fitted, const std::vector<float>& keys) {
    const uint32_t dim = fitted.transform.input_dim, outputs = fitted.transform.output_dim;
    const size_t n = keys.size() / dim;
    std::vector<float> images(n * outputs);
    const rtd_matrix matrix = matrixOf(keys, dim);
    CHECK_OK(rtd_transform_apply(&fitted.transform, &matrix, images.data()));
    Table table(n);
    for (size_t r = 0; r < n; ++r)
        table[r].assign(images.begin() + static_cast<ptrdiff_t>(r * outputs), images.begin() + static_cast<ptrdiff_t>((r + 1) * outputs));
    return table;
}

// Correlated keys: dimension j leans on j - 1, and variances fall. Far from the origin.
std::vector<float> correlated(size_t n, uint32_t dim, uint64_t seed, const std::vector<int32_t>& classes = {}) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> keys;
    for (size_t r = 0; r < n; ++r) {
        float last = 0;
        for (uint32_t j = 0; j < dim; ++j) {
            last = 0.6f * last + normal(random) * 3.0f / static_cast<float>(1 + j);
            const float shift = classes.empty() ? 0 : static_cast<float>((static_cast<uint32_t>(classes[r]) * 7 + j * 3) % 5) * 0.6f;
            keys.push_back(last + 40 + shift);
        }
    }
    return keys;
}

std::vector<int32_t> threeClasses(size_t n) {
    std::vector<int32_t> classes(n);
    for (size_t r = 0; r < n; ++r) classes[r] = r * 3 % 7 < 3 ? 0 : r * 3 % 7 < 5 ? 1 : 2;  // of different sizes
    return classes;
}

// About the means of the classes; one class where none are given.
Table covarianceOf(const Table& rows, const std::vector<int32_t>& classes = {}) {
    const size_t dim = rows[0].size();
    const size_t count = classes.empty() ? 1 : static_cast<size_t>(*std::max_element(classes.begin(), classes.end())) + 1;
    Table means(count, std::vector<Real>(dim));
    std::vector<Real> sizes(count);
    const auto classOf = [&](size_t r) { return classes.empty() ? 0 : static_cast<size_t>(classes[r]); };
    for (size_t r = 0; r < rows.size(); ++r) {
        ++sizes[classOf(r)];
        for (size_t i = 0; i < dim; ++i) means[classOf(r)][i] += rows[r][i];
    }
    for (size_t c = 0; c < count; ++c)
        for (Real& value : means[c]) value /= sizes[c];
    Table covariance(dim, std::vector<Real>(dim));
    for (size_t r = 0; r < rows.size(); ++r)
        for (size_t i = 0; i < dim; ++i)
            for (size_t j = 0; j < dim; ++j)
                covariance[i][j] += (rows[r][i] - means[classOf(r)][i]) * (rows[r][j] - means[classOf(r)][j]) / static_cast<Real>(rows.size());
    return covariance;
}

Table tableOf(const std::vector<float>& keys, uint32_t dim) {
    Table rows(keys.size() / dim);
    for (size_t r = 0; r < rows.size(); ++r)
        rows[r].assign(keys.begin() + static_cast<ptrdiff_t>(r * dim), keys.begin() + static_cast<ptrdiff_t>((r + 1) * dim));
    return rows;
}

void addToDiagonal(Table& matrix, Real shrinkage) {
    Real trace = 0;
    for (size_t i = 0; i < matrix.size(); ++i) trace += matrix[i][i];
    for (size_t i = 0; i < matrix.size(); ++i) matrix[i][i] += shrinkage * trace / static_cast<Real>(matrix.size());
}

// v' A^-1 v, by elimination with pivots.
Real quadraticForm(Table a, std::vector<Real> v) {
    const std::vector<Real> given = v;
    const size_t n = v.size();
    for (size_t k = 0; k < n; ++k) {
        size_t pivot = k;
        for (size_t i = k; i < n; ++i)
            if (std::fabs(a[i][k]) > std::fabs(a[pivot][k])) pivot = i;
        std::swap(a[k], a[pivot]);
        std::swap(v[k], v[pivot]);
        for (size_t i = k + 1; i < n; ++i) {
            const Real factor = a[i][k] / a[k][k];
            for (size_t j = k; j < n; ++j) a[i][j] -= factor * a[k][j];
            v[i] -= factor * v[k];
        }
    }
    std::vector<Real> x(n);
    for (size_t k = n; k-- > 0;) {
        x[k] = v[k];
        for (size_t j = k + 1; j < n; ++j) x[k] -= a[k][j] * x[j];
        x[k] /= a[k][k];
    }
    Real sum = 0;
    for (size_t i = 0; i < n; ++i) sum += given[i] * x[i];
    return sum;
}

Real squaredDistance(const std::vector<Real>& a, const std::vector<Real>& b) {
    Real sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

std::vector<Real> differenceOf(const std::vector<Real>& a, const std::vector<Real>& b) {
    std::vector<Real> difference(a.size());
    for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
    return difference;
}

void checkNear(Real got, Real wanted, Real tolerance, const char* what) {
    if (!(std::fabs(got - wanted) <= tolerance * std::max<Real>(1, std::fabs(wanted))))
        throw test::Failure(std::string(what) + ": " + std::to_string(static_cast<double>(got)) + ", expected " +
                            std::to_string(static_cast<double>(wanted)));
}

TEST("standardised dimensions have mean 0 and variance 1; with shrinkage v / (v + s mean v)") {
    const uint32_t dim = 13;
    const std::vector<float> keys = correlated(900, dim, 1);
    const Table given = covarianceOf(tableOf(keys, dim));
    Real meanVariance = 0;
    for (uint32_t i = 0; i < dim; ++i) meanVariance += given[i][i] / dim;
    for (const float shrinkage : {0.0f, 0.5f}) {
        const Table images = imagesOf(fit(RTD_FIT_STANDARDISE, shrinkage, keys, dim), keys);
        const Table variances = covarianceOf(images);
        for (uint32_t i = 0; i < dim; ++i) {
            Real mean = 0;
            for (const auto& row : images) mean += row[i] / static_cast<Real>(images.size());
            checkNear(mean, 0, 1e-4L, "mean");
            checkNear(variances[i][i], given[i][i] / (given[i][i] + static_cast<Real>(shrinkage) * meanVariance), 1e-4L, "variance");
        }
    }
}

TEST("whitened distances are Mahalanobis distances under the shrunk covariance") {
    for (const uint32_t dim : {1u, 2u, 37u}) {
        const std::vector<float> keys = correlated(700, dim, dim);
        for (const float shrinkage : {0.0f, 0.01f, 1.0f}) {
            const Table rows = tableOf(keys, dim), images = imagesOf(fit(RTD_FIT_WHITEN, shrinkage, keys, dim), keys);
            Table covariance = covarianceOf(rows);
            addToDiagonal(covariance, static_cast<Real>(shrinkage));
            for (size_t r = 0; r + 1 < 40; ++r)
                checkNear(squaredDistance(images[r], images[r + 1]), quadraticForm(covariance, differenceOf(rows[r], rows[r + 1])), 1e-3L,
                          "distance");
        }
    }
}

TEST("a projection whitens within classes, keeps all that tells their means apart, and nothing else") {
    const uint32_t dim = 21;
    const std::vector<int32_t> classes = threeClasses(1200);
    const std::vector<float> keys = correlated(classes.size(), dim, 5, classes);
    const Table rows = tableOf(keys, dim);
    const auto meansOf = [&](const Table& of) {
        Table means(3, std::vector<Real>(of[0].size()));
        std::vector<Real> sizes(3);
        for (size_t r = 0; r < of.size(); ++r) {
            ++sizes[static_cast<size_t>(classes[r])];
            for (size_t i = 0; i < of[r].size(); ++i) means[static_cast<size_t>(classes[r])][i] += of[r][i];
        }
        for (size_t c = 0; c < 3; ++c)
            for (Real& value : means[c]) value /= sizes[c];
        return means;
    };
    for (const float shrinkage : {0.0f, 0.3f}) {
        const Fitted fitted = fit(RTD_FIT_PROJECT, shrinkage, keys, dim, classes);
        CHECK_EQUAL(fitted.transform.output_dim, 2u);
        const Table images = imagesOf(fitted, keys);
        Table within = covarianceOf(rows, classes);
        addToDiagonal(within, static_cast<Real>(shrinkage));
        const Table means = meansOf(rows), imageMeans = meansOf(images);
        for (size_t a = 0; a < 3; ++a)
            for (size_t b = 0; b < a; ++b)
                checkNear(squaredDistance(imageMeans[a], imageMeans[b]), quadraticForm(within, differenceOf(means[a], means[b])), 1e-3L, "means");
        if (shrinkage > 0) continue;
        const Table imageWithin = covarianceOf(images, classes);
        for (size_t i = 0; i < 2; ++i)
            for (size_t j = 0; j < 2; ++j) checkNear(imageWithin[i][j], i == j, 1e-3L, "within");
    }
}

TEST("what cannot be fitted says so") {
    std::vector<float> mean(4), weights(16);
    const auto attempt = [&](rtd_fit_method method, float shrinkage, const std::vector<float>& keys, const std::vector<int32_t>& classes,
                             rtd_status wanted, const char* part) {
        const rtd_fit_options options = fitOptions(method, shrinkage);
        const rtd_matrix matrix = matrixOf(keys, 4);
        CHECK_EQUAL(rtd_transform_fit(&options, &matrix, classes.empty() ? nullptr : classes.data(), nullptr, mean.data(), weights.data(), nullptr),
                    wanted);
        if (std::string(rtd_last_error()).find(part) == std::string::npos) throw test::Failure(std::string("says: ") + rtd_last_error());
    };
    const std::vector<float> keys = correlated(10, 4, 1);
    std::vector<float> flat(40, 3.0f), nan = keys;
    nan[6] = NAN;
    attempt(RTD_FIT_WHITEN, 1, {1, 2, 3, 4}, {}, RTD_INVALID_ARGUMENT, "too few");
    attempt(RTD_FIT_WHITEN, -1, keys, {}, RTD_INVALID_ARGUMENT, "shrinkage is -1");
    attempt(RTD_FIT_WHITEN, NAN, keys, {}, RTD_INVALID_ARGUMENT, "shrinkage is");
    attempt(RTD_FIT_WHITEN, 1, flat, {}, RTD_INVALID_ARGUMENT, "do not vary");
    attempt(RTD_FIT_STANDARDISE, 0, flat, {}, RTD_INVALID_ARGUMENT, "do not vary");
    attempt(RTD_FIT_WHITEN, 0, {1, 2, 3, 4, 2, 4, 6, 8, 3, 6, 9, 12}, {}, RTD_INVALID_ARGUMENT, "larger shrinkage");
    attempt(RTD_FIT_WHITEN, 1, nan, {}, RTD_NOT_FINITE, "key 1 holds nan at dimension 2");
    attempt(RTD_FIT_PROJECT, 1, keys, {}, RTD_INVALID_ARGUMENT, "classes is NULL");
    attempt(RTD_FIT_PROJECT, 1, keys, std::vector<int32_t>(10), RTD_INVALID_ARGUMENT, "2 classes at least");
    attempt(RTD_FIT_PROJECT, 1, keys, {0, 0, 0, 2, 2, 2, 2, 2, 2, 2}, RTD_INVALID_ARGUMENT, "class 1 has no key");
    attempt(RTD_FIT_PROJECT, 1, keys, {0, 1, -1, 0, 1, 0, 1, 0, 1, 0}, RTD_INVALID_ARGUMENT, "class 2 is -1");
    attempt(RTD_FIT_PROJECT, 1, keys, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, RTD_INVALID_ARGUMENT, "span more than the 4 dimensions");
}

}  // namespace
