#include "cascade/build.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "cascade/fit.h"
#include "cascade/projection.h"
#include "core/bounds.h"
#include "core/memory.h"
#include "core/pages.h"
#include "core/status.h"
#include "index/workers.h"

namespace rtd::cascade {
namespace {

constexpr uint32_t kSmallestSample = 256, kLargestSample = 4096, kSampledShare = 32;  // one key in 32, within these
constexpr uint32_t kRefiningKeys = 16384;                                             // that directions are refined by
constexpr uint32_t kTileKeys = 128, kTicketKeys = 8 * kTileKeys;
constexpr double kOutlierQuantile = 0.995;  // of the keys keep to level 1's error
constexpr double kRoundUp = 1 + 1e-6;       // of what is kept as float32

// Rounds to a grid and sums up what is needed of the codes and of the rounding.
class Quantiser {
  public:
    explicit Quantiser(double step) : step_(step), inverse_(1 / step) {}
    explicit Quantiser(float step) : Quantiser(static_cast<double>(step)) {}

    uint8_t operator()(double value) {
        const double scaled = value * inverse_;
        const auto code = static_cast<int32_t>(std::lrint(std::clamp(scaled, -double{kLargestCode}, double{kLargestCode})));
        const double error = value - code * step_;
        norm_ += code * code;
        squaredError_ += error * error;
        return static_cast<uint8_t>(code + kZeroCode);
    }
    int32_t norm() const { return norm_; }
    double squaredError() const { return squaredError_; }
    float step() const { return static_cast<float>(step_); }
    float squaredNorm() const { return static_cast<float>(step_ * step_ * norm_); }  // of the numbers that the codes stand for

  private:
    double step_, inverse_;
    int32_t norm_ = 0;
    double squaredError_ = 0;
};

// Of a grid on which numbers of up to that magnitude have a code.
float stepFor(double largest) { return static_cast<float>(std::max(largest / kLargestCode, 1e-30)); }

double squaredLength(const float* v, size_t n) { return dotWide(v, v, n); }

// Where all parts of the levels lie in one piece of memory.
struct Layout {
    explicit Layout(const LevelShape& shape, uint32_t count) {
        const auto place = [this](size_t bytes) {
            const size_t at = total;
            total += (bytes + 63) / 64 * 64;
            return at;
        };
        level1 = place(LevelShape::blocksOf(count) * shape.blockBytes());
        level2 = place(shape.directions2 ? size_t{count} * kRowBytes2 : 0);
        level2b = place(size_t{count} * shape.rowBytes2b);
        level3 = place(shape.hasLevel3 ? size_t{count} * shape.rowBytes3() + kReadBeyond : 0);
        basis = place(size_t{shape.directions()} * shape.length * sizeof(F16));
        mean = place(shape.length * sizeof(float));
    }
    size_t level1, level2, level2b, level3, basis, mean, total = 0;
};

class Builder {
  public:
    Builder(const BuildOptions& options, const ReadKeys& read, const cpu::Backend& backend, WorkerPool& workers, uint32_t threads, const Call& call)
        : options_(options),
          read_(read),
          backend_(backend),
          workers_(workers),
          threads_(threads),
          call_(call),
          shape_(LevelShape::of(options.dimsOfHead, options.metric)),
          mean_(shape_.length) {}

    std::unique_ptr<Levels> build() {
        if (!measureKeys()) return nullptr;
        const Means means = {backend_, workers_, threads_, call_};
        const Fit fit = fitToSample(shape_, readSample(), keysSpread(kRefiningKeys), options_.count, options_.rowBytes2b, means);
        shape_ = fit.shape;
        const double largestKey = scales_.largestKey;
        scales_ = fit.scales;
        scales_.largestKey = largestKey;
        const Layout layout(shape_, options_.count);
        const std::shared_ptr<uint8_t> memory = allocatePages(layout.total, "the levels of a cascade");
        level1_ = memory.get() + layout.level1;
        level2_ = memory.get() + layout.level2;
        level2b_ = memory.get() + layout.level2b;
        level3_ = memory.get() + layout.level3;
        mean_ = fit.mean;
        std::memcpy(memory.get() + layout.mean, fit.mean.data(), fit.mean.size() * sizeof(float));
        basis_ = reinterpret_cast<const F16*>(memory.get() + layout.basis);
        std::memcpy(memory.get() + layout.basis, fit.basis.data(), fit.basis.size() * sizeof(F16));
        quantiseKeys();
        const std::shared_ptr<const std::vector<uint32_t>> outliers = listOutliers();

        auto levels = std::make_unique<Levels>();
        levels->shape = shape_;
        levels->scales = scales_;
        levels->count = options_.count;
        levels->mean = reinterpret_cast<const float*>(memory.get() + layout.mean);
        levels->basis = basis_;
        levels->level1 = level1_;
        levels->level2 = shape_.directions2 ? level2_ : nullptr;
        levels->level2b = shape_.rowBytes2b ? level2b_ : nullptr;
        levels->level3 = shape_.hasLevel3 ? level3_ : nullptr;
        levels->outliers = outliers->data();
        levels->outlierCount = static_cast<uint32_t>(outliers->size());
        using Owner = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
        levels->owner = std::make_shared<const Owner>(memory, outliers);
        return levels;
    }

  private:
    // Calls body(begin, count) for all keys, on the threads there are.
    template <typename Body>
    void forEachTile(const Progress& progress, const Body& body) {
        std::atomic<uint32_t> next = 0;
        std::atomic<bool> halted = false;
        std::mutex reporting;
        const uint32_t tickets = (options_.count + kTicketKeys - 1) / kTicketKeys;
        uint32_t done = 0;
        workers_.run(std::min(threads_, tickets), [&] {
            for (uint32_t ticket; (ticket = next.fetch_add(1, std::memory_order_relaxed)) < tickets;) {
                if (call_.stopped()) halted = true;
                if (halted) return;
                const uint32_t end = std::min(options_.count, (ticket + 1) * kTicketKeys);
                for (uint32_t begin = ticket * kTicketKeys; begin < end; begin += kTileKeys) body(begin, std::min(kTileKeys, end - begin));
                const std::lock_guard lock(reporting);
                progress.report(++done / static_cast<double>(tickets));
            }
        });
        if (halted) fail(RTD_CANCELLED, "cancelled by should_stop");
    }

    // The range of numbers, and for dot the longest key. False where no bound holds.
    bool measureKeys() {
        std::atomic<bool> isBounded = true;
        std::mutex mutex;
        double largest = 0;
        forEachTile(call_.progress.part(0, 0.1), [&](uint32_t begin, uint32_t count) {
            std::vector<float> keys(size_t{count} * shape_.length);
            read_(begin, count, keys.data(), shape_.length);
            double longest = 0;
            for (uint32_t i = 0; i < count; ++i) {
                const float* key = &keys[size_t{i} * shape_.length];
                for (uint32_t j = 0; j < options_.dimsOfHead; ++j)
                    if (!(std::fabs(key[j]) < kBoundedMagnitude)) isBounded = false;
                if (options_.metric == Metric::dot) longest = std::max(longest, squaredLength(key, options_.dimsOfHead));
            }
            const std::lock_guard lock(mutex);
            largest = std::max(largest, longest);
        });
        scales_.largestKey = std::sqrt(largest) * (1 + 1e-9);
        return isBounded;
    }

    // Keys as the levels see them: with the last coordinate of dot, less the mean.
    void readCentred(uint32_t begin, uint32_t count, float* to) const {
        read_(begin, count, to, shape_.length);
        for (uint32_t i = 0; i < count; ++i) {
            float* key = to + size_t{i} * shape_.length;
            if (options_.metric == Metric::dot) {
                const double rest = scales_.largestKey * scales_.largestKey - squaredLength(key, options_.dimsOfHead);
                key[options_.dimsOfHead] = static_cast<float>(std::sqrt(std::max(0.0, rest)));
            }
            for (uint32_t j = 0; j < shape_.length; ++j) key[j] -= mean_[j];
        }
    }

    // Up to `most` keys, evenly spaced, as levels see them but for the mean.
    Rows keysSpread(uint32_t most) const {
        const uint32_t n = options_.count, rows = std::min(n, most);
        return {rows, [this, n, rows](size_t begin, size_t count, float* to) {
                    for (size_t i = 0; i < count; ++i) readCentred(static_cast<uint32_t>(uint64_t{begin + i} * n / rows), 1, to + i * shape_.length);
                }};
    }

    std::vector<float> readSample() const {
        const Rows rows = keysSpread(std::clamp(options_.count / kSampledShare, kSmallestSample, kLargestSample));
        const size_t numbers = checkedProduct(rows.count, shape_.length, "a sample of keys");
        std::vector<float> sample;
        reserve(sample, numbers, "a sample of keys");
        sample.resize(numbers);
        rows.read(0, rows.count, sample.data());
        return sample;
    }

    void quantiseKeys() {
        errors1_ = allocate<float>(options_.count, "errors of keys");
        forEachTile(call_.progress.part(0.4, 1), [&](uint32_t begin, uint32_t count) {
            const uint32_t length = shape_.length, p = shape_.directions();
            std::vector<float> keys(size_t{count} * length), projections(size_t{count} * p);
            Coordinates coordinates(shape_);
            readCentred(begin, count, keys.data());
            backend_.dot[static_cast<size_t>(Dtype::f16)]({keys.data(), length, count}, {basis_, length, p, length}, projections.data(), p);
            for (uint32_t i = 0; i < count; ++i) {
                const float* key = &keys[size_t{i} * length];
                coordinates.set(scales_, squaredLength(key, length), &projections[size_t{i} * p]);
                quantise(begin + i, key, coordinates);
            }
        });
        // The last block's room: zeros, so that sums stay in their range.
        for (uint32_t lane = options_.count % cpu::kBlockKeys; lane != 0 && lane < cpu::kBlockKeys; ++lane)
            for (uint32_t group = 0; group < shape_.groups(); ++group)
                std::fill_n(level1_ + options_.count / cpu::kBlockKeys * shape_.blockBytes() + (group * cpu::kBlockKeys + lane) * 4, 4,
                            static_cast<uint8_t>(kZeroCode));
    }

    struct Row {
        Quantiser quantiser;
        double errorButLast;  // the square of the error of all numbers but the last
    };
    // Codes of `numbers`, with a step of their own, 128 beyond them.
    static Row quantiseRow(std::span<const double> numbers, uint8_t* row, size_t codes) {
        double largest = 0;
        for (const double y : numbers) largest = std::max(largest, std::fabs(y));
        Row made = {Quantiser(stepFor(largest)), 0};
        for (size_t j = 0; j < numbers.size(); ++j) {
            made.errorButLast = made.quantiser.squaredError();
            row[j] = made.quantiser(numbers[j]);
        }
        std::fill(row + numbers.size(), row + codes, static_cast<uint8_t>(kZeroCode));
        return made;
    }

    void quantise(uint32_t place, const float* key, const Coordinates& x) {
        const double size = std::sqrt(squaredLength(key, shape_.length));
        // The lengths of errors add up: of rounding to the grids, and of the coordinates.
        const auto inAll = [](double squaredError, double coordinates) {
            return static_cast<float>((std::sqrt(squaredError) + coordinates) * kRoundUp);
        };
        uint8_t* block = level1_ + place / cpu::kBlockKeys * shape_.blockBytes();
        const uint32_t lane = place % cpu::kBlockKeys;
        const auto code1 = [&](uint32_t j) -> uint8_t& { return block[(j / 4 * cpu::kBlockKeys + lane) * 4 + j % 4]; };
        Quantiser level1(scales_.step1);
        for (uint32_t j = 0; j < shape_.directions1; ++j) code1(j) = level1(x.one()[j]);
        const double error1 = level1.squaredError();
        const uint8_t residual1 = code1(shape_.directions1) = level1(x.one().back());
        for (uint32_t j = shape_.directions1 + 1; j < 4 * shape_.groups(); ++j) code1(j) = kZeroCode;
        const auto norm = static_cast<uint16_t>(level1.norm() >> kNormShift);
        std::memcpy(block + size_t{shape_.groups()} * cpu::kBlockKeys * 4 + lane * sizeof norm, &norm, sizeof norm);
        errors1_[place] = inAll(level1.squaredError(), x.error1(size));

        if (shape_.directions2) {
            uint8_t* row = level2_ + size_t{place} * kRowBytes2;
            const auto [level2, error2] = quantiseRow(x.two(), row, kCodes2);
            const Tail2 tail = {level2.step(), level2.squaredNorm(), inAll(error1 + level2.squaredError(), x.error2(size)), residual1, 0, {}};
            std::memcpy(row + kCodes2, &tail, sizeof tail);
            if (shape_.rowBytes2b) {
                row = level2b_ + size_t{place} * shape_.rowBytes2b;
                const Quantiser level2b = quantiseRow(x.twoB(), row, shape_.codes2b()).quantiser;
                const float error = inAll(error1 + error2 + level2b.squaredError(), x.error2b(size));
                const Tail2b tailB = {level2b.step(), level2b.squaredNorm(), error, {}};
                std::memcpy(row + shape_.codes2b(), &tailB, sizeof tailB);
            }
        }
        if (shape_.hasLevel3) {
            uint8_t* row = level3_ + size_t{place} * shape_.rowBytes3();
            float largest = 0;
            for (uint32_t j = 0; j < shape_.length; ++j) largest = std::max(largest, std::fabs(key[j]));
            Quantiser level3(stepFor(static_cast<double>(largest)));
            for (uint32_t j = 0; j < shape_.length; ++j) row[j] = level3(static_cast<double>(key[j]));
            std::fill(row + shape_.length, row + shape_.tail3(), static_cast<uint8_t>(kZeroCode));
            Tail3 tail;
            tail.step = level3.step();
            tail.norm = level3.norm();
            tail.error = static_cast<float>((std::sqrt(level3.squaredError()) + 1.1 * 0x1p-24 * size) * kRoundUp);
            std::memcpy(row + shape_.tail3(), &tail, sizeof tail);
        }
    }

    // Sets level 1's error, and marks and lists the keys beyond it.
    std::shared_ptr<const std::vector<uint32_t>> listOutliers() {
        std::vector<float> errors(errors1_.get(), errors1_.get() + options_.count);
        const float limit = quantile(errors, kOutlierQuantile);
        scales_.error1 = static_cast<double>(limit);
        auto outliers = std::make_shared<std::vector<uint32_t>>();
        for (uint32_t i = 0; i < options_.count; ++i) {
            if (errors1_[i] <= limit) continue;
            outliers->push_back(i);
            if (shape_.directions2) level2_[size_t{i} * kRowBytes2 + kCodes2 + offsetof(Tail2, isOutlier)] = 1;
        }
        return outliers;
    }

    const BuildOptions& options_;
    const ReadKeys& read_;
    const cpu::Backend& backend_;
    WorkerPool& workers_;
    uint32_t threads_;
    const Call& call_;
    LevelShape shape_;
    LevelScales scales_;
    std::vector<float> mean_;  // zeros until the sample is read
    uint8_t *level1_ = nullptr, *level2_ = nullptr, *level2b_ = nullptr, *level3_ = nullptr;
    const F16* basis_ = nullptr;
    std::unique_ptr<float[]> errors1_;  // e_x of level 1, of every key
};

}  // namespace

std::unique_ptr<Levels> buildLevels(const BuildOptions& options, const ReadKeys& read, const cpu::Backend& backend, WorkerPool& workers,
                                    uint32_t threads, const Call& call) {
    return Builder(options, read, backend, workers, threads, call).build();
}

}  // namespace rtd::cascade
